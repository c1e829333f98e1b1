import Control
import FoundationEssentials
import Netlink
import Packets

extension HostSettings {
    /// Asks the kernel: `RTM_GETADDR`, and the files below `/proc/sys/net`, of which some are for
    /// these interfaces.
    static func read(_ interfaces: [String]) throws -> HostSettings {
        var socket = try RouteSocket()
        let addresses = try socket.addresses().map(\.address)
        let files: [(IPFamily, String)] = [
            (.v4, "ipv4/ip_forward"), (.v6, "ipv6/conf/all/forwarding"),
        ]
        let accepting = (["all"] + interfaces).filter { isOn("ipv4/conf/\($0)/accept_local") }
        return HostSettings(
            forwarded: Set(files.filter { isOn($0.1) }.map(\.0)), addresses: Set(addresses),
            acceptingLocal: Set(accepting))
    }
}

/// What a file below `/proc/sys/net` says. One that is missing says no: the kernel does without.
private func isOn(_ file: String) -> Bool {
    let text = try? String(contentsOfFile: "/proc/sys/net/\(file)", encoding: .utf8)
    return text?.hasPrefix("1") == true
}
