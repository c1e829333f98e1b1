/// A change of the configuration that somebody wants.
///
/// What is wanted over the API lies over what the file says, and stays when the file is read
/// anew.
public enum Proposal: Hashable, Sendable {
    /// A text like that of a configuration file takes the place of the one that counts now. `name`
    /// is what error messages call it.
    case file(text: String, name: String)
    /// The file that the controller was started with, as it is now.
    case reload
    /// All that an earlier generation was made of; nil: the one before this.
    case rollback(to: Int?)
    /// A service that no file has, as a mapping in YAML or JSON with the keys of the file.
    case setService(String, text: String)
    case removeService(String)
    /// A backend that no file has, in a service of the file's or of the API's.
    case setBackend(BackendReference, text: String)
    case removeBackend(BackendReference)
    /// Another weight than the file's; nil: that of the file.
    case setWeight(BackendReference, UInt16?)
}

/// Who asks for something, and may have it or not.
public struct Requester: Hashable, Sendable, Codable {
    public enum Role: String, Hashable, Sendable, Codable, CaseIterable {
        /// Sees everything, and changes nothing.
        case reader
        case admin
    }

    /// For the history and the audit log: `uid 0 root (pid 4711)`, `CN=alice`.
    public var name: String
    public var role: Role

    public init(_ name: String, role: Role) {
        self.name = name
        self.role = role
    }

    /// What nobody asked for: the start, a signal.
    public static func controller(_ cause: String) -> Requester {
        Requester(cause, role: .admin)
    }
}

/// Under which conditions a change is to be made, and for whom.
public struct ChangeOrder: Hashable, Sendable {
    public var requester: Requester
    /// It was decided on looking at this generation; nil: at whatever there is.
    public var generation: Int?
    /// ``PlanReport/token`` of the plan that is to be carried out, and no other; nil: any.
    public var plan: String?

    public init(_ requester: Requester, generation: Int? = nil, plan: String? = nil) {
        self.requester = requester
        self.generation = generation
        self.plan = plan
    }
}
