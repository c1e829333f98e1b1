import Foundation

/// When a process was born, in ticks since the machine was; nil if there is none (any more).
func processBirth(_ process: Int32) -> String? {
    guard let status = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8),
        let end = status.lastIndex(of: ")")
    else { return nil }
    // Behind the name: state, the third field of proc(5), and starttime, the 22nd.
    let fields = status[end...].split(separator: " ").dropFirst().map(String.init)
    return fields[0] == "Z" ? nil : fields[19]
}
