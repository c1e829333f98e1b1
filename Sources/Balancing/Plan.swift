/// What must happen for a plane to hold the targets.
///
/// A plan is a value: it can be printed, compared in a test, and it is empty when nothing has to
/// change. Its order never leaves a hole. What packets can find is built from the far end: the
/// backend's record, the slot that names it, the access list, the keys, the VIP; and it is taken
/// apart in reverse; a slot moves away before its backend loses the next hop. So a packet that
/// finds a service before and after finds one at every moment in between, and a client whom the
/// access list of a service allows, or denies, before and after is never denied, or allowed, in
/// between.
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

        public init(
            services: UInt32 = 1 << 14, backends: UInt16 = 1 << 15, keys: Int = 1 << 16,
            vips: Int = 1 << 14, rules: Int = 1 << 16
        ) {
            self.services = services
            self.backends = backends
            self.keys = keys
            self.vips = vips
            self.rules = rules
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
    /// - Parameter others: What becomes of services that are not among the targets.
    public init(
        from contents: PlaneContents, to targets: [Target], others: Others,
        capacity: Capacity = Capacity()
    ) throws(Exhausted) {
        let planner = Planner(contents, targets, others, capacity)
        do throws(Exhausted) {
            steps = try planner.steps(makingRoomFirst: false)
        } catch {
            steps = try planner.steps(makingRoomFirst: true)
        }
    }
}
