import CLibBPF
import Glibc

/// A map in the kernel whose keys and values are bytes: one that another build may have made.
///
/// A class, because whoever compares the maps of two builds keeps them in lists.
public final class RawMap: AnyMap, Sendable {
    private let descriptor: Descriptor
    public let name: String
    public let shape: MapShape
    /// The kernel's number for it, as `bpftool map` shows it.
    public let id: UInt32
    /// The first 15 bytes of the name that it was made with.
    public let kernelName: String

    public var number: Int32 { descriptor.number }

    init(_ descriptor: consuming Descriptor, name: String) throws(Failure) {
        let information = try descriptor.information(initial: bpf_map_info(), of: name)
        self.descriptor = descriptor
        self.name = name
        shape = MapShape(information)
        id = information.id
        kernelName = withUnsafeBytes(of: information.name) {
            String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
    }

    /// Opens the map that is pinned at `path`.
    public convenience init(pinnedAt path: String, name: String) throws(Failure) {
        try self.init(Descriptor(pinnedAt: path), name: name)
    }

    /// Opens the map whose number is `id`: `bpf(BPF_MAP_GET_FD_BY_ID)`, which takes CAP_SYS_ADMIN.
    public convenience init(id: UInt32, name: String) throws(Failure) {
        let result = bpf_map_get_fd_by_id(id)
        let number = try ask("open map", "\(name) (id \(id))") { result }
        try self.init(Descriptor(owning: number), name: name)
    }

    /// A second way to a map that is open.
    public convenience init(
        duplicating other: borrowing some AnyMap & ~Copyable, name: String
    ) throws(Failure) {
        try self.init(Descriptor(duplicating: other.number, of: name), name: name)
    }

    /// Makes a new map: `bpf(BPF_MAP_CREATE)`.
    ///
    /// - Parameter inner: Of a map of maps, one as it is to hold them.
    public convenience init(
        creating shape: MapShape, named name: String, holding inner: RawMap? = nil
    ) throws(Failure) {
        let result = withOptions(bpf_map_create_opts.self, \.sz) { options in
            options.pointee.map_flags = shape.flags.rawValue
            if let inner { options.pointee.inner_map_fd = UInt32(bitPattern: inner.number) }
            return bpf_map_create(
                bpf_map_type(shape.kind), String(name.prefix(15)), UInt32(shape.keySize),
                UInt32(shape.valueSize), UInt32(shape.capacity), options)
        }
        let number = try ask("create map", name) { result }
        try self.init(Descriptor(owning: number), name: name)
    }

    /// Gives the map a name in the BPF file system.
    public func pin(at path: String) throws(Failure) { try descriptor.pin(at: path) }

    /// The value under `key`; nil if there is none. Not for per-CPU maps.
    public func value(for key: [UInt8]) throws(Failure) -> [UInt8]? {
        var value = [UInt8](repeating: 0, count: shape.stride)
        let result = bpf_map_lookup_elem(number, key, &value)
        if result == -ENOENT { return nil }
        try ask("read map", name) { result }
        value.removeLast(shape.stride - shape.valueSize)
        return value
    }

    /// Sets the value under `key`. Not for per-CPU maps.
    ///
    /// - Parameter isNew: Only if there is none; else nothing changes.
    public func set(
        _ value: [UInt8], for key: [UInt8], onlyIfNew isNew: Bool = false
    ) throws(Failure) {
        precondition(key.count == shape.keySize && value.count == shape.valueSize)
        let flags = UInt64(isNew ? BPF_NOEXIST : BPF_ANY)
        let result = bpf_map_update_elem(number, key, value, flags)
        if isNew, result == -EEXIST { return }
        try ask("write map", name) { result }
    }

    /// Removes the entry under `key`, if there is one.
    public func remove(_ key: [UInt8]) throws(Failure) {
        let result = bpf_map_delete_elem(number, key)
        if result == -ENOENT { return }
        try ask("delete from map", name) { result }
    }

    /// Every key; of an array all indices.
    public func keys() throws(Failure) -> [[UInt8]] {
        var keys: [[UInt8]] = []
        var next = [UInt8](repeating: 0, count: shape.keySize)
        // A key removed meanwhile sends the kernel back to the start: hence the bound.
        while keys.count < shape.capacity {
            let result =
                keys.last.map { bpf_map_get_next_key(number, $0, &next) }
                ?? bpf_map_get_next_key(number, nil, &next)
            if result == -ENOENT { break }
            try ask("list keys of map", name) { result }
            keys.append(next)
        }
        return keys
    }

    /// The kernel's number of the map under the index, of a map of maps; nil: there is none.
    public func innerID(_ index: Int) throws(Failure) -> UInt32? {
        try value(for: Self.key(index)).map { Self.word($0) }
    }

    /// Puts a map under the index, into a map of maps.
    public func set(inner: RawMap, at index: Int) throws(Failure) {
        let number = withUnsafeBytes(of: inner.number) { Array($0) }
        try set(number, for: Self.key(index))
    }

    /// The 32 bits at `offset` in a key or value.
    public static func word(_ bytes: [UInt8], at offset: Int = 0) -> UInt32 {
        bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: UInt32.self) }
    }

    /// The key of an array's element.
    public static func key(_ index: Int) -> [UInt8] {
        withUnsafeBytes(of: UInt32(index)) { Array($0) }
    }
}

extension Object {
    /// The map that the C variable `name` became, whatever it holds.
    public borrowing func rawMap(named name: String) throws(Failure) -> RawMap {
        let map = try map(of: name)
        return try RawMap(Descriptor(duplicating: bpf_map__fd(map), of: name), name: name)
    }
}

/// Returns when every program has left a packet in which it was at the call.
///
/// The kernel waits for them when a map in a map is replaced (`maybe_wait_bpf_programs`), so that
/// who replaces it knows that nobody has the old one.
public func waitForRunningPrograms() throws(Failure) {
    var shape = MapShape(
        kind: BPF_MAP_TYPE_ARRAY.rawValue, keySize: 4, valueSize: 8, capacity: 1, flags: [])
    let inner = try RawMap(creating: shape, named: "nothing")
    shape.kind = BPF_MAP_TYPE_ARRAY_OF_MAPS.rawValue
    shape.valueSize = 4
    let outer = try RawMap(creating: shape, named: "waiting", holding: inner)
    try outer.set(inner: inner, at: 0)
    try outer.set(inner: inner, at: 0)
}
