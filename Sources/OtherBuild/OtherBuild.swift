import Foundation

/// A build of the data path that differs from ours, as a later version may: for tests of upgrade
/// and downgrade.
///
/// It is made of the same source. Structs have eight bytes more at their end, and it counts all
/// packets once more, in a map `visits` that ours does not have.
public enum OtherBuild {
    /// The structs that have grown: the values of all tables but those of which other structs, or
    /// the hardware, want the size.
    public static let grownStructs = [
        "backend", "settings", "load", "flow_bucket", "turns", "traffic", "count", "nat_bucket",
        "vip", "egress", "fragment", "nat_return", "budget",
    ]

    /// Their tables.
    public static let grownTables: Set<String> = [
        "backends", "settings", "backend_loads", "flows", "turns", "service_counters",
        "backend_counters", "verdict_counters", "nat_tables", "vips", "egresses", "fragments",
        "nat_returns", "error_budget",
    ]

    /// The object file.
    ///
    /// - Parameter kept: Structs that are as ours.
    public static func compile(keeping kept: [String] = []) throws -> [UInt8] {
        let manager = FileManager.default
        let folder = manager.temporaryDirectory.appending(path: "martlet-\(UUID().uuidString)")
        try manager.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? manager.removeItem(at: folder) }
        let bpf = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "bpf")
        try manager.copyItem(at: bpf.appending(path: "src"), to: folder.appending(path: "src"))
        try manager.copyItem(
            at: bpf.appending(path: "include"), to: folder.appending(path: "include"))
        try rewrite(folder.appending(path: "include/martlet_abi.h")) { text in
            for name in grownStructs where !kept.contains(name) { try grow(name, in: &text) }
        }
        try rewrite(folder.appending(path: "src/count.h"), addVisits)
        try compile(in: folder)
        return Array(try Data(contentsOf: folder.appending(path: "martlet.bpf.o")))
    }

    /// Why the other build can't be made: the source is not as it was when this was written.
    public struct Failure: Error, CustomStringConvertible { public let description: String }

    private static func rewrite(_ file: URL, _ change: (inout String) throws -> Void) throws {
        var text = try String(contentsOf: file, encoding: .utf8)
        try change(&text)
        try text.write(to: file, atomically: false, encoding: .utf8)
    }

    private static func grow(_ name: String, in text: inout String) throws {
        guard let start = text.range(of: "\nstruct martlet_\(name) {\n"),
            let end = text.range(of: "\n};\n", range: start.upperBound..<text.endIndex)
        else { throw Failure(description: "no struct martlet_\(name)") }
        text.replaceSubrange(end, with: "\n\t__u64 grown;\n};\n")
        // What is said of its size is not so any more.
        let assertion = "_Static_assert(sizeof(struct martlet_\(name)) == "
        text = text.split(separator: "\n", omittingEmptySubsequences: false)
            .filter { !$0.hasPrefix(assertion) }.joined(separator: "\n")
    }

    private static func addVisits(_ text: inout String) throws {
        let head =
            "static __always_inline void count(void *counters, __u32 index, __u32 bytes)\n{\n"
        guard let place = text.range(of: head) else { throw Failure(description: "no count()") }
        text.replaceSubrange(
            place,
            with: """
                struct {
                \t__uint(type, BPF_MAP_TYPE_ARRAY);
                \t__uint(max_entries, 1);
                \t__type(key, __u32);
                \t__type(value, __u64);
                } visits SEC(".maps");

                \(head)\t__u32 zero = 0;
                \t__u64 *visit = bpf_map_lookup_elem(&visits, &zero);

                \tif (visit)
                \t\t__sync_fetch_and_add(visit, 1);

                """)
    }

    private static func compile(in folder: URL) throws {
        let clang = Process()
        clang.executableURL = URL(filePath: "/usr/bin/env")
        let include = (try? FileManager.default.contentsOfDirectory(atPath: "/usr/include")) ?? []
        clang.arguments =
            [
                compiler(), "-target", "bpf", "-mcpu=v3", "-std=gnu2x", "-O2", "-g",
                "-fno-strict-aliasing", "-Wall", "-Wextra", "-Werror", "-I",
                folder.appending(path: "include").path, "-c",
                folder.appending(path: "src/martlet.bpf.c").path, "-o",
                folder.appending(path: "martlet.bpf.o").path,
            ]
            + include.filter { $0.hasSuffix("-linux-gnu") }
            .flatMap { ["-idirafter", "/usr/include/\($0)"] }
        let errors = Pipe()
        clang.standardError = errors
        try clang.run()
        let text = errors.fileHandleForReading.readDataToEndOfFile()
        clang.waitUntilExit()
        guard clang.terminationStatus == 0 else {
            throw Failure(description: String(decoding: text, as: UTF8.self))
        }
    }

    /// The toolchain's clang, which lies beside its `swift`; else whichever is found.
    private static func compiler() -> String {
        let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
        for folder in path.split(separator: ":") {
            let swift = URL(filePath: "\(folder)/swift").resolvingSymlinksInPath()
            let clang = swift.deletingLastPathComponent().appending(path: "clang").path
            if FileManager.default.isExecutableFile(atPath: swift.path),
                FileManager.default.isExecutableFile(atPath: clang)
            {
                return clang
            }
        }
        return "clang"
    }
}
