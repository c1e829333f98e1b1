import Foundation
import Lab

/// What is in `deploy`.
let deploy = URL(filePath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().appending(path: "deploy")

/// A unit of systemd, as far as a test can do what it says without systemd.
struct Unit {
    /// Every line `key=value`, in the order of the file.
    let assignments: [(key: String, value: String)]

    init(_ name: String) throws {
        let file = deploy.appending(path: "systemd/\(name)")
        assignments = try String(contentsOf: file, encoding: .utf8).split(separator: "\n")
            .filter { !$0.hasPrefix("#") }.compactMap { line in
                guard let equals = line.firstIndex(of: "=") else { return nil }
                return (String(line[..<equals]), String(line[line.index(after: equals)...]))
            }
    }

    subscript(key: String) -> String? { assignments.last { $0.key == key }?.value }

    /// Those of a list, as capabilities(7) writes them.
    func capabilities(_ key: String) -> [String] {
        (self[key] ?? "").split(separator: " ").map(String.init)
    }
}

/// What starts a program with these capabilities and no others, nor a way to more, as systemd does.
///
/// - Parameter user: Its number, and that of its group; nil: root's.
func sandbox(_ capabilities: [String], user: Int?) -> [String] {
    let some = (["-all"] + capabilities.map { "+" + $0.dropFirst("CAP_".count).lowercased() })
        .joined(separator: ",")
    let identity = user.map {
        [
            "--reuid", "\($0)", "--regid", "\($0)", "--clear-groups", "--ambient-caps", some,
        ]
    }
    return ["setpriv", "--no-new-privs"] + (identity ?? [])
        + ["--inh-caps", some, "--bounding-set", some]
}

extension Node {
    /// Makes what systemd makes for the unit's user before it starts: its directories, and what
    /// `tmpfiles.conf` says.
    func prepare(_ unit: Unit, user: Int) async throws {
        for (parent, kind) in [("/run", "RuntimeDirectory"), ("/var/lib", "StateDirectory")] {
            guard let name = unit[kind], let mode = unit["\(kind)Mode"] else { continue }
            try await run([
                "install", "-d", "-m", mode, "-o", "\(user)", "-g", "\(user)", "\(parent)/\(name)",
            ])
        }
        let text = try String(
            contentsOf: deploy.appending(path: "systemd/tmpfiles.conf"), encoding: .utf8)
        for line in text.split(separator: "\n") where !line.hasPrefix("#") {
            let words = line.split(separator: " ").map {
                $0 == "martlet" ? "\(user)" : String($0)
            }
            // `d`: to be made; `z`: there already.
            try await run([
                "install", "-d", "-m", words[2], "-o", words[3], "-g", words[4], words[1],
            ])
        }
    }
}
