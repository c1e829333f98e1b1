public import Packets

/// What must happen for a plane to hold the targets.
///
/// A plan is a value: it can be printed, compared in a test, and it is empty when nothing has to
/// change. Its order never leaves a hole. What packets can find is built from the far end: the
/// backend's record, the slot that names it, the access list, the keys, the VIP; and it is taken
/// apart in reverse; a slot moves away before its backend loses the next hop. So a packet that
/// finds a service before and after finds one at every moment in between, and a client whom the
/// access list of a service allows, or denies, before and after is never denied, or allowed, in
/// between.
///
/// Slots go through their phases (``Slot/given(to:lost:)``), so that no flow is cut of a backend
/// that a target lists and that is not lost. A record goes after the slots that name it, as owner
/// or as former owner, and after the entries of its flows.
///
/// With `nat` and `full-nat` answers come back here: what makes them the VIP's is there before the
/// first packet goes out, and goes after the last. A backend that one `nat` service hands to
/// another gets no packets of the one any more before its answers are the other's.
public struct Plan: Hashable, Sendable {
    public let steps: [Step]

    /// A plane that has no room left for what is asked of it.
    public struct Exhausted: Error, Hashable, Sendable, CustomStringConvertible {
        public let description: String
    }

    /// How much a plane has room for.
    public struct Capacity: Hashable, Sendable {
        /// Numbers are 1 to `services` - 1.
        public var services: UInt32
        /// Numbers are 1 to `backends` - 1.
        public var backends: UInt16
        /// Keys of services of one family.
        public var keys: Int
        public var vips: Int
        /// Prefixes in all access lists.
        public var rules: Int
        /// Ports of backends whose answers become the VIP's.
        public var returns: Int
        /// Numbers are 1 to `natAddresses` - 1.
        public var natAddresses: UInt16

        public init(
            services: UInt32 = 1 << 14, backends: UInt16 = 1 << 15, keys: Int = 1 << 16,
            vips: Int = 1 << 14, rules: Int = 1 << 16, returns: Int = 1 << 16,
            natAddresses: UInt16 = 1 << 8
        ) {
            self.services = services
            self.backends = backends
            self.keys = keys
            self.vips = vips
            self.rules = rules
            self.returns = returns
            self.natAddresses = natAddresses
        }
    }

    /// What a plane is to send the flows of `full-nat` from.
    public struct Pool: Hashable, Sendable {
        /// Each once, in an order that is the same after a restart.
        public var addresses: [IPAddress]
        /// The flows that are open now at those that are ``NATPool/inQuestion(wanting:)``. An
        /// address that is not wanted any more stays as long as
        /// there are some; only a plane without room for the others loses it at once.
        public var use: NATUse

        public init(addresses: [IPAddress], use: NATUse) {
            self.addresses = addresses
            self.use = use
        }
    }

    /// What a plan does with the services that it has no target for.
    public enum Others: Hashable, Sendable {
        case kept
        case removed
    }

    /// Plans the way from `contents` to `targets`.
    ///
    /// Where a plane has no room for old and new at once, what nobody wants any more goes first.
    ///
    /// - Parameters:
    ///   - others: What becomes of services that are not among the targets.
    ///   - pool: Nil: the NAT addresses stay as they are.
    public init(
        from contents: PlaneContents, to targets: [Target], others: Others, pool: Pool? = nil,
        capacity: Capacity = Capacity()
    ) throws(Exhausted) {
        let planner = Planner(contents, targets, others, pool, capacity)
        do throws(Exhausted) {
            steps = try planner.steps(makingRoomFirst: false)
        } catch {
            steps = try planner.steps(makingRoomFirst: true)
        }
    }

    /// Plans what has to change for answers to leave by `exits` and no other interfaces.
    public init(from contents: PlaneContents, toExits exits: [UInt32: Egress]) {
        let changed = exits.filter { index, egress in
            contents.exits[index]?.isSame(as: egress) != true
        }
        let gone = contents.exits.keys.filter { exits[$0] == nil }.sorted()
        steps =
            (changed.isEmpty ? [] : [.setExits(changed)])
            + (gone.isEmpty ? [] : [.removeExits(gone)])
    }
}
