public import Packets

/// Which sources may use a service. The longest prefix that covers a source decides.
public struct AccessList: Hashable, Sendable {
    public enum Answer: Hashable, Sendable {
        case allow
        case deny
    }

    public var rules: [IPPrefix: Answer]

    /// Everybody may, unless a rule says otherwise.
    public init(_ rules: [IPPrefix: Answer] = [:]) { self.rules = rules }

    /// What is said to a source that no prefix covers: who is asked to allow some means only those.
    public var answerToOthers: Answer { rules.values.contains(.allow) ? .deny : .allow }
}
