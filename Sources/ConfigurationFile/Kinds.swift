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

extension Kind where Result == Affinity {
    static var affinity: Kind { .word(Affinity.allCases.map { ($0.rawValue, $0) }) }
}

extension Kind where Result == Bool {
    static var yesOrNo: Kind { .word([("true", true), ("false", false)]) }

    /// Whether flows are remembered.
    static var tracking: Kind { .word([("flows", true), ("none", false)]) }
}

extension Kind where Result == Int {
    /// A share in percent; 0: none, also as a word.
    static var threshold: Kind {
        let accepted = "none, or a share from 0% to 100%, like 50%"
        return Kind(accepted: accepted) { text, _ in
            if text == "none" { return .value(0) }
            let digits = text.prefix { ("0"..."9").contains($0) }
            let rest = text.dropFirst(digits.count)
            guard digits.utf8.count <= 9, let share = Int(digits), (0...100).contains(share),
                ["%", "", " %"].contains(rest)
            else { return .refused(suggestion: nearest(to: text, among: ["none"])) }
            return rest == "%" && digits == "\(share)"
                ? .value(share) : .refused(suggestion: "\(share)%")
        }
    }
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
