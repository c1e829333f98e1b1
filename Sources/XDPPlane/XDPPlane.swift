public import BPF
public import Balancing
package import CDatapath
import Packets
import Synchronization

/// The data plane in the driver: a BPF program and its tables.
///
/// What it holds outlives the process; a value of this type is a way to it. It has no state of
/// its own, so that nothing is lost with it.
public final class XDPPlane: DataPlane {
    package let tables: Tables
    package let program: Program
    let records: MappedArray<UInt64>
    let loadWords: MappedArray<UInt32>
    let flowTable: FlowTable
    private let writtenSlots = WrittenSlots()
    let inner: InnerTables
    let index: ServiceIndex
    /// What is to be done before the program is attached; nil: nothing, or it has been.
    private let migration: Mutex<Migration?>
    /// Which tables another build made otherwise, or somebody damaged; a line for each.
    public let takeoverNotes: [String]

    /// The oldest kernel that has everything the program uses.
    public static let oldestKernel = KernelVersion(6, 1)

    /// Loads the program, onto the tables pinned in `pins` if there are any, else onto new ones.
    ///
    /// Nothing is attached or pinned yet, and tables of another size than another build made them
    /// are not replaced yet: see ``attach(to:mode:pins:)``. Until then nothing may be applied.
    public init(takingOver pins: PinDirectory) throws(Failure) {
        try requireKernel(Self.oldestKernel)
        let image = decodeBase64(Images.martlet)
        let takeover = try Takeover(image: image.span, in: pins)
        let tables = try Tables(of: takeover.object)
        let program = try takeover.object.program(named: "martlet")
        let records = try MappedArray<UInt64>(tables.backends)
        let loadWords = try MappedArray<UInt32>(tables.backendLoads)
        let flowTable = try FlowTable(in: tables)
        let index = try ServiceIndex(in: tables)
        if takeover.isFirst { try tables.settings.set(newSettings(), for: 0) }
        let isMigrating = takeover.migration != nil
        self.tables = tables
        self.program = program
        self.records = records
        self.loadWords = loadWords
        self.flowTable = flowTable
        self.index = index
        self.inner = InnerTables(of: takeover.isFirst ? nil : pins)
        self.migration = Mutex(takeover.migration)
        self.takeoverNotes = takeover.notes
        guard !takeover.isFirst else { return }
        // Before any packet meets new tables.
        try rebuildIndex()
        try rebuildFilter()
        // After the flows have come to them.
        if !isMigrating { try removeLeftovers() }
    }

    /// Opens what is pinned in `pins`, to look at it; nil if nothing is.
    public init?(lookingAt pins: PinDirectory) throws(Failure) {
        guard try Tables.arePinned(in: pins) else { return nil }
        let tables = try Tables(pinnedIn: pins)
        let program = try Program(pinnedAt: pins.path(of: "program"), name: "martlet")
        let records = try MappedArray<UInt64>(tables.backends)
        let loadWords = try MappedArray<UInt32>(tables.backendLoads)
        let flowTable = try FlowTable(in: tables)
        let index = try ServiceIndex(in: tables)
        self.tables = tables
        self.program = program
        self.records = records
        self.loadWords = loadWords
        self.flowTable = flowTable
        self.index = index
        self.inner = InnerTables(of: pins)
        self.migration = Mutex(nil)
        self.takeoverNotes = []
    }

    /// Has the program on these interfaces and on no other, and lets all of it outlive us.
    ///
    /// - Throws: If anything is refused. What was made by then is taken back; what ran before
    ///   goes on.
    public func attach(
        to interfaces: [String], mode: AttachMode, pins: PinDirectory
    ) throws(Failure) {
        let hooks = try XDPHook.all(on: interfaces)
        let attachments = Attachments(pins: pins)
        let areNew = try !Tables.arePinned(in: pins)
        if areNew {
            // Pins without settings are those of a start that was killed half-way.
            _ = try attachments.removeEntries()
            try pins.create()
        }
        do {
            let isRedirected = try includeVeth(hooks)
            if isRedirected { try redirectReplies(true, by: tables.settings) }
            if areNew {
                try inner.begin(in: pins)
                try settleInnerTables()
                try tables.pin(in: pins)
            }
            try migrate()
            try attachments.set(program, on: hooks, mode: mode)
            if !isRedirected { try redirectReplies(false, by: tables.settings) }
        } catch {
            if areNew { _ = try attachments.removeEntries() }
            throw error
        }
    }

