import Control
import FoundationEssentials
import Netlink
import Packets

extension HostSettings {
    /// Asks the kernel: `RTM_GETADDR`, and the files below `/proc/sys/net`.
    static func read() throws -> HostSettings {
        var socket = try RouteSocket()
        let addresses = try socket.addresses().map(\.address)
        let files: [(IPFamily, String)] = [
            (.v4, "/proc/sys/net/ipv4/ip_forward"),
            (.v6, "/proc/sys/net/ipv6/conf/all/forwarding"),
        ]
        let forwarded = files.filter { _, path in
            // A file that is missing says no: the kernel does without the family.
            let text = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
            return text.hasPrefix("1")
        }
        return HostSettings(forwarded: Set(forwarded.map(\.0)), addresses: Set(addresses))
    }
}
