import CLibBPF
import Glibc

/// Any map, whatever its keys and values are.
public protocol AnyMap: ~Copyable {
    /// The C variable that declares it.
    var name: String { get }
    /// The descriptor, for calls that take any map.
    var number: Int32 { get }
}

/// A map in the kernel, seen through the C types of its keys and values.
public struct Map<Key: BitwiseCopyable & Sendable, Value: BitwiseCopyable & Sendable>:
    ~Copyable, AnyMap, Sendable
{
    let descriptor: Descriptor
    public let name: String
    /// How many entries it can hold.
    public let capacity: Int
    /// The kernel's number for it, as `bpftool map` shows it.
    public let id: UInt32

    public var number: Int32 { descriptor.number }

    /// Refuses a map whose keys or values have another size than the C types: it is of another ABI.
    init(_ descriptor: consuming Descriptor, name: String) throws(Failure) {
        let information = try descriptor.information(initial: bpf_map_info(), of: name)
        guard Int(information.key_size) == MemoryLayout<Key>.size,
            Int(information.value_size) == MemoryLayout<Value>.size
        else {
            throw Failure(
                "use map", name,
                because: "keys of \(information.key_size) and values of \(information.value_size)"
                    + " bytes, not \(MemoryLayout<Key>.size) and \(MemoryLayout<Value>.size)",
                cure: nil)
        }
        self.descriptor = descriptor
        self.name = name
        self.capacity = Int(information.max_entries)
        self.id = information.id
    }

    /// Opens the map that is pinned at `path`.
    public init(pinnedAt path: String, name: String) throws(Failure) {
        try self.init(Descriptor(pinnedAt: path), name: name)
    }

    /// Opens the map whose number is `id`: `bpf(BPF_MAP_GET_FD_BY_ID)`, which takes CAP_SYS_ADMIN.
    public init(id: UInt32, name: String) throws(Failure) {
        let result = bpf_map_get_fd_by_id(id)
        let number = try ask("open map", "\(name) (id \(id))") { result }
        try self.init(Descriptor(owning: number), name: name)
    }

    /// A second way to a map that is open.
    public init(
        duplicating other: borrowing some AnyMap & ~Copyable, name: String
    ) throws(Failure) {
        try self.init(Descriptor(duplicating: other.number, of: name), name: name)
    }

    /// Makes a new map: `bpf(BPF_MAP_CREATE)`.
    ///
    /// - Parameter name: At most 15 bytes are kept by the kernel.
    public init(
        creating kind: MapKind, named name: String, capacity: Int, flags: MapFlags = []
    ) throws(Failure) {
        let result = withOptions(bpf_map_create_opts.self, \.sz) { options in
            options.pointee.map_flags = flags.rawValue
            return bpf_map_create(
                kind.type, name, UInt32(MemoryLayout<Key>.size), UInt32(MemoryLayout<Value>.size),
                UInt32(capacity), options)
        }
        let number = try ask("create map", name) { result }
        try self.init(Descriptor(owning: number), name: name)
    }

    /// Gives the map a name in the BPF file system.
    public borrowing func pin(at path: String) throws(Failure) { try descriptor.pin(at: path) }

    /// The value under `key`; nil if there is none.
    public borrowing func value(for key: Key) throws(Failure) -> Value? {
        try withUnsafeTemporaryAllocation(of: Value.self, capacity: 1) {
            buffer throws(Failure) -> Value? in
            guard let start = buffer.baseAddress else { return nil }
            let result = withUnsafeBytes(of: key) {
                bpf_map_lookup_elem(descriptor.number, $0.baseAddress, start)
            }
            if result == -ENOENT { return nil }
            try ask("read map", name) { result }
            return start.pointee
        }
    }

    /// Sets the value under `key`, whether there is one or not.
    public borrowing func set(_ value: Value, for key: Key) throws(Failure) {
        let result = withUnsafeBytes(of: key) { key in
            withUnsafeBytes(of: value) { value in
                bpf_map_update_elem(
                    descriptor.number, key.baseAddress, value.baseAddress, UInt64(BPF_ANY))
            }
        }
        try ask("write map", name) { result }
    }

    /// Removes the entry under `key`; says whether there was one.
    @discardableResult
    public borrowing func remove(_ key: Key) throws(Failure) -> Bool {
        let result = withUnsafeBytes(of: key) {
            bpf_map_delete_elem(descriptor.number, $0.baseAddress)
        }
        if result == -ENOENT { return false }
        try ask("delete from map", name) { result }
        return true
    }

    /// Sets many values with one call: `bpf(BPF_MAP_UPDATE_BATCH)`.
    ///
    /// Not atomic: when it throws, the first ones may have been set.
    public borrowing func set(_ entries: [(key: Key, value: Value)]) throws(Failure) {
        guard !entries.isEmpty else { return }
        var keys = entries.map(\.key)
        var values = entries.map(\.value)
        var count = UInt32(entries.count)
        let result = keys.withUnsafeMutableBytes { keys in
            values.withUnsafeMutableBytes { values in
                withOptions(bpf_map_batch_opts.self, \.sz) { options in
                    bpf_map_update_batch(
                        descriptor.number, keys.baseAddress, values.baseAddress, &count, options)
                }
            }
        }
        try ask("write \(entries.count) entries of map", name) { result }
    }

    /// Every key; of an array all indices, of a hash map those that are there while it looks.
    public borrowing func keys() throws(Failure) -> [Key] {
        var keys: [Key] = []
        try withUnsafeTemporaryAllocation(of: Key.self, capacity: 2) {
            buffer throws(Failure) -> Void in
            guard let start = buffer.baseAddress else { return }
            var previous: UnsafeMutablePointer<Key>?
            // A key removed meanwhile sends the kernel back to the start: hence the bound.
            while keys.count < capacity {
                let result = bpf_map_get_next_key(descriptor.number, previous, start + 1)
                if result == -ENOENT { return }
                try ask("list keys of map", name) { result }
                keys.append(start[1])
                start[0] = start[1]
                previous = start
            }
        }
        return keys
    }

    /// Whether a hash map has no entry.
    public borrowing func isEmpty() throws(Failure) -> Bool {
        try withUnsafeTemporaryAllocation(of: Key.self, capacity: 1) {
            buffer throws(Failure) -> Bool in
            let result = bpf_map_get_next_key(descriptor.number, nil, buffer.baseAddress)
            if result == -ENOENT { return true }
            try ask("list keys of map", name) { result }
            return false
        }
    }

    /// The values of every possible CPU under `key`; for maps of a per-CPU kind.
    public borrowing func perCPU(_ key: Key) throws(Failure) -> [Value] {
        let count = try Int(ask("count CPUs for map", name) { libbpf_num_possible_cpus() })
        // The kernel pads each CPU's value to eight bytes.
        let stride = (MemoryLayout<Value>.size + 7) & ~7
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: stride * count, alignment: 8)
        defer { buffer.deallocate() }

        let result = withUnsafeBytes(of: key) {
            bpf_map_lookup_elem(descriptor.number, $0.baseAddress, buffer.baseAddress)
        }
        try ask("read map", name) { result }
        return (0..<count).map { buffer.loadUnaligned(fromByteOffset: $0 * stride, as: Value.self) }
    }

    /// Sets the value of every possible CPU under `key` to `value`.
    public borrowing func setPerCPU(_ value: Value, for key: Key) throws(Failure) {
        let count = try Int(ask("count CPUs for map", name) { libbpf_num_possible_cpus() })
        let stride = (MemoryLayout<Value>.size + 7) & ~7
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: stride * count, alignment: 8)
        defer { buffer.deallocate() }
        for cpu in 0..<count {
            buffer.storeBytes(of: value, toByteOffset: cpu * stride, as: Value.self)
        }
        let result = withUnsafeBytes(of: key) {
            bpf_map_update_elem(descriptor.number, $0.baseAddress, buffer.baseAddress, 0)
        }
        try ask("write map", name) { result }
    }
}

