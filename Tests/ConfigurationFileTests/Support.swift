import Balancing
import ConfigurationFile
import Foundation

/// The configuration of the examples, from which the tables below change one thing at a time.
let example = """
    interfaces: [eth1]
    services:
      - name: web
        vip: 192.168.1.100
        port: 80
        protocol: tcp
        scheduler: maglev
        forwarding: l2-dsr
        health-check: { type: http, path: /healthz, interval: 1s, timeout: 500ms, rise: 2, fall: 2 }
        backends:
          - { name: server-a, address: 192.168.1.101 }
          - { name: server-b, address: 192.168.1.102, weight: 2 }
          - { name: server-c, address: 192.168.1.103 }

    """

/// What is wrong with `text`, a line for each error; empty: nothing.
func errors(_ text: String) -> [String] {
    do {
        _ = try parse(text, file: "m.yaml")
        return []
    } catch {
        return "\(error)".split(separator: "\n").map(String.init)
    }
}

/// The example with the first `old` replaced by `new`; nil if there is no `old`.
func changed(_ old: String, _ new: String) -> String? {
    example.firstRange(of: old).map { example.replacingCharacters(in: $0, with: new) }
}

/// A file with these bytes that is gone when `body` ends.
func withFile<Result>(_ bytes: [UInt8], _ body: (String) throws -> Result) throws -> Result {
    let path = FileManager.default.temporaryDirectory.appending(path: "\(UUID()).yaml")
    try Data(bytes).write(to: path)
    defer { try? FileManager.default.removeItem(at: path) }
    return try body(path.path)
}
