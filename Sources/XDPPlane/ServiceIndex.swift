import BPF
import CDatapath

/// The services once more, in arrays in which a packet finds its service with one cache line:
/// `service_index_v4` and `service_index_v6` of bpf/src/maps.h.
///
/// The hash maps `services_v4` and `services_v6` are the truth; this says what they say, and is
/// made to whenever a controller takes the plane over: see ``XDPPlane/rebuildIndex()``.
struct ServiceIndex: ~Copyable, Sendable {
    let v4: Buckets
    let v6: Buckets

    init(in tables: borrowing Tables) throws(Failure) {
        let wordsV4 = try MappedArray<UInt64>(tables.serviceIndexV4)
        let wordsV6 = try MappedArray<UInt64>(tables.serviceIndexV6)
        v4 = Buckets(
            wordsV4, bits: MARTLET_INDEX_BITS_V4.rawValue,
            places: MARTLET_PLACES_V4.rawValue, keyWords: 1)
        v6 = Buckets(
            wordsV6, bits: MARTLET_INDEX_BITS_V6.rawValue,
            places: MARTLET_PLACES_V6.rawValue, keyWords: 3)
    }
}

/// The key of a service in words: of IPv4 one, of IPv6 two of the address and one of the rest.
/// The last is never 0, because it has the protocol.
typealias IndexKey = [UInt64]

extension martlet_service_v4 {
    /// The eight bytes as they are.
    var indexKey: IndexKey { [unsafe unsafeBitCast(self, to: UInt64.self)] }
}

extension martlet_service_v6 {
    /// The address, and the rest filled up with zeros.
    var indexKey: IndexKey {
        let (high, low) = unsafe unsafeBitCast(address, to: (UInt64, UInt64).self)
        return [high, low, UInt64(port) | UInt64(self.protocol) << 16]
    }
}

extension martlet_service {
    /// The eight bytes as the one word that is stored.
    var word: UInt64 { unsafe unsafeBitCast(self, to: UInt64.self) }

    init(_ word: UInt64) { self = unsafe unsafeBitCast(word, to: martlet_service.self) }
}

/// The index of one family: buckets of a cache line, each with a few places for keys.
///
/// A place is the words of the key and the word of the service. Packets may look at any moment:
/// the last word of the key is what makes a place taken, so it is written last and cleared first.
/// A key for which there is no place any more is found in the hash map; a flag in its bucket says
/// that there is such a key.
struct Buckets: ~Copyable, Sendable {
    private let words: MappedArray<UInt64>
    private let bits: UInt32
    private let places: Int
    private let keyWords: Int

    private static let wordsOfBucket = 8
    /// The flag as it stands in the word of a service.
    static let overflows = UInt64(MARTLET_SERVICE_BUCKET_OVERFLOWS.rawValue) << 16

    init(
        _ words: consuming MappedArray<UInt64>, bits: UInt32, places: UInt32, keyWords: Int
    ) {
        precondition(Int(places) * (keyWords + 1) == Self.wordsOfBucket)
        self.words = words
        self.bits = bits
        self.places = Int(places)
        self.keyWords = keyWords
    }

    /// What a packet finds under the key in the places of its bucket.
    func service(for key: IndexKey) -> UInt64? {
        place(of: key).map { words[$0 + keyWords] & ~Self.overflows }
    }

    /// Whether the bucket of the key sends packets that find nothing there to the hash map.
    func overflows(at key: IndexKey) -> Bool {
        words[flag(of: bucket(of: key))] & Self.overflows != 0
    }

    /// Lets packets find `service` under `key`, in its bucket or in the hash map, where it is
    /// already.
    func set(_ service: UInt64, for key: IndexKey) {
        if let place = place(of: key) ?? take(for: key, service) {
            store(service, at: place)
        } else {
            words[flag(of: bucket(of: key))] |= Self.overflows
        }
    }

    /// Lets packets not find `key` in its bucket any more. Before its place is used again no
    /// packet may be under way that has seen it there: ``XDPPlane/waitForPackets()``.
    func clear(_ key: IndexKey) {
        if let place = place(of: key) { words[place + keyWords - 1] = 0 }
    }

    /// Frees the places of keys that nobody wants; says whether there were any.
    func clear(where isUnwanted: (IndexKey) -> Bool) -> Bool {
        var wereSome = false
        for bucket in 0..<1 << Int(bits) {
            for place in self.places(of: bucket) {
                let key = key(at: place)
                guard key[keyWords - 1] != 0, isUnwanted(key) else { continue }
                words[place + keyWords - 1] = 0
                wereSome = true
            }
        }
        return wereSome
    }

    /// Frees every place, and sends packets on to the hash map wherever they look.
    func overflowAll() {
        for bucket in 0..<1 << Int(bits) {
            words[flag(of: bucket)] |= Self.overflows
            for place in self.places(of: bucket) { words[place + keyWords - 1] = 0 }
        }
    }

    /// Clears the flag of every bucket in which each of its `keys` has a place.
    func clearFlags(knowing keys: [IndexKey]) {
        var overflowing: Set<Int> = []
        for key in keys where place(of: key) == nil { overflowing.insert(bucket(of: key)) }
        for bucket in 0..<1 << Int(bits) where !overflowing.contains(bucket) {
            let word = words[flag(of: bucket)]
            if word & Self.overflows != 0 { words[flag(of: bucket)] = word & ~Self.overflows }
        }
    }
}

extension Buckets {
    /// The same hash as in service.h.
    func bucket(of key: IndexKey) -> Int {
        let factors = [MARTLET_MIX_1, MARTLET_MIX_2, MARTLET_MIX_3]
        let hash = zip(key, factors).reduce(UInt64(0)) { $0 &+ $1.0 &* $1.1 }
        return Int(hash >> UInt64(64 - bits))
    }

    /// Where the places of a bucket begin.
    private func places(of bucket: Int) -> [Int] {
        (0..<places).map { bucket * Self.wordsOfBucket + $0 * (keyWords + 1) }
    }

    /// Which word has the flag of a bucket: the service of its first place.
    private func flag(of bucket: Int) -> Int { bucket * Self.wordsOfBucket + keyWords }

    private func key(at place: Int) -> IndexKey { (0..<keyWords).map { words[place + $0] } }

    private func place(of key: IndexKey) -> Int? {
        places(of: bucket(of: key)).first { self.key(at: $0) == key }
    }

    /// Takes a free place of the bucket, if there is one.
    private func take(for key: IndexKey, _ service: UInt64) -> Int? {
        let free = places(of: bucket(of: key)).first { words[$0 + keyWords - 1] == 0 }
        guard let place = free else { return nil }
        store(service, at: place)
        for (index, word) in key.enumerated() { words[place + index] = word }
        return place
    }

    private func store(_ service: UInt64, at place: Int) {
        words[place + keyWords] = service | words[place + keyWords] & Self.overflows
    }
}
