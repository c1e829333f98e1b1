public import BPF
public import Balancing
import CDatapath
import Packets

/// The data plane in the driver: a BPF program and its tables.
///
/// What it holds outlives the process; a value of this type is a way to it. It has no state of
/// its own, so that nothing is lost with it.
public final class XDPPlane: DataPlane {
    package let tables: Tables
    package let program: Program
    private let records: MappedArray<UInt64>

    /// The oldest kernel that has everything the program uses.
    public static let oldestKernel = KernelVersion(6, 1)

    /// Loads the program, onto the tables pinned in `pins` if there are any, else onto new ones.
    ///
    /// Nothing is attached or pinned yet: see ``attach(to:mode:pins:)``.
    public init(takingOver pins: PinDirectory) throws(Failure) {
        try requireKernel(Self.oldestKernel)
        let image = decodeBase64(Images.martlet)
        let file = try ObjectFile(named: "martlet", image: image.span)
        if Tables.arePinned(in: pins) {
            let tables = try Tables(pinnedIn: pins)
            try tables.reuse(in: file)
            let program = try file.load().program(named: "martlet")
            let records = try MappedArray<UInt64>(tables.backends)
            self.tables = tables
            self.program = program
            self.records = records
            try removeLeftovers()
        } else {
            let object = try file.load()
            let tables = try Tables(of: object)
            let program = try object.program(named: "martlet")
            let records = try MappedArray<UInt64>(tables.backends)
            try tables.settings.set(newSettings(), for: 0)
            self.tables = tables
            self.program = program
            self.records = records
        }
    }

    /// Opens what is pinned in `pins`, to look at it; nil if nothing is.
    public init?(lookingAt pins: PinDirectory) throws(Failure) {
        guard Tables.arePinned(in: pins) else { return nil }
        let tables = try Tables(pinnedIn: pins)
        let program = try Program(pinnedAt: pins.path(of: "program"), name: "martlet")
        let records = try MappedArray<UInt64>(tables.backends)
        self.tables = tables
        self.program = program
        self.records = records
    }

    /// Has the program on these interfaces and on no other, and lets all of it outlive us.
    ///
    /// - Parameter turnaround: How the program's own answers leave by the interface that the
    ///   question came in by.
    /// - Throws: If anything is refused. What was made by then is taken back; what ran before
    ///   goes on.
    public func attach(
        to interfaces: [String], mode: AttachMode, turnaround: Egress.Turnaround,
        pins: PinDirectory
    ) throws(Failure) {
        var hooks: [XDPHook] = []
        for interface in interfaces { hooks.append(try XDPHook(on: interface)) }
        let attachments = Attachments(pins: pins)
        let areNew = !Tables.arePinned(in: pins)
        if areNew {
            // Pins without settings are those of a start that was killed half-way.
            _ = try attachments.removeEntries()
            try pins.create()
        }
        do {
            try setReplies(turnaround)
            if areNew { try tables.pin(in: pins) }
            try attachments.set(program, on: hooks, mode: mode)
        } catch {
            if areNew { _ = try attachments.removeEntries() }
            throw error
        }
    }

    private func setReplies(_ turnaround: Egress.Turnaround) throws(Failure) {
        guard var settings = try tables.settings.value(for: 0) else { return }
        settings.flags =
            turnaround == .redirect ? MARTLET_SETTING_REDIRECT_REPLIES.rawValue : 0
        try tables.settings.set(settings, for: 0)
    }

    public func contents() throws -> PlaneContents {
        var contents = PlaneContents()
        let lists = try accessLists()
        for (key, service) in try installedServices() {
            contents.services[key] = PlaneContents.Service(
                id: ServiceID(UInt32(service.id)), slots: try owners(of: UInt32(service.id)),
                access: lists[UInt32(service.id)] ?? AccessList())
        }
        let egresses = try egresses()
        for index in 1..<tables.backends.capacity {
            let record = records.value(at: index, as: martlet_backend.self)
            guard record.service != 0, let forwarding = Forwarding(number: record.forwarding),
                let address = record.address.address(family: record.family)
            else { continue }
            contents.backends[BackendID(UInt16(index))] = PlaneContents.Backend(
                service: ServiceID(record.service), address: address, forwarding: forwarding,
                tunnelPort: forwarding == .gue ? UInt16(bigEndian: record.tunnel_port) : nil,
                nextHop: nextHop(of: record, egresses))
        }
        return contents
    }

