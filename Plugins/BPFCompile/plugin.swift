import Foundation
import PackagePlugin

/// Compiles every `bpf/src/*.bpf.c` and has `EmbedObjects` write the objects into one Swift file.
@main
struct BPFCompile: BuildToolPlugin {
    func createBuildCommands(context: PluginContext, target: Target) throws -> [Command] {
        let bpf = context.package.directoryURL.appending(path: "bpf")
        let output = context.pluginWorkDirectoryURL
        let files = try FileManager.default.subpathsOfDirectory(atPath: bpf.path).sorted()
        // Build-tool commands have no dependency file: every header is an input of every object.
        let headers = files.filter { $0.hasSuffix(".h") }.map { bpf.appending(path: $0) }
        let names = files.filter { $0.hasPrefix("src/") && $0.hasSuffix(".bpf.c") }
            .map { String($0.dropFirst("src/".count).dropLast(".bpf.c".count)) }
        let object = { (name: String) in output.appending(path: "\(name).bpf.o") }

        let clang = try context.tool(named: "clang").url
        let compilations = names.map { name in
            let source = bpf.appending(path: "src/\(name).bpf.c")
            return Command.buildCommand(
                displayName: "Compiling \(name).bpf.c for the kernel",
                executable: clang,
                arguments: flags(bpf) + ["-c", source.path, "-o", object(name).path],
                inputFiles: headers + [source],
                outputFiles: [object(name)])
        }
        let swift = output.appending(path: "Images.swift")
        let embedding = Command.buildCommand(
            displayName: "Embedding \(names.count) BPF objects",
            executable: try context.tool(named: "EmbedObjects").url,
            arguments: [swift.path] + names.map { "\($0)=\(object($0).path)" },
            inputFiles: names.map(object),
            outputFiles: [swift])
        return compilations + [embedding]
    }

    private func flags(_ bpf: URL) -> [String] {
        [
            "-target", "bpf", "-mcpu=v3", "-std=gnu2x", "-O2", "-g",
            // Packets and tables are read and written as words of whatever size serves.
            "-fno-strict-aliasing",
            "-Wall", "-Wextra", "-Werror",
            "-I", bpf.appending(path: "include").path,
            // The object is the same from whatever directory it is built.
            "-ffile-prefix-map=\(bpf.path)=bpf", "-fdebug-compilation-dir=.",
        ] + architectureHeaders().flatMap { ["-idirafter", $0] }
    }

    /// Where Debian keeps `<asm/types.h>` for the host, which clang's target bpf does not look in.
    private func architectureHeaders() -> [String] {
        let include = "/usr/include"
        let entries = (try? FileManager.default.contentsOfDirectory(atPath: include)) ?? []
        return entries.filter { $0.hasSuffix("-linux-gnu") }.sorted().map { "\(include)/\($0)" }
    }
}
