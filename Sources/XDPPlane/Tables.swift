import BPF
import CDatapath

/// The maps of the balancer: bpf/src/maps.h as Swift sees it.
struct Tables: ~Copyable, Sendable {
    let settings: Map<UInt32, martlet_settings>
    let servicesV4: Map<martlet_service_v4, martlet_service>
    let servicesV6: Map<martlet_service_v6, martlet_service>
    let slotTables: Map<UInt32, UInt32>
    let backends: Map<UInt32, martlet_backend>
    let egresses: Map<UInt32, martlet_egress>
    let verdictCounters: Map<UInt32, martlet_count>
    let serviceCounters: Map<UInt32, martlet_count>
    let backendCounters: Map<UInt32, martlet_count>

    /// The maps that were made with `object`.
    init(of object: borrowing Object) throws(Failure) {
        let settings = try object.map(
            named: "settings", key: UInt32.self, value: martlet_settings.self)
        let servicesV4 = try object.map(
            named: "services_v4", key: martlet_service_v4.self, value: martlet_service.self)
        let servicesV6 = try object.map(
            named: "services_v6", key: martlet_service_v6.self, value: martlet_service.self)
        let slotTables = try object.map(named: "slot_tables", key: UInt32.self, value: UInt32.self)
        let backends = try object.map(
            named: "backends", key: UInt32.self, value: martlet_backend.self)
        let egresses = try object.map(
            named: "egresses", key: UInt32.self, value: martlet_egress.self)
        let verdictCounters = try object.map(
            named: "verdict_counters", key: UInt32.self, value: martlet_count.self)
        let serviceCounters = try object.map(
            named: "service_counters", key: UInt32.self, value: martlet_count.self)
        let backendCounters = try object.map(
            named: "backend_counters", key: UInt32.self, value: martlet_count.self)
        self.settings = settings
        self.servicesV4 = servicesV4
        self.servicesV6 = servicesV6
        self.slotTables = slotTables
        self.backends = backends
        self.egresses = egresses
        self.verdictCounters = verdictCounters
        self.serviceCounters = serviceCounters
        self.backendCounters = backendCounters
    }

    /// The maps that another process pinned.
    init(pinnedIn pins: PinDirectory) throws(Failure) {
        let settings: Map<UInt32, martlet_settings> = try pinned("settings", pins)
        let abi = try settings.value(for: 0)?.abi ?? 0
        guard abi == MARTLET_ABI else {
            throw Failure(
                "take over the tables in", pins.path,
                because:
                    "they were made by another version (ABI \(abi), this one has \(MARTLET_ABI))",
                cure: "`martlet detach` removes them: packets for the VIPs then go to the kernel")
        }
        let servicesV4: Map<martlet_service_v4, martlet_service> = try pinned("services_v4", pins)
        let servicesV6: Map<martlet_service_v6, martlet_service> = try pinned("services_v6", pins)
        let slotTables: Map<UInt32, UInt32> = try pinned("slot_tables", pins)
        let backends: Map<UInt32, martlet_backend> = try pinned("backends", pins)
        let egresses: Map<UInt32, martlet_egress> = try pinned("egresses", pins)
        let verdictCounters: Map<UInt32, martlet_count> = try pinned("verdict_counters", pins)
        let serviceCounters: Map<UInt32, martlet_count> = try pinned("service_counters", pins)
        let backendCounters: Map<UInt32, martlet_count> = try pinned("backend_counters", pins)
        self.settings = settings
        self.servicesV4 = servicesV4
        self.servicesV6 = servicesV6
        self.slotTables = slotTables
        self.backends = backends
        self.egresses = egresses
        self.verdictCounters = verdictCounters
        self.serviceCounters = serviceCounters
        self.backendCounters = backendCounters
    }

    /// Has the program in `file` use these maps.
    borrowing func reuse(in file: borrowing ObjectFile) throws(Failure) {
        try file.reuse(settings)
        try file.reuse(servicesV4)
        try file.reuse(servicesV6)
        try file.reuse(slotTables)
        try file.reuse(backends)
        try file.reuse(egresses)
        try file.reuse(verdictCounters)
        try file.reuse(serviceCounters)
        try file.reuse(backendCounters)
    }

    /// Lets the maps outlive this process.
    ///
    /// The settings come last: where they are, everything else is.
    borrowing func pin(in pins: PinDirectory) throws(Failure) {
        try servicesV4.pin(at: pins.path(of: servicesV4.name))
        try servicesV6.pin(at: pins.path(of: servicesV6.name))
        try slotTables.pin(at: pins.path(of: slotTables.name))
        try backends.pin(at: pins.path(of: backends.name))
        try egresses.pin(at: pins.path(of: egresses.name))
        try verdictCounters.pin(at: pins.path(of: verdictCounters.name))
        try serviceCounters.pin(at: pins.path(of: serviceCounters.name))
        try backendCounters.pin(at: pins.path(of: backendCounters.name))
        try settings.pin(at: pins.path(of: settings.name))
    }

    /// Whether someone pinned a whole set of maps.
    static func arePinned(in pins: PinDirectory) -> Bool { pins.contains("settings") }
}

private func pinned<Key, Value>(
    _ name: String, _ pins: PinDirectory
) throws(Failure) -> Map<Key, Value> {
    try Map(pinnedAt: pins.path(of: name), name: name)
}