    /// Puts program and tables of this build in the place of those of another, if it has others.
    private func migrate() throws(Failure) {
        guard let pending = migration.withLock({ $0 }) else { return }
        try pending.run(pending.steps)
        migration.withLock { $0 = nil }
        try removeLeftovers()
    }

    public func contents() throws -> PlaneContents {
        var contents = PlaneContents(
            keys: Dictionary(try entries(), uniquingKeysWith: { $1 }), vips: try vips())
        for id in try services() {
            contents.services[id] = PlaneContents.Service(
                slots: try words(of: id), turnLength: try turnLength(of: id))
        }
        for (key, rule) in try rules() {
            guard let prefix = key.prefix else { continue }
            contents.services[ServiceID(key.service)]?.rules[prefix] = rule
        }
        let egresses = try egresses()
        for index in 1..<tables.backends.capacity {
            let record = records.value(at: index, as: martlet_backend.self)
            guard var backend = backend(of: record, egresses) else { continue }
            backend.load = load(of: index)
            contents.backends[BackendID(UInt16(index))] = backend
        }
        contents.returns = try returns()
        contents.pool = try pool()
        for (interface, number) in try exitNumbers() {
            contents.exits[interface] = egresses[number]
        }
        return contents
    }

    public func apply(_ step: Step) throws {
        switch step {
        case .addBackend(let id, let backend):
            let number = UInt32(id.number)
            try tables.backendCounters.setPerCPU(martlet_traffic(), for: number)
            addLoad(backend.load, to: Int(id.number))
            try tables.backends.set(record(of: backend), for: number)
        case .setLoad(let id, let load): setLoad(load, of: Int(id.number))
        case .setNextHop(let id, let nextHop):
            try setNextHop(nextHop, of: Int(id.number))
        case .addSlots(let service, let count):
            try tables.serviceCounters.setPerCPU(martlet_traffic(), for: service.number)
            try addSlots(to: service, count: count)
        case .writeSlots(let service, let changes): try write(changes, of: service)
        case .setTurns(let service, let length): try setTurns(of: service, length)
        case .writeAccess(let service, let changes): try write(changes, of: service)
        case .setKeys(let keys, let entry): try set(keys, entry)
        case .setVIPs(let vips): try set(vips)
        case .removeVIPs(let prefixes): try remove(prefixes)
        case .removeKeys(let keys): try remove(keys)
        case .removeSlots(let service): try removeSlots(of: service)
        case .forgetFlows(let backends): try forgetFlows(of: backends)
        case .removeBackend(let id):
            try tables.backends.set(martlet_backend(), for: UInt32(id.number))
        case .setReturns(let returns): try set(returns)
        case .removeReturns(let keys): try remove(keys)
        case .addNATAddress(let id, let address): try add(address, as: id)
        case .writeNATShares(let changes): try write(changes)
        case .removeNATAddress(let id): try removeNATAddress(id)
        case .setExits(let exits): try set(exits)
        case .removeExits(let interfaces):
            for interface in interfaces { try tables.egressNumbers.remove(interface) }
        }
    }

    /// How often each verdict was given; every packet has exactly one.
    package func verdicts() throws(Failure) -> [PlaneCounters.Verdict] {
        var verdicts: [PlaneCounters.Verdict] = []
        for number in 1..<MARTLET_VERDICT_COUNT.rawValue {
            guard let words = VerdictWords(number) else { continue }
            verdicts.append(
                PlaneCounters.Verdict(
                    name: words.name, text: words.text,
                    count: Count(try tables.verdictCounters.perCPU(number))))
        }
        return verdicts
    }