    public func apply(_ step: Step) throws {
        switch step {
        case .addBackend(let id, let backend):
            let number = UInt32(id.number)
            try tables.backendCounters.setPerCPU(martlet_traffic(), for: number)
            try tables.backends.set(record(of: backend), for: number)
        case .setNextHop(let id, let nextHop):
            try setNextHop(nextHop, of: Int(id.number))
        case .addSlots(let service, let count):
            let slots = try Map<UInt32, martlet_slot_pair>(
                creating: .array, named: "slots", capacity: count / 2,
                flags: [.mappable, .innerOfAnySize])
            try tables.serviceCounters.setPerCPU(martlet_traffic(), for: service.number)
            try tables.slotTables.set(inner: slots, for: service.number)
        case .writeSlots(let service, let changes):
            try write(changes, of: service)
        case .addService(let key, let service):
            try add(key, record(of: service, access: try access(of: service.number)))
        case .setAccess(let service, let access):
            try set(access, of: service)
        case .removeService(let key, _):
            try remove(key)
        case .removeSlots(let service):
            try tables.slotTables.remove(service.number)
        case .removeBackend(let id):
            try tables.backends.set(martlet_backend(), for: UInt32(id.number))
        }
    }

    public func counters() throws -> PlaneCounters {
        var verdicts: [PlaneCounters.Verdict] = []
        for number in 1..<MARTLET_VERDICT_COUNT.rawValue {
            guard let words = VerdictWords(number) else { continue }
            verdicts.append(
                PlaneCounters.Verdict(
                    name: words.name, text: words.text,
                    count: Count(try tables.verdictCounters.perCPU(number))))
        }
        var services: [ServiceID: Count] = [:]
        for (_, service) in try installedServices() {
            let id = UInt32(service.id)
            services[ServiceID(id)] = Count(try tables.serviceCounters.perCPU(id))
        }
        var backends: [BackendID: Count] = [:]
        for index in 1..<tables.backends.capacity where isTaken(index) {
            backends[BackendID(UInt16(index))] = Count(
                try tables.backendCounters.perCPU(UInt32(index)))
        }
        return PlaneCounters(verdicts: verdicts, services: services, backends: backends)
    }
}

// MARK: - Services and slots

extension XDPPlane {
    private func installedServices() throws(Failure) -> [(ServiceKey, martlet_service)] {
        var found: [(ServiceKey, martlet_service)] = []
        for key in try tables.servicesV4.keys() {
            guard let service = try tables.servicesV4.value(for: key), let key = key.key
            else { continue }
            found.append((key, service))
        }
        for key in try tables.servicesV6.keys() {
            guard let service = try tables.servicesV6.value(for: key), let key = key.key
            else { continue }
            found.append((key, service))
        }
        return found
    }

    /// The VIP first: a packet that meets the service's table finds all of it.
    private func add(_ key: ServiceKey, _ service: martlet_service) throws(Failure) {
        try addVIP(key.vip)
        try put(key, service)
    }

    private func put(_ key: ServiceKey, _ service: martlet_service) throws(Failure) {
        switch key.vip {
        case .v4(let vip): try tables.servicesV4.set(service, for: martlet_service_v4(vip, key))
        case .v6(let vip): try tables.servicesV6.set(service, for: martlet_service_v6(vip, key))
        }
    }

    private func remove(_ key: ServiceKey) throws(Failure) {
        switch key.vip {
        case .v4(let vip): try tables.servicesV4.remove(martlet_service_v4(vip, key))
        case .v6(let vip): try tables.servicesV6.remove(martlet_service_v6(vip, key))
        }
        let others = Set(try installedServices().map(\.0.vip))
        guard !others.contains(key.vip) else { return }
        try tables.vips.remove(martlet_vip_key(key.vip))
        try setFilter(for: others)
    }

