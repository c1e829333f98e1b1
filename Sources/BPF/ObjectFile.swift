import CLibBPF
import Glibc

/// A BPF object file that was read but is not in the kernel yet.
public struct ObjectFile: ~Copyable {
    private let raw: OpaquePointer
    private let name: String
    private let log: LogBuffer

    /// Reads `image`, an ELF file that clang made for the target `bpf`.
    public init(named name: String, image: Span<UInt8>) throws(Failure) {
        _ = silence
        let log = LogBuffer()
        let (raw, code): (OpaquePointer?, Int32) = image.withUnsafeBufferPointer { image in
            name.withCString { name in
                withOptions(bpf_object_open_opts.self, \.sz) { options in
                    options.pointee.object_name = name
                    // Left empty unless the verifier refuses: libbpf then loads again, with it.
                    options.pointee.kernel_log_buf = log.start
                    options.pointee.kernel_log_size = LogBuffer.size
                    let raw = bpf_object__open_mem(image.baseAddress, image.count, options)
                    return (raw, raw == nil ? errno : 0)
                }
            }
        }
        guard let raw else { throw Failure("read object", name, code: code) }
        self.raw = raw
        self.name = name
        self.log = log
    }

    deinit { bpf_object__close(raw) }

    /// Makes the program use `map` for its map of the same name, instead of a new one.
    public borrowing func reuse(_ map: borrowing some AnyMap & ~Copyable) throws(Failure) {
        try reuse(map, as: map.name)
    }

    /// Makes the program use `map` for its map `name`.
    public borrowing func reuse(
        _ map: borrowing some AnyMap & ~Copyable, as name: String
    ) throws(Failure) {
        let result = bpf_map__reuse_fd(try find(name), map.number)
        try ask("reuse map", map.name) { result }
    }

    /// The names of the object's maps, in the order of the file; libbpf's own for variables too.
    public var mapNames: [String] {
        var names: [String] = []
        var map = bpf_object__next_map(raw, nil)
        while let present = map {
            names.append(String(cString: bpf_map__name(present)))
            map = bpf_object__next_map(raw, present)
        }
        return names
    }

    /// Puts maps and programs into the kernel; the error has the verifier's last lines.
    public consuming func load() throws(Failure) -> Object {
        let result = bpf_object__load(raw)
        guard result >= 0 else {
            throw Failure("load object", name, code: -result, log: log.lastLines(20))
        }
        return Object(self)
    }

    /// Sets the constants of the object, its `const volatile` variables, in the order of the file.
    public borrowing func setConstants(_ bytes: [UInt8]) throws(Failure) {
        guard let section = mapNames.first(where: { $0.hasSuffix(".rodata") }) else {
            throw Failure("find constants of", name, because: "there are none", cure: nil)
        }
        let map = try find(section)
        let result = bpf_map__set_initial_value(map, bytes, bytes.count)
        try ask("set constants of", name) { result }
    }

    func find(_ map: String) throws(Failure) -> OpaquePointer {
        guard let found = bpf_object__find_map_by_name(raw, map) else {
            throw Failure("find map", map, code: errno)
        }
        return found
    }

    fileprivate func findProgram(_ program: String) throws(Failure) -> OpaquePointer {
        guard let found = bpf_object__find_program_by_name(raw, program) else {
            throw Failure("find program", program, code: errno)
        }
        return found
    }
}

/// A BPF object whose programs and maps are in the kernel.
///
/// What is taken out of it owns itself: the object may go when that is done.
public struct Object: ~Copyable {
    private let file: ObjectFile

    fileprivate init(_ file: consuming ObjectFile) { self.file = file }

    /// The program that the C function `name` became.
    public borrowing func program(named name: String) throws(Failure) -> Program {
        let program = try file.findProgram(name)
        let descriptor = try Descriptor(duplicating: bpf_program__fd(program), of: name)
        return Program(descriptor: descriptor, name: name)
    }

    borrowing func map(of name: String) throws(Failure) -> OpaquePointer { try file.find(name) }

    /// The map that the C variable `name` became.
    public borrowing func map<Key, Value>(
        named name: String, key: Key.Type = Key.self, value: Value.Type = Value.self
    ) throws(Failure) -> Map<Key, Value> {
        let map = try file.find(name)
        return try Map(Descriptor(duplicating: bpf_map__fd(map), of: name), name: name)
    }
}

/// Room for the verifier's log; pages that stay untouched cost nothing.
private struct LogBuffer: ~Copyable {
    static let size = 16 << 20
    let start: UnsafeMutablePointer<CChar>

    init() {
        start = .allocate(capacity: Self.size)
        start[0] = 0
    }

    deinit { start.deallocate() }

    /// The end of the log, where the reason is; nil if nothing was logged.
    func lastLines(_ count: Int) -> String? {
        let lines = String(cString: start).split(separator: "\n")
        return lines.isEmpty ? nil : lines.suffix(count).joined(separator: "\n")
    }
}

/// libbpf writes to standard error unasked; what it has to say is in our errors.
private let silence: Void = { _ = libbpf_set_print(nil) }()
