public import Packets

/// What a plane is to hold for one service.
public struct Target: Hashable, Sendable {
    /// A backend with what is known of the way to it.
    public struct Backend: Hashable, Sendable {
        public var address: IPAddress
        /// Of its own, if the service's are rewritten.
        public var port: UInt16?
        public var nextHop: NextHop?
        /// Whether its flows can't live: it gives no answer at all, or is removed by force.
        public var isLost: Bool
        public var load: PlaneContents.Load

        public init(
            address: IPAddress, port: UInt16? = nil, nextHop: NextHop?, isLost: Bool = false,
            load: PlaneContents.Load = PlaneContents.Load()
        ) {
            self.address = address
            self.port = port
            self.nextHop = nextHop
            self.isLost = isLost
            self.load = load
        }

        /// The backend of the configuration, with what is known of it and of the way to it.
        public init(
            _ backend: Balancing.Backend, nextHop: NextHop?, isLost: Bool = false,
            load: PlaneContents.Load = PlaneContents.Load()
        ) {
            self.init(
                address: backend.address, port: backend.port, nextHop: nextHop, isLost: isLost,
                load: load)
        }
    }

    public var vip: VIP
    /// What clients address: no other target has any of them.
    public var keys: [ServiceKey]
    public var access: AccessList
    public var forwarding: Forwarding
    public var tunnel: Tunnel
    public var selection: Selection
    /// Those of the service, and those that leave it: a backend has a record, and keeps its flows,
    /// for as long as it is listed.
    public var backends: [Backend]
    /// Owners are indices into `backends`.
    public var slots: SlotTable
    /// After so many slots the turns of round-robin begin again; 0: after all.
    public var turnLength: Int
    /// Indices into `backends`: who of these owns a slot keeps it as long as nobody can have it.
    public var standIns: Set<Int>

    public init(
        vip: VIP, keys: [ServiceKey], access: AccessList = AccessList(), forwarding: Forwarding,
        tunnel: Tunnel = Tunnel(), selection: Selection = Selection(), backends: [Backend],
        slots: SlotTable, turnLength: Int = 0, standIns: Set<Int> = []
    ) {
        self.vip = vip
        self.keys = keys
        self.access = access
        self.forwarding = forwarding
        self.tunnel = tunnel
        self.selection = selection
        self.backends = backends
        self.slots = slots
        self.turnLength = turnLength
        self.standIns = standIns
    }

    /// The target for `service`, of whose backends this is known.
    public init(
        for service: Service, keys: [ServiceKey], selection: Selection = Selection(),
        backends: [Backend], slots: SlotTable, turnLength: Int = 0, standIns: Set<Int> = []
    ) {
        self.init(
            vip: service.vip, keys: keys, access: service.access, forwarding: service.forwarding,
            tunnel: service.tunnel, selection: selection, backends: backends, slots: slots,
            turnLength: turnLength, standIns: standIns)
    }

    /// The record that `backend` is to have.
    func record(of backend: Backend, in service: ServiceID) -> PlaneContents.Backend {
        let source = forwarding.isTunnel ? tunnel.source(towards: backend.address) : nil
        var nextHop = backend.nextHop
        if let source { nextHop?.source = source.base }
        return PlaneContents.Backend(
            service: service, address: backend.address, forwarding: forwarding,
            tunnelPort: forwarding == .gue ? tunnel.port ?? Tunnel.standardPort : nil,
            sourceEntropy: source?.entropy ?? 0,
            port: ownPort(of: backend), nextHop: nextHop, load: backend.load)
    }

    /// A port that is the service's is none of its own: so it makes no difference, and cuts no
    /// flow, whether the file says it or not.
    private func ownPort(of backend: Backend) -> UInt16? {
        guard forwarding.isTranslation else { return nil }
        return keys.count == 1 && keys[0].port == backend.port ? nil : backend.port
    }

    /// As whose the answers of `backend` leave; none where they do not pass here, or where the flow
    /// tells it.
    func returns(of backend: Backend) -> [Return] {
        guard forwarding == .nat else { return [] }
        return keys.map { key in
            Return(
                from: ReturnKey(
                    backend: backend.address, port: backend.port ?? key.port,
                    transport: key.transport),
                to: key)
        }
    }

    /// What packets are to find under its keys, if it is that service.
    func entry(of service: ServiceID) -> PlaneContents.Entry {
        PlaneContents.Entry(
            service: service, others: access.others, isFullNAT: forwarding == .fullNAT,
            selection: selection)
    }
}