    public func counters() throws -> PlaneCounters {
        var services: [ServiceID: Count] = [:]
        for id in try self.services() {
            services[id] = Count(try tables.serviceCounters.perCPU(id.number))
        }
        var backends: [BackendID: Count] = [:]
        for index in 1..<tables.backends.capacity where isTaken(index) {
            backends[BackendID(UInt16(index))] = Count(
                try tables.backendCounters.perCPU(UInt32(index)))
        }
        return PlaneCounters(verdicts: try verdicts(), services: services, backends: backends)
    }
}

// MARK: - Services and slots

extension XDPPlane {
    /// Those that have a slot table.
    ///
    /// Whoever has one has a backend, whose record is there first and gone last: so nobody asks
    /// the kernel for 16,384 numbers, of which most are free.
    private func services() throws(Failure) -> [ServiceID] {
        var numbers: Set<UInt32> = []
        for index in 1..<tables.backends.capacity {
            numbers.insert(records.value(at: index, as: martlet_backend.self).service)
        }
        var found: [ServiceID] = []
        for number in numbers.sorted() where number != 0 {
            if try hasSlots(ServiceID(number)) { found.append(ServiceID(number)) }
        }
        return found
    }

    package func hasSlots(_ service: ServiceID) throws(Failure) -> Bool {
        try slotTableID(of: service) != nil
    }

    /// The kernel's number of the service's slot table; nil: it has none.
    private func slotTableID(of service: ServiceID) throws(Failure) -> UInt32? {
        if let id = try tables.slotTables.value(for: service.number) { return id }
        return try tables.smallSlotTables.value(for: service.number)
    }

    /// Has pins of the tables inside others that there are, and of no more.
    private func settleInnerTables() throws(Failure) {
        var present: [InnerPins.Name: UInt32] = [:]
        for service in try services() {
            present[InnerPins.Name(.slots, service.number)] = try slotTableID(of: service)
        }
        for number in 1..<UInt32(tables.natTables.capacity) {
            present[InnerPins.Name(.nat, number)] = try tables.natTables.value(for: number)
        }
        try inner.settle(present)
    }

    private func entries() throws(Failure) -> [(ServiceKey, PlaneContents.Entry)] {
        var found: [(ServiceKey, PlaneContents.Entry)] = []
        for key in try tables.servicesV4.keys() {
            guard let service = try tables.servicesV4.value(for: key), let key = key.key
            else { continue }
            found.append((key, service.entry))
        }
        for key in try tables.servicesV6.keys() {
            guard let service = try tables.servicesV6.value(for: key), let key = key.key
            else { continue }
            found.append((key, service.entry))
        }
        return found
    }

    private func set(_ keys: [ServiceKey], _ entry: PlaneContents.Entry) throws(Failure) {
        let service = martlet_service(entry, slotMask: try slotMask(of: entry.service))
        var v4: [(key: martlet_service_v4, value: martlet_service)] = []
        var v6: [(key: martlet_service_v6, value: martlet_service)] = []
        for key in keys {
            switch key.vip {
            case .v4(let vip): v4.append((martlet_service_v4(vip, key), service))
            case .v6(let vip): v6.append((martlet_service_v6(vip, key), service))
            }
        }
        do throws(Failure) {
            try tables.servicesV4.set(v4)
            try tables.servicesV6.set(v6)
        } catch {
            // Some of them may have been set, and packets find what the maps say.
            try follow(keys)
            throw error
        }
        try follow(keys)
    }

    package func slots(
        of service: ServiceID
    ) throws(Failure) -> Map<UInt32, martlet_slot_pair> {
        guard let id = try slotTableID(of: service) else {
            throw Failure(
                "find slot table of", "service \(service.number)", because: "there is none",
                cure: nil)
        }
        return try inner.open(InnerPins.Name(.slots, service.number), id: id)
    }

