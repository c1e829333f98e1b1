public import FoundationEssentials

/// Something that happened, as it is logged, kept and told to those who listen.
public struct Event: Hashable, Sendable, Codable {
    public enum Kind: String, Hashable, Sendable, Codable, CaseIterable {
        /// A backend came up or went down.
        case health
        /// A way to a backend was found or lost.
        case reachability
        /// A drain or maintenance began or ended.
        case drain
        case maintenance
        /// A configuration was applied, or refused.
        case generation
        case refusal
        /// Health is ignored, or backups serve; or not any more.
        case panic
        case backup
        /// The flow table is full, or not any more.
        case pressure
        /// The program came to an interface, or went.
        case attachment
    }

    /// Greater than that of every event before; not that of any event before a restart.
    public var id: UInt64
    public var at: Date
    public var kind: Kind
    /// The generation that counted then.
    public var generation: Int
    public var service: String?
    public var backend: String?
    /// In words.
    public var text: String

    public init(
        id: UInt64, at: Date, kind: Kind, generation: Int, service: String? = nil,
        backend: String? = nil, text: String
    ) {
        self.id = id
        self.at = at
        self.kind = kind
        self.generation = generation
        self.service = service
        self.backend = backend
        self.text = text
    }
}
