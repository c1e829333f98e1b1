import CLibBPF

/// What the kernel makes a map by: two maps of the same shape can stand in for one another.
public struct MapShape: Sendable, Hashable {
    /// `BPF_MAP_TYPE_…`
    public var kind: UInt32
    /// In bytes.
    public var keySize: Int
    /// In bytes; of a per-CPU map for each CPU.
    public var valueSize: Int
    /// How many entries it can hold.
    public var capacity: Int
    public var flags: MapFlags

    /// In what the kernel keeps it: elements begin at multiples of eight bytes.
    public var stride: Int { (valueSize + 7) & ~7 }

    public var isArray: Bool { kind == BPF_MAP_TYPE_ARRAY.rawValue }
    /// Each CPU has values of its own, of which it is the only writer.
    public var isPerCPUArray: Bool { kind == BPF_MAP_TYPE_PERCPU_ARRAY.rawValue }
    /// Its values are maps.
    public var holdsMaps: Bool { kind == BPF_MAP_TYPE_ARRAY_OF_MAPS.rawValue }
}

extension ObjectFile {
    /// The shape that the object wants of the map `name`.
    public borrowing func shape(of name: String) throws(Failure) -> MapShape {
        MapShape(try find(name))
    }

    /// The shape that it wants of the maps in the map `name`; nil: that one holds no maps.
    public borrowing func innerShape(of name: String) throws(Failure) -> MapShape? {
        bpf_map__inner_map(try find(name)).map(MapShape.init)
    }
}

extension MapShape {
    fileprivate init(_ map: OpaquePointer) {
        self.init(
            kind: bpf_map__type(map).rawValue, keySize: Int(bpf_map__key_size(map)),
            valueSize: Int(bpf_map__value_size(map)), capacity: Int(bpf_map__max_entries(map)),
            flags: MapFlags(rawValue: bpf_map__map_flags(map)))
    }

    init(_ information: bpf_map_info) {
        self.init(
            kind: information.type, keySize: Int(information.key_size),
            valueSize: Int(information.value_size), capacity: Int(information.max_entries),
            flags: MapFlags(rawValue: information.map_flags))
    }
}
