public import ConfigurationFile

/// Why what somebody asked for is not done: nothing has changed.
public struct Refusal: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Kind: String, Hashable, Sendable, Codable, CaseIterable {
        /// There is no such service, backend or generation.
        case unknown
        /// It would do what nobody can want, or something else is in its way.
        case conflict
        /// It makes no sense.
        case invalid
        /// It was asked for on the ground of what is not so any more.
        case stale
        /// Who asks may not have it.
        case forbidden
    }

    public var kind: Kind
    public var description: String
    /// All that is wrong with a configuration, if that is why.
    public var errors: ConfigurationErrors?

    public init(_ kind: Kind, _ description: String, errors: ConfigurationErrors? = nil) {
        self.kind = kind
        self.description = description
        self.errors = errors
    }
}
