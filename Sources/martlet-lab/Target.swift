import ArgumentParser
import NIOCore

/// An address and a port, as people write them together.
struct Target: ExpressibleByArgument {
    let address: SocketAddress
    /// As it was written, and as HTTP's `Host` writes it.
    let text: String

    /// Reads `192.168.1.100:80` or `[fd00:1::100]:80`; no names, which a lab has none of.
    init?(argument: String) {
        guard let colon = argument.lastIndex(of: ":"),
            let port = UInt16(argument[argument.index(after: colon)...])
        else { return nil }
        var host = argument[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            // Without brackets nobody can tell where the address ends.
            return nil
        }
        guard let address = try? SocketAddress(ipAddress: String(host), port: Int(port))
        else { return nil }
        self.address = address
        text = argument
    }
}