/// A map whose values are maps: reads give the inner map's id, writes take its descriptor.
extension Map where Value == UInt32 {
    /// Puts `inner` under `key`. Its kind and flags must be those that the outer map declares.
    public borrowing func set(
        inner: borrowing some AnyMap & ~Copyable, for key: Key
    ) throws(Failure) {
        try set(UInt32(bitPattern: inner.number), for: key)
    }

    /// The map under `key`, opened by its number, which takes CAP_SYS_ADMIN; nil if there is none.
    public borrowing func inner<InnerKey, InnerValue>(
        for key: Key, key _: InnerKey.Type = InnerKey.self, value _: InnerValue.Type
    ) throws(Failure) -> Map<InnerKey, InnerValue>? {
        guard let id = try value(for: key) else { return nil }
        return try Map<InnerKey, InnerValue>(id: id, name: "\(name)[\(key)]")
    }
}

/// A map whose values are programs, for tail calls.
extension Map where Value == UInt32 {
    /// Puts `program` under `key`.
    public borrowing func set(program: borrowing Program, for key: Key) throws(Failure) {
        try set(UInt32(bitPattern: program.descriptor.number), for: key)
    }
}

/// The kinds of map that we make ourselves; the others come out of object files.
public enum MapKind: Sendable {
    case array
    case hash

    var type: bpf_map_type {
        switch self {
        case .array: BPF_MAP_TYPE_ARRAY
        case .hash: BPF_MAP_TYPE_HASH
        }
    }
}

/// How a map is made: `BPF_F_…`.
public struct MapFlags: OptionSet, Sendable, Hashable {
    public let rawValue: UInt32

    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// It can be mapped into our memory.
    public static let mappable = MapFlags(rawValue: UInt32(BPF_F_MMAPABLE))
    /// It can be an inner map of a size that the outer one does not know.
    public static let innerOfAnySize = MapFlags(rawValue: UInt32(BPF_F_INNER_MAP))
}
