/// How records are written.
public enum LogFormat: String, Sendable, CaseIterable {
    /// For people: `2030-01-31T12:00:00.123Z warning: message  service=web backend=server-a`
    case text
    /// For programs: an object for each record, on a line of its own.
    case json
}