    /// In the map that takes a table of this size.
    package func addSlots(to service: ServiceID, count: Int) throws(Failure) {
        writtenSlots.forget(service)
        let isFull = count == Int(MARTLET_SLOTS.rawValue)
        let slots = try Map<UInt32, martlet_slot_pair>(
            creating: .array, named: "slots", capacity: count / 2,
            flags: isFull ? [.mappable] : [.mappable, .innerOfAnySize])
        try tables.turns.set(martlet_turns(), for: service.number)
        try inner.add(slots, as: InnerPins.Name(.slots, service.number))
        if isFull {
            try tables.slotTables.set(inner: slots, for: service.number)
        } else {
            try tables.smallSlotTables.set(inner: slots, for: service.number)
        }
    }

    private func removeSlots(of service: ServiceID) throws(Failure) {
        writtenSlots.forget(service)
        try tables.slotTables.remove(service.number)
        try tables.smallSlotTables.remove(service.number)
        try inner.remove(InnerPins.Name(.slots, service.number))
    }

    private func turnLength(of service: ServiceID) throws(Failure) -> Int {
        try tables.turns.value(for: service.number).map { Int($0.length) } ?? 0
    }

    /// In place: the program counts in the word beside it.
    private func setTurns(of service: ServiceID, _ length: Int) throws(Failure) {
        let words = try MappedArray<UInt32>(tables.turns)
        words[Int(service.number) * wordsOfTurns + lengthOfTurns] = UInt32(length)
    }

    private func slotMask(of service: ServiceID) throws(Failure) -> UInt32 {
        UInt32(try slots(of: service).capacity * 2 - 1)
    }

    private func words(of service: ServiceID) throws(Failure) -> [Slot] {
        let words = try MappedArray<UInt32>(slots(of: service))
        return (0..<words.count).map { Slot(word: words[$0]) }
    }

    private func write(_ changes: [SlotChange], of service: ServiceID) throws(Failure) {
        let table = try writtenSlots.table(of: service) { () throws(Failure) in
            WrittenSlots.Table(try MappedArray<UInt32>(slots(of: service)))
        }
        for change in changes { table.words[change.slot] = change.to.word }
    }

    /// What no packet can find: a controller was killed between two steps.
    func removeLeftovers() throws(Failure) {
        let found = Set(try entries().map(\.1.service))
        for id in try services() where !found.contains(id) {
            try removeSlots(of: id)
        }
        for (key, _) in try rules() where !found.contains(ServiceID(key.service)) {
            try tables.access.remove(key)
        }
        let freed = takenRecords.filter {
            let record = records.value(at: $0, as: martlet_backend.self)
            return !found.contains(ServiceID(record.service))
        }
        if !freed.isEmpty {
            try forgetFlows(of: Set(freed.map { BackendID(UInt16($0)) }))
            for index in freed { try tables.backends.set(martlet_backend(), for: UInt32(index)) }
        }
        try removeLeftoversOfNAT()
        try settleInnerTables()
    }
}

// MARK: - VIPs and access lists

extension XDPPlane {
    private func vips() throws(Failure) -> [IPPrefix: VIP.Settings] {
        var found: [IPPrefix: VIP.Settings] = [:]
        for key in try tables.vips.keys() {
            guard let vip = try tables.vips.value(for: key), let prefix = key.prefix
            else { continue }
            found[prefix] = vip.settings
        }
        return found
    }

    /// The filter first: a packet that it lets through is looked for in the trie.
    private func set(_ vips: [VIP]) throws(Failure) {
        try VIPFilter(in: tables).add(vips.map(\.prefix))
        for vip in vips { try tables.vips.set(martlet_vip(vip), for: martlet_vip_key(vip.prefix)) }
    }