    private func addVIP(_ vip: IPAddress) throws(Failure) {
        let filter = try MappedArray<UInt64>(tables.vipFilter)
        let bit = filterBit(of: vip)
        filter[bit / 64] |= 1 << UInt64(bit % 64)
        try tables.vips.set(
            martlet_vip(
                base: martlet_address(vip), flags: MARTLET_VIP_ANSWERS_ECHO.rawValue),
            for: martlet_vip_key(vip))
    }

    /// Clears the bits that none of `vips` needs; at no moment is one missing.
    private func setFilter(for vips: Set<IPAddress>) throws(Failure) {
        var words = [UInt64](repeating: 0, count: Int(MARTLET_VIP_FILTER_BITS.rawValue) / 64)
        for bit in vips.map(filterBit) { words[bit / 64] |= 1 << UInt64(bit % 64) }
        let filter = try MappedArray<UInt64>(tables.vipFilter)
        for (index, word) in words.enumerated() where filter[index] != word {
            filter[index] = word
        }
    }

    private func slots(of service: UInt32) throws(Failure) -> Map<UInt32, martlet_slot_pair> {
        guard
            let slots = try tables.slotTables.inner(
                for: service, key: UInt32.self, value: martlet_slot_pair.self)
        else {
            throw Failure(
                "find slot table of", "service \(service)", because: "there is none", cure: nil)
        }
        return slots
    }

    private func slotMask(of service: ServiceID) throws(Failure) -> UInt32 {
        UInt32(try slots(of: service.number).capacity * 2 - 1)
    }

    private func owners(of service: UInt32) throws(Failure) -> [BackendID?] {
        let words = try MappedArray<UInt32>(slots(of: service))
        return (0..<words.count).map {
            let owner = UInt16(words[$0] & UInt32(MARTLET_SLOT_OWNER.rawValue))
            return owner == 0 ? nil : BackendID(owner)
        }
    }

    private func write(_ changes: [SlotChange], of service: ServiceID) throws(Failure) {
        let words = try MappedArray<UInt32>(slots(of: service.number))
        for change in changes { words[change.slot] = UInt32(change.owner?.number ?? 0) }
    }

    /// Tables and records to which no service leads: a controller was killed between two steps.
    private func removeLeftovers() throws(Failure) {
        let services = Set(try installedServices().map { UInt32($0.1.id) })
        for id in try tables.slotTables.keys() where !services.contains(id) {
            try tables.slotTables.remove(id)
        }
        for key in try tables.access.keys() where !services.contains(key.service) {
            try tables.access.remove(key)
        }
        for index in 1..<tables.backends.capacity where isTaken(index) {
            let record = records.value(at: index, as: martlet_backend.self)
            if !services.contains(record.service) {
                try tables.backends.set(martlet_backend(), for: UInt32(index))
            }
        }
    }
}

// MARK: - Access lists

extension XDPPlane {
    /// All lists, by the number of their service.
    private func accessLists() throws(Failure) -> [UInt32: AccessList] {
        var lists: [UInt32: AccessList] = [:]
        for key in try tables.access.keys() {
            guard let word = try tables.access.value(for: key), let prefix = IPPrefix(key)
            else { continue }
            let answer: AccessList.Answer =
                word == MARTLET_ACCESS_ALLOW.rawValue ? .allow : .deny
            lists[key.service, default: AccessList()].rules[prefix] = answer
        }
        return lists
    }

    private func access(of service: UInt32) throws(Failure) -> AccessList {
        try accessLists()[service] ?? AccessList()
    }

    /// First what is new, then what others are told, then what is old goes: whoever may use the
    /// service before and after is never turned away.
    private func set(_ access: AccessList, of service: ServiceID) throws(Failure) {
        let present = try self.access(of: service.number)
        for (prefix, answer) in access.rules where present.rules[prefix] != answer {
            let word = answer == .allow ? MARTLET_ACCESS_ALLOW : MARTLET_ACCESS_DENY
            try tables.access.set(word.rawValue, for: martlet_access_key(prefix, service))
        }
        let record = try self.record(of: service, access: access)
        for (key, installed) in try installedServices() where UInt32(installed.id) == service.number
        {
            try put(key, record)
        }
        for prefix in present.rules.keys where access.rules[prefix] == nil {
            try tables.access.remove(martlet_access_key(prefix, service))
        }
    }

