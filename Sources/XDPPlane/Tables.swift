package import BPF
package import CDatapath

/// The maps of the balancer: bpf/src/maps.h as Swift sees it.
package struct Tables: ~Copyable, Sendable {
    package let settings: Map<UInt32, martlet_settings>
    package let servicesV4: Map<martlet_service_v4, martlet_service>
    package let servicesV6: Map<martlet_service_v6, martlet_service>
    package let serviceIndexV4: Map<UInt32, martlet_bucket_v4>
    package let serviceIndexV6: Map<UInt32, martlet_bucket_v6>
    package let vipFilter: Map<UInt32, UInt64>
    package let vips: Map<martlet_vip_key, martlet_vip>
    package let access: Map<martlet_access_key, UInt32>
    package let fragments: Map<martlet_fragment_key, martlet_fragment>
    package let errorBudget: Map<UInt32, martlet_budget>
    package let slotTables: Map<UInt32, UInt32>
    package let smallSlotTables: Map<UInt32, UInt32>
    package let backends: Map<UInt32, martlet_backend>
    package let egresses: Map<UInt32, martlet_egress>
    package let egressNumbers: Map<UInt32, UInt32>
    package let natReturns: Map<martlet_nat_key, martlet_nat_return>
    package let natSources: Map<UInt32, martlet_address>
    package let natAddresses: Map<martlet_address, UInt32>
    package let natShares: Map<UInt32, martlet_nat_share>
    package let natTables: Map<UInt32, UInt32>
    package let flows: Map<UInt32, martlet_flow_bucket>
    package let turns: Map<UInt32, martlet_turns>
    package let backendLoads: Map<UInt32, martlet_load>
    package let flowCounters: Map<UInt32, UInt64>
    package let verdictCounters: Map<UInt32, martlet_count>
    package let serviceCounters: Map<UInt32, martlet_traffic>
    package let backendCounters: Map<UInt32, martlet_traffic>

    /// The maps that were made with `object`.
    init(of object: borrowing Object) throws(Failure) {
        let settings = try object.map(
            named: "settings", key: UInt32.self, value: martlet_settings.self)
        let servicesV4 = try object.map(
            named: "services_v4", key: martlet_service_v4.self, value: martlet_service.self)
        let servicesV6 = try object.map(
            named: "services_v6", key: martlet_service_v6.self, value: martlet_service.self)
        let serviceIndexV4 = try object.map(
            named: "service_index_v4", key: UInt32.self, value: martlet_bucket_v4.self)
        let serviceIndexV6 = try object.map(
            named: "service_index_v6", key: UInt32.self, value: martlet_bucket_v6.self)
        let vipFilter = try object.map(named: "vip_filter", key: UInt32.self, value: UInt64.self)
        let vips = try object.map(
            named: "vips", key: martlet_vip_key.self, value: martlet_vip.self)
        let access = try object.map(
            named: "access", key: martlet_access_key.self, value: UInt32.self)
        let fragments = try object.map(
            named: "fragments", key: martlet_fragment_key.self, value: martlet_fragment.self)
        let errorBudget = try object.map(
            named: "error_budget", key: UInt32.self, value: martlet_budget.self)
        let slotTables = try object.map(named: "slot_tables", key: UInt32.self, value: UInt32.self)
        let smallSlotTables = try object.map(
            named: "small_slot_tables", key: UInt32.self, value: UInt32.self)
        let backends = try object.map(
            named: "backends", key: UInt32.self, value: martlet_backend.self)
        let egresses = try object.map(
            named: "egresses", key: UInt32.self, value: martlet_egress.self)
        let egressNumbers = try object.map(
            named: "egress_numbers", key: UInt32.self, value: UInt32.self)
        let natReturns = try object.map(
            named: "nat_returns", key: martlet_nat_key.self, value: martlet_nat_return.self)
        let natSources = try object.map(
            named: "nat_sources", key: UInt32.self, value: martlet_address.self)
        let natAddresses = try object.map(
            named: "nat_addresses", key: martlet_address.self, value: UInt32.self)
        let natShares = try object.map(
            named: "nat_shares", key: UInt32.self, value: martlet_nat_share.self)
        let natTables = try object.map(
            named: "nat_tables", key: UInt32.self, value: UInt32.self)
        let flows = try object.map(
            named: "flows", key: UInt32.self, value: martlet_flow_bucket.self)
        let turns = try object.map(
            named: "turns", key: UInt32.self, value: martlet_turns.self)
        let backendLoads = try object.map(
            named: "backend_loads", key: UInt32.self, value: martlet_load.self)
        let flowCounters = try object.map(
            named: "flow_counters", key: UInt32.self, value: UInt64.self)
        let verdictCounters = try object.map(
            named: "verdict_counters", key: UInt32.self, value: martlet_count.self)
        let serviceCounters = try object.map(
            named: "service_counters", key: UInt32.self, value: martlet_traffic.self)
        let backendCounters = try object.map(
            named: "backend_counters", key: UInt32.self, value: martlet_traffic.self)
        self.settings = settings
        self.servicesV4 = servicesV4
        self.servicesV6 = servicesV6
        self.serviceIndexV4 = serviceIndexV4
        self.serviceIndexV6 = serviceIndexV6
        self.vipFilter = vipFilter
        self.vips = vips
        self.access = access
        self.fragments = fragments
        self.errorBudget = errorBudget
        self.slotTables = slotTables
        self.smallSlotTables = smallSlotTables
        self.backends = backends
        self.egresses = egresses
        self.egressNumbers = egressNumbers
        self.natReturns = natReturns
        self.natSources = natSources
        self.natAddresses = natAddresses
        self.natShares = natShares
        self.natTables = natTables
        self.flows = flows
        self.turns = turns
        self.backendLoads = backendLoads
        self.flowCounters = flowCounters
        self.verdictCounters = verdictCounters
        self.serviceCounters = serviceCounters
        self.backendCounters = backendCounters
    }

    /// The maps that another process pinned.
    init(pinnedIn pins: PinDirectory) throws(Failure) {
        let settings = try Self.settings(pinnedIn: pins)
        let abi = try settings.value(for: 0)?.abi ?? 0
        guard abi == MARTLET_ABI else { throw ofAnotherVersion(abi, pins) }
        let servicesV4: Map<martlet_service_v4, martlet_service> = try pinned("services_v4", pins)
        let servicesV6: Map<martlet_service_v6, martlet_service> = try pinned("services_v6", pins)
        let serviceIndexV4: Map<UInt32, martlet_bucket_v4> = try pinned("service_index_v4", pins)
        let serviceIndexV6: Map<UInt32, martlet_bucket_v6> = try pinned("service_index_v6", pins)
        let vipFilter: Map<UInt32, UInt64> = try pinned("vip_filter", pins)
        let vips: Map<martlet_vip_key, martlet_vip> = try pinned("vips", pins)
        let access: Map<martlet_access_key, UInt32> = try pinned("access", pins)
        let fragments: Map<martlet_fragment_key, martlet_fragment> = try pinned("fragments", pins)
        let errorBudget: Map<UInt32, martlet_budget> = try pinned("error_budget", pins)
        let slotTables: Map<UInt32, UInt32> = try pinned("slot_tables", pins)
        let smallSlotTables: Map<UInt32, UInt32> = try pinned("small_slot_tables", pins)
        let backends: Map<UInt32, martlet_backend> = try pinned("backends", pins)
        let egresses: Map<UInt32, martlet_egress> = try pinned("egresses", pins)
        let egressNumbers: Map<UInt32, UInt32> = try pinned("egress_numbers", pins)
        let natReturns: Map<martlet_nat_key, martlet_nat_return> = try pinned("nat_returns", pins)
        let natSources: Map<UInt32, martlet_address> = try pinned("nat_sources", pins)
        let natAddresses: Map<martlet_address, UInt32> = try pinned("nat_addresses", pins)
        let natShares: Map<UInt32, martlet_nat_share> = try pinned("nat_shares", pins)
        let natTables: Map<UInt32, UInt32> = try pinned("nat_tables", pins)
        let flows: Map<UInt32, martlet_flow_bucket> = try pinned("flows", pins)
        let turns: Map<UInt32, martlet_turns> = try pinned("turns", pins)
        let backendLoads: Map<UInt32, martlet_load> = try pinned("backend_loads", pins)
        let flowCounters: Map<UInt32, UInt64> = try pinned("flow_counters", pins)
        let verdictCounters: Map<UInt32, martlet_count> = try pinned("verdict_counters", pins)
        let serviceCounters: Map<UInt32, martlet_traffic> = try pinned("service_counters", pins)
        let backendCounters: Map<UInt32, martlet_traffic> = try pinned("backend_counters", pins)
        self.settings = settings
        self.servicesV4 = servicesV4
        self.servicesV6 = servicesV6
        self.serviceIndexV4 = serviceIndexV4
        self.serviceIndexV6 = serviceIndexV6
        self.vipFilter = vipFilter
        self.vips = vips
        self.access = access
        self.fragments = fragments
        self.errorBudget = errorBudget
        self.slotTables = slotTables
        self.smallSlotTables = smallSlotTables
        self.backends = backends
        self.egresses = egresses
        self.egressNumbers = egressNumbers
        self.natReturns = natReturns
        self.natSources = natSources
        self.natAddresses = natAddresses
        self.natShares = natShares
        self.natTables = natTables
        self.flows = flows
        self.turns = turns
        self.backendLoads = backendLoads
        self.flowCounters = flowCounters
        self.verdictCounters = verdictCounters
        self.serviceCounters = serviceCounters
        self.backendCounters = backendCounters
    }

    /// Lets the maps outlive this process.
    ///
    /// The settings come last: where they are, everything else is.
    borrowing func pin(in pins: PinDirectory) throws(Failure) {
        try servicesV4.pin(at: pins.path(of: servicesV4.name))
        try servicesV6.pin(at: pins.path(of: servicesV6.name))
        try serviceIndexV4.pin(at: pins.path(of: serviceIndexV4.name))
        try serviceIndexV6.pin(at: pins.path(of: serviceIndexV6.name))
        try vipFilter.pin(at: pins.path(of: vipFilter.name))
        try vips.pin(at: pins.path(of: vips.name))
        try access.pin(at: pins.path(of: access.name))
        try fragments.pin(at: pins.path(of: fragments.name))
        try errorBudget.pin(at: pins.path(of: errorBudget.name))
        try smallSlotTables.pin(at: pins.path(of: smallSlotTables.name))
        try slotTables.pin(at: pins.path(of: slotTables.name))
        try backends.pin(at: pins.path(of: backends.name))
        try egresses.pin(at: pins.path(of: egresses.name))
        try egressNumbers.pin(at: pins.path(of: egressNumbers.name))
        try natReturns.pin(at: pins.path(of: natReturns.name))
        try natSources.pin(at: pins.path(of: natSources.name))
        try natAddresses.pin(at: pins.path(of: natAddresses.name))
        try natShares.pin(at: pins.path(of: natShares.name))
        try natTables.pin(at: pins.path(of: natTables.name))
        try flows.pin(at: pins.path(of: flows.name))
        try turns.pin(at: pins.path(of: turns.name))
        try backendLoads.pin(at: pins.path(of: backendLoads.name))
        try flowCounters.pin(at: pins.path(of: flowCounters.name))
        try verdictCounters.pin(at: pins.path(of: verdictCounters.name))
        try serviceCounters.pin(at: pins.path(of: serviceCounters.name))
        try backendCounters.pin(at: pins.path(of: backendCounters.name))
        try settings.pin(at: pins.path(of: settings.name))
    }

    static func settings(
        pinnedIn pins: PinDirectory
    ) throws(Failure) -> Map<UInt32, martlet_settings> { try pinned("settings", pins) }

    /// Whether someone pinned a whole set of maps, whatever has become of single pins since: the
    /// program is pinned after the last map, and holds all of them.
    static func arePinned(in pins: PinDirectory) throws(Failure) -> Bool {
        if try pins.contains(settingsName) { return true }
        do throws(Failure) {
            for id in try mapsInUse(in: pins) ?? [] {
                let map = try RawMap(id: id, name: "of the program")
                if map.kernelName == settingsName { return true }
            }
        } catch {
            throw error.needingMore(
                "the pin of `settings` is gone, and only CAP_SYS_ADMIN finds them without")
        }
        return false
    }

    private static let settingsName = "settings"

    /// The names of all pins of the balancer's maps.
    static let names = [
        "settings", "services_v4", "services_v6", "service_index_v4", "service_index_v6",
        "vip_filter", "vips", "access", "fragments", "error_budget", "slot_tables",
        "small_slot_tables", "backends", "egresses", "egress_numbers", "nat_returns",
        "nat_sources", "nat_addresses", "nat_shares", "nat_tables", "flows", "turns",
        "backend_loads", "flow_counters", "verdict_counters", "service_counters",
        "backend_counters",
    ]
}

private func pinned<Key, Value>(
    _ name: String, _ pins: PinDirectory
) throws(Failure) -> Map<Key, Value> {
    try Map(pinnedAt: pins.path(of: name), name: name)
}