    /// Makes the filter say what the trie says, whatever became of it.
    private func rebuildFilter() throws(Failure) {
        try VIPFilter(in: tables).keep(only: vips().keys)
    }

    private func remove(_ prefixes: [IPPrefix]) throws(Failure) {
        for prefix in prefixes { try tables.vips.remove(martlet_vip_key(prefix)) }
        try VIPFilter(in: tables).keep(only: vips().keys)
    }

    private func rules() throws(Failure) -> [(martlet_access_key, AccessList.Rule)] {
        var found: [(martlet_access_key, AccessList.Rule)] = []
        for key in try tables.access.keys() {
            guard let number = try tables.access.value(for: key),
                let rule = AccessList.Rule(number: number)
            else { continue }
            found.append((key, rule))
        }
        return found
    }

    private func write(_ changes: [AccessChange], of service: ServiceID) throws(Failure) {
        for change in changes {
            let key = martlet_access_key(change.prefix, of: service)
            if let rule = change.rule {
                try tables.access.set(rule.number, for: key)
            } else {
                try tables.access.remove(key)
            }
        }
    }
}

// MARK: - Backends and next hops

extension XDPPlane {
    private static let wordsOfRecord = 8

    func isTaken(_ index: Int) -> Bool {
        records.value(at: index, as: martlet_backend.self).service != 0
    }

    /// The numbers of the backends that there are.
    var takenRecords: [Int] { (1..<tables.backends.capacity).filter(isTaken) }

    private func record(of backend: PlaneContents.Backend) throws(Failure) -> martlet_backend {
        var record = martlet_backend()
        record.service = backend.service.number
        record.forwarding = backend.forwarding.number
        record.family = backend.address.family.rawValue
        record.tunnel_port = (backend.tunnelPort ?? 0).bigEndian
        record.address = martlet_address(backend.address)
        record.source_entropy = backend.sourceEntropy.bigEndian
        record.port = (backend.port ?? 0).bigEndian
        if let nextHop = backend.nextHop {
            record.source = martlet_address(nextHop.source)
            record.mtu = UInt16(clamping: nextHop.routeMTU ?? 0)
            record.next_hop = martlet_next_hop(
                nextHop.neighbour, egress: try number(of: nextHop.egress))
        }
        return record
    }

    /// What a record says; nil: it is free.
    private func backend(
        of record: martlet_backend, _ egresses: [UInt16: Egress]
    ) -> PlaneContents.Backend? {
        guard record.service != 0, let forwarding = Forwarding(number: record.forwarding),
            let address = record.address.address(family: record.family)
        else { return nil }
        let tunnelPort = UInt16(bigEndian: record.tunnel_port)
        let port = UInt16(bigEndian: record.port)
        return PlaneContents.Backend(
            service: ServiceID(record.service), address: address, forwarding: forwarding,
            tunnelPort: tunnelPort == 0 ? nil : tunnelPort,
            sourceEntropy: UInt32(bigEndian: record.source_entropy),
            port: port == 0 ? nil : port,
            nextHop: nextHop(of: record, egresses))
    }

    /// The source first: a packet that meets the new next hop has the new source too, and the
    /// new size.
    private func setNextHop(_ nextHop: NextHop?, of index: Int) throws(Failure) {
        let first = index * Self.wordsOfRecord
        guard let nextHop else {
            records[first] = 0
            return
        }
        var record = records.value(at: index, as: martlet_backend.self)
        record.source = martlet_address(nextHop.source)
        record.mtu = UInt16(clamping: nextHop.routeMTU ?? 0)
        let words = unsafe unsafeBitCast(record, to: [8 of UInt64].self)
        let number = try number(of: nextHop.egress)
        for word in 4...6 { records[first + word] = words[word] }
        records[first] = martlet_next_hop(nextHop.neighbour, egress: number).word
    }