    /// What a service's keys lead to.
    private func record(
        of service: ServiceID, access: AccessList
    ) throws(Failure) -> martlet_service {
        var flags: UInt32 = 0
        if !access.rules.isEmpty { flags |= MARTLET_SERVICE_HAS_ACCESS_LIST.rawValue }
        if access.answerToOthers == .deny { flags |= MARTLET_SERVICE_DENIES_OTHERS.rawValue }
        return martlet_service(
            id: UInt16(service.number), flags: UInt16(flags), slot_mask: try slotMask(of: service))
    }
}

// MARK: - Backends and next hops

extension XDPPlane {
    private static let wordsOfRecord = 8

    private func isTaken(_ index: Int) -> Bool {
        records.value(at: index, as: martlet_backend.self).service != 0
    }

    private func record(of backend: PlaneContents.Backend) throws(Failure) -> martlet_backend {
        var record = martlet_backend()
        record.service = backend.service.number
        record.forwarding = backend.forwarding.number
        record.family = backend.address.family.rawValue
        record.address = martlet_address(backend.address)
        record.tunnel_port = (backend.tunnelPort ?? 0).bigEndian
        if let nextHop = backend.nextHop {
            record.source = martlet_address(nextHop.source)
            record.next_hop = martlet_next_hop(
                nextHop.neighbour, egress: try number(of: nextHop.egress))
        }
        return record
    }

    /// The source first: a packet that meets the new next hop has the new source too.
    private func setNextHop(_ nextHop: NextHop?, of index: Int) throws(Failure) {
        let first = index * Self.wordsOfRecord
        guard let nextHop else {
            records[first] = 0
            return
        }
        let source = unsafe unsafeBitCast(
            martlet_address(nextHop.source), to: (UInt64, UInt64).self)
        let number = try number(of: nextHop.egress)
        records[first + 4] = source.0
        records[first + 5] = source.1
        records[first] = martlet_next_hop(nextHop.neighbour, egress: number).word
    }

    private func nextHop(of record: martlet_backend, _ egresses: [UInt16: Egress]) -> NextHop? {
        guard let egress = egresses[record.next_hop.egress],
            let source = record.source.address(family: record.family)
        else { return nil }
        return NextHop(egress: egress, neighbour: record.next_hop.neighbour, source: source)
    }

    private func egresses() throws(Failure) -> [UInt16: Egress] {
        var found: [UInt16: Egress] = [:]
        for index in 1..<UInt32(tables.egresses.capacity) {
            guard let egress = try tables.egresses.value(for: index), egress.interface != 0
            else { continue }
            found[UInt16(index)] = Egress(
                index: egress.interface, name: interfaceName(egress.interface) ?? "",
                address: egress.source, mtu: UInt32(egress.mtu),
                turnaround: egress.turnaround)
        }
        return found
    }

    /// The number under which the data path knows `egress`, made known and brought up to date.
    private func number(of egress: Egress) throws(Failure) -> UInt16 {
        let known = try egresses()
        let number: UInt16
        if let present = known.first(where: { $0.value.index == egress.index }) {
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
            })
        let numbers = 1..<UInt16(tables.egresses.capacity)
        // An interface that has gone leaves a record to which no backend leads.
        let free = numbers.first { known[$0] == nil } ?? numbers.first { !used.contains($0) }
        guard let free else {
            throw Failure(
                "use one more output interface than", "\(numbers.count)",
                because: "the table is full", cure: nil)
        }
        return free
    }
}

/// Of a fresh start. The key is random: with a known one an attacker could aim at one backend.
private func newSettings() -> martlet_settings {
    var random = SystemRandomNumberGenerator()
    return martlet_settings(
        abi: UInt32(MARTLET_ABI), flags: 0, hash_key: (random.next(), random.next()))
}

/// The name and the meaning of a verdict, from the one list in martlet_abi.h.
struct VerdictWords {
    let name: String
    let text: String

    init?(_ verdict: UInt32) {
        guard let name = unsafe martlet_verdict_name(verdict),
            let text = unsafe martlet_verdict_text(verdict)
        else { return nil }
        self.name = unsafe String(cString: name)
        self.text = unsafe String(cString: text)
    }
}
