import Balancing
import Packets

/// What a health check asks, as the file has it.
enum ProbeType: String, CaseIterable {
    case tcp
    case http
}

extension Kind where Result == AttachMode {
    static var attachMode: Kind { .word(AttachMode.allCases.map { ($0.rawValue, $0) }) }
}

extension Kind where Result == Transport {
    static var transport: Kind { .word(Transport.allCases.map { ($0.name, $0) }) }
}

extension Kind where Result == Scheduler {
    static var scheduler: Kind { .word(Scheduler.allCases.map { ($0.rawValue, $0) }) }
}

extension Kind where Result == Forwarding {
    static var forwarding: Kind { .word(Forwarding.allCases.map { ($0.rawValue, $0) }) }
}

extension Kind where Result == ProbeType {
    static var probeType: Kind { .word(ProbeType.allCases.map { ($0.rawValue, $0) }) }
}

extension Kind where Result == VIP.Ping {
    static var ping: Kind { .word(VIP.Ping.allCases.map { ($0.rawValue, $0) }) }
}

extension Kind where Result == VIP.OtherPorts {
    static var otherPorts: Kind { .word(VIP.OtherPorts.allCases.map { ($0.rawValue, $0) }) }
}

extension Kind where Result == String {
    /// The name of a service or a backend: safe in a log, a URL and a metric's label.
    static var name: Kind {
        let accepted =
            "1 to \(Limits.name) ASCII letters, digits, \"-\", \"_\" and \".\", the first a letter "
            + "or digit"
        return .text(accepted) { text in
            let isPlain = { (symbol: Unicode.Scalar) in
                symbol.isASCII && (symbol.properties.isAlphabetic || ("0"..."9").contains(symbol))
            }
            guard (1...Limits.name).contains(text.unicodeScalars.count),
                text.unicodeScalars.first.map(isPlain) == true,
                text.unicodeScalars.allSatisfy({ isPlain($0) || "-_.".unicodeScalars.contains($0) })
            else { return nil }
            return text
        }
    }

    /// A name that the kernel takes for an interface: `dev_valid_name`.
    static var interface: Kind {
        let accepted =
            "an interface name of 1 to \(Limits.interfaceName) bytes without spaces, \"/\" and "
            + "\":\", like eth1"
        return .text(accepted) { text in
            guard (1...Limits.interfaceName).contains(text.utf8.count), text != ".", text != "..",
                text.unicodeScalars.allSatisfy({
                    !$0.properties.isWhitespace && $0.value > 32 && $0.value != 127
                        && $0 != "/" && $0 != ":"
                })
            else { return nil }
            return text
        }
    }

    /// The path of an HTTP request: nothing in it can end the request line (RFC 9112 §3).
    static var path: Kind {
        let accepted =
            "a path of at most \(Limits.requestText) bytes that begins with \"/\", of printable "
            + "ASCII without spaces, like /healthz"
        return .text(accepted) { text in
            isRequestText(text) && text.hasPrefix("/") ? text : nil
        }
    }

    /// The host header of an HTTP request (RFC 9110 §7.2).
    static var host: Kind {
        let accepted =
            "a host name of printable ASCII without spaces, with a port if need be, like "
            + "www.example.org"
        return .text(accepted) { isRequestText($0) ? $0 : nil }
    }
}

/// Printable ASCII without spaces: nothing that could end a line of an HTTP request.
private func isRequestText(_ text: String) -> Bool {
    (1...Limits.requestText).contains(text.utf8.count)
        && text.utf8.allSatisfy { (33...126).contains($0) }
}