    private func nextHop(of record: martlet_backend, _ egresses: [UInt16: Egress]) -> NextHop? {
        guard let egress = egresses[record.next_hop.egress],
            let source = record.source.address(family: record.family)
        else { return nil }
        return NextHop(
            egress: egress, neighbour: record.next_hop.neighbour, source: source,
            routeMTU: record.mtu == 0 ? nil : UInt32(record.mtu))
    }

    private func egresses() throws(Failure) -> [UInt16: Egress] {
        var found: [UInt16: Egress] = [:]
        for index in 1..<UInt32(tables.egresses.capacity) {
            guard let egress = try tables.egresses.value(for: index), egress.interface != 0
            else { continue }
            let name = [interfaceName(egress.interface) ?? ""] + egress.tags.map { "\($0.number)" }
            found[UInt16(index)] = Egress(
                index: egress.interface, name: name.joined(separator: "."),
                address: egress.source, mtu: UInt32(egress.mtu),
                turnaround: egress.turnaround, tags: egress.tags)
        }
        return found
    }

    /// Of each interface by which answers can leave, the number of its egress.
    private func exitNumbers() throws(Failure) -> [UInt32: UInt16] {
        var numbers: [UInt32: UInt16] = [:]
        for interface in try tables.egressNumbers.keys() {
            numbers[interface] = try tables.egressNumbers.value(for: interface)
                .flatMap { UInt16(exactly: $0) }
        }
        return numbers
    }

    private func set(_ exits: [UInt32: Egress]) throws(Failure) {
        for (interface, egress) in exits.sorted(by: { $0.key < $1.key }) {
            try tables.egressNumbers.set(UInt32(try number(of: egress)), for: interface)
        }
    }

    /// The number under which the data path knows `egress`, made known and brought up to date.
    private func number(of egress: Egress) throws(Failure) -> UInt16 {
        let known = try egresses()
        let number: UInt16
        // A VLAN is an interface of its own.
        let same = known.first {
            $0.value.index == egress.index && $0.value.tags == egress.tags
        }
        if let present = same {
            var renamed = present.value
            renamed.name = egress.name
            if renamed == egress { return present.key }
            number = present.key
        } else {
            number = try freeEgress(known)
        }
        try tables.egresses.set(martlet_egress(egress), for: UInt32(number))
        return number
    }

    private func freeEgress(_ known: [UInt16: Egress]) throws(Failure) -> UInt16 {
        let used = Set(
            (1..<tables.backends.capacity).map {
                records.value(at: $0, as: martlet_backend.self).next_hop.egress
            }
        ).union(try exitNumbers().values)
        let numbers = 1..<UInt16(tables.egresses.capacity)
        // An interface that has gone leaves a record to which no backend leads, and no answer.
        let free = numbers.first { known[$0] == nil } ?? numbers.first { !used.contains($0) }
        guard let free else {
            throw Failure(
                "use one more output interface than", "\(numbers.count)",
                because: "the table is full", cure: nil)
        }
        return free
    }
}

/// Of a service's turns, in words of 32 bits; and which of them is the length.
private let wordsOfTurns = MemoryLayout<martlet_turns>.size / 4
private let lengthOfTurns = 2

/// The UDP port of GUE that IANA has for it.
let standardGUEPort: UInt16 = 6080

/// Of a fresh start. The key is random: with a known one an attacker could aim at one backend.
private func newSettings() -> martlet_settings {
    var random = SystemRandomNumberGenerator()
    return martlet_settings(
        abi: UInt32(MARTLET_ABI), flags: 0, hash_key: (random.next(), random.next()),
        flow_mask: MARTLET_FLOW_BUCKETS.rawValue - 1, unused: 0)
}

/// The name and the meaning of a verdict, from the one list in martlet_abi.h.
package struct VerdictWords {
    package let name: String
    package let text: String

    package init?(_ verdict: UInt32) {
        guard let name = unsafe martlet_verdict_name(verdict),
            let text = unsafe martlet_verdict_text(verdict)
        else { return nil }
        self.name = unsafe String(cString: name)
        self.text = unsafe String(cString: text)
    }
}
