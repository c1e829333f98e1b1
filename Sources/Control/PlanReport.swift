/// What a change of the configuration would do, for people and for programs.
public struct PlanReport: Hashable, Sendable, Codable {
    /// What a thing becomes.
    public enum Kind: String, Hashable, Sendable, Codable, CaseIterable {
        case added, removed, changed
    }

    /// A key of the configuration whose value becomes another one, both as the file writes them.
    public struct Field: Hashable, Sendable, Codable {
        /// `weight`, `health-check.interval`
        public var key: String
        /// Nil: it is not there.
        public var before: String?
        public var after: String?

        public init(_ key: String, before: String?, after: String?) {
            self.key = key
            self.before = before
            self.after = after
        }
    }

    public struct Backend: Hashable, Sendable, Codable {
        public var kind: Kind
        public var name: String
        public var address: String
        /// Of one that is added or removed: none.
        public var fields: [Field]

        public init(_ kind: Kind, name: String, address: String, fields: [Field] = []) {
            self.kind = kind
            self.name = name
            self.address = address
            self.fields = fields
        }
    }

    /// How many slots get another owner, if new backends pass their checks.
    public struct Slots: Hashable, Sendable, Codable {
        public var moved: Int
        public var count: Int

        public init(moved: Int = 0, of count: Int = 0) {
            self.moved = moved
            self.count = count
        }

        /// From 0 to 1.
        public var share: Double { count == 0 ? 0 : Double(moved) / Double(count) }
    }

    /// What becomes of open flows that are recorded; those that are not are no more at risk:
    /// docs/consistency.md.
    public struct Flows: Hashable, Sendable, Codable {
        /// Go on where they are.
        public var stay: Int
        /// Go on with another backend: datagrams of a service without tracking.
        public var move: Int
        public var `break`: Int
        /// Whether more flows break, which nobody has counted: those of a service that is removed,
        /// and needs no records.
        public var breaksUncounted: Bool

        public init(stay: Int = 0, move: Int = 0, break: Int = 0, breaksUncounted: Bool = false) {
            self.stay = stay
            self.move = move
            self.break = `break`
            self.breaksUncounted = breaksUncounted
        }
    }

    public struct Service: Hashable, Sendable, Codable {
        public var kind: Kind
        public var name: String
        /// Of one with the same frontend that was called otherwise; nil: no other.
        public var formerName: String?
        public var fields: [Field]
        public var backends: [Backend]
        public var slots: Slots
        public var flows: Flows

        public init(
            _ kind: Kind, name: String, formerName: String? = nil, fields: [Field] = [],
            backends: [Backend] = [], slots: Slots = Slots(), flows: Flows = Flows()
        ) {
            self.kind = kind
            self.name = name
            self.formerName = formerName
            self.fields = fields
            self.backends = backends
            self.slots = slots
            self.flows = flows
        }
    }

    /// The generation that it starts from.
    public var generation: Int
    /// What it would do, and from where, as one word: whoever applies it with this word gets
    /// exactly this.
    public var token: String
    /// Of the node: interfaces, NAT addresses.
    public var fields: [Field]
    /// Those that differ.
    public var services: [Service]
    /// What was ordered over the API and falls away because of another file, and why, as in
    /// `service api: martlet.yaml has a service of this name`.
    public var dropped: [String]
    /// Sums over all services.
    public var slots: Slots
    public var flows: Flows

    public init(
        generation: Int, token: String, fields: [Field], services: [Service],
        dropped: [String] = [], slots: Slots = Slots(), flows: Flows = Flows()
    ) {
        self.generation = generation
        self.token = token
        self.fields = fields
        self.services = services
        self.dropped = dropped
        self.slots = slots
        self.flows = flows
    }

    /// Whether nothing would change.
    public var isEmpty: Bool { changesNothing && dropped.isEmpty }

    /// Whether what is balanced would stay as it is: orders may fall away all the same.
    public var changesNothing: Bool { fields.isEmpty && services.isEmpty }
}
