import Balancing
import Control
import FoundationEssentials
import Netlink
import Packets

extension HostSettings {
    /// Asks the kernel: `RTM_GETADDR`, `RTM_GETROUTE`, and the files below `/proc/sys/net`, of
    /// which some are for the interfaces.
    ///
    /// A VIP in a route of the kind `local` is an address of this host without being on any
    /// interface.
    static func read(for desired: DesiredState) throws -> HostSettings {
        let interfaces = desired.interfaces
        var socket = try RouteSocket()
        var addresses = try socket.addresses().map(\.address)
        for vip in desired.services.map(\.vip.prefix.base) where !addresses.contains(vip) {
            if try socket.route(to: vip) == .unusable(.local) { addresses.append(vip) }
        }
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
