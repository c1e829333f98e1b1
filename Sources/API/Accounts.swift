import FoundationEssentials

/// Users and groups of this machine: passwd(5) and group(5).
///
/// The files alone. `getpwuid_r` asks whatever the machine has configured, over libraries that a
/// static program can't load, and over networks that may not answer.
enum Accounts {
    static func userName(of number: UInt32) -> String? {
        entries("/etc/passwd").first { $0.count > 2 && UInt32($0[2]) == number }.map {
            String($0[0])
        }
    }

    static func group(called name: String) -> UInt32? {
        entries("/etc/group").first { $0.count > 2 && $0[0] == name }.flatMap { UInt32($0[2]) }
    }

    private static func entries(_ path: String) -> [[Substring]] {
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return [] }
        return text.split(separator: "\n").map {
            $0.split(separator: ":", omittingEmptySubsequences: false)
        }
    }
}
