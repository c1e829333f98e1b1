import BPF

// Copies of maps that have another size in another build: old bytes first and zeros behind, for
// zeros mean what was so before there was the field; see martlet_abi.h.

/// A map as it is, and the one that is to take its place.
struct MapPair: Sendable {
    let old: RawMap
    let new: RawMap
    /// Of a map of maps: the shape of those in the new one.
    var inner: MapShape?
    /// Of a map of maps: the pins of those in the old one.
    var pins: InnerPins?

    var name: String { new.name }
}

extension MapPair {
    /// Copies all that the map holds.
    ///
    /// - Throws: ``Failure`` also where something would be cut off that is not 0.
    func copyAll() throws(Failure) {
        if new.shape.holdsMaps {
            try copyInnerMaps()
        } else if old.shape.isMapped, new.shape.isMapped {
            try copyWords()
        } else {
            try copyEntries(onlyIfNew: false)
        }
    }

    /// Copies entry by entry.
    ///
    /// - Parameter isNew: What the new map has already stays as it is there.
    func copyEntries(onlyIfNew isNew: Bool) throws(Failure) {
        for key in try old.keys() {
            guard let value = try old.value(for: key) else { continue }
            if old.shape.isArray {
                // An array has all its elements from the beginning.
                guard value.contains(where: { $0 != 0 }) else { continue }
                let index = RawMap.word(key)
                guard index < new.shape.capacity else { throw overhang(ofEntry: "\(index)") }
            }
            try new.set(try resized(value, of: key), for: key, onlyIfNew: isNew)
        }
    }

    /// Copies the map under each number into one of the new shape, or puts the same map into the
    /// new one if its shape will do: only the controller writes it.
    ///
    /// The number 0 stands for none everywhere: what is there is of no use to packets.
    func copyInnerMaps() throws(Failure) {
        for index in 1..<old.shape.capacity {
            guard let present = try oldInner(index) else { continue }
            guard index < new.shape.capacity else { throw overhang(ofEntry: "\(index)") }
            if let inner, present.shape.stands(for: inner) {
                try new.set(inner: present, at: index)
                continue
            }
            let copy = try makeInner(like: present)
            try MapPair(old: present, new: copy).copyAll()
            try new.set(inner: copy, at: index)
        }
    }

    /// The map under the number in the old map; nil: there is none.
    func oldInner(_ index: Int) throws(Failure) -> RawMap? { try pins?.open(index, of: old) }

    /// A map for the new map of maps, with as many entries as `present` where the number is free.
    func makeInner(like present: RawMap) throws(Failure) -> RawMap {
        guard var shape = inner else {
            preconditionFailure("\(name) is copied by who knows the shape of the maps in it")
        }
        if shape.flags.contains(.innerOfAnySize) { shape.capacity = present.shape.capacity }
        return try RawMap(creating: shape, named: present.kernelName)
    }

    private func copyWords() throws(Failure) {
        let from = try MappedArray<UInt64>(old)
        let into = try MappedArray<UInt64>(new)
        let (oldStride, newStride) = (old.shape.stride / 8, new.shape.stride / 8)
        for index in 0..<old.shape.capacity {
            for word in 0..<oldStride {
                let value = from[index * oldStride + word]
                guard value != 0 else { continue }
                guard index < new.shape.capacity, word < newStride else {
                    throw overhang(ofEntry: "\(index)")
                }
                into[index * newStride + word] = value
            }
        }
    }

    private func resized(_ value: [UInt8], of key: [UInt8]) throws(Failure) -> [UInt8] {
        let size = new.shape.valueSize
        guard value.dropFirst(size).allSatisfy({ $0 == 0 }) else {
            throw overhang(ofEntry: key.map { hexadecimal($0) }.joined())
        }
        return value.prefix(size) + [UInt8](repeating: 0, count: max(0, size - value.count))
    }

    private func overhang(ofEntry entry: String) -> Failure {
        Failure(
            "take over the table", name,
            because: "it has \(old.shape.capacity) entries of \(old.shape.valueSize) bytes, this "
                + "version \(new.shape.capacity) of \(new.shape.valueSize), and entry \(entry) "
                + "needs what would be cut off",
            cure: "start the version that made it, and end there what needs it; or `martlet "
                + "detach` first: packets for the VIPs then go to the kernel")
    }
}

extension MapShape {
    /// Whether ``MappedArray`` can show it.
    var isMapped: Bool { isArray && flags.contains(.mappable) }
}

private func hexadecimal(_ byte: UInt8) -> String {
    let digits = String(byte, radix: 16)
    return digits.count == 1 ? "0\(digits)" : digits
}
