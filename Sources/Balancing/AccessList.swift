public import Packets

/// Which clients may use a service: of the prefixes that a client's address is in, the longest
/// decides.
public struct AccessList: Hashable, Sendable {
    /// What becomes of the packets of a client.
    public enum Rule: Hashable, Sendable {
        case allow
        case deny
    }

    /// All of the family of the VIP.
    public var rules: [IPPrefix: Rule]

    /// Without rules everybody is allowed.
    public init(_ rules: [IPPrefix: Rule] = [:]) { self.rules = rules }

    /// What is said of clients that no prefix contains.
    public enum Others: Hashable, Sendable {
        /// There is no list to look at.
        case unlisted
        case allowed
        case denied
    }

    /// Who says whom to allow denies the others.
    public var others: Others {
        if rules.isEmpty { return .unlisted }
        return rules.values.contains(.allow) ? .denied : .allowed
    }

    /// Whether `client` may use the service.
    public func allows(_ client: IPAddress) -> Bool {
        let longest = rules.filter { $0.key.contains(client) }.max { $0.key.length < $1.key.length }
        return longest.map { $0.value == .allow } ?? (others != .denied)
    }
}
