import BPF
import CDatapath
import Model
import ModelMaps
import Packets
import SeededRandom
import XDPPlane

/// Random NAT tables.
extension World {
    mutating func addNAT(_ random: inout Random, in network: KernelNetwork) {
        tables.kernel = network.kernel
        tables.kernel.forwards = !random.once(in: 5)
        tables.nat.asksReturns = !random.once(in: 8)
        tables.nat.asksAddresses = !random.once(in: 8)
        // The loopback, where the packets come from, is one that we can answer by, or not.
        for interface in [1, network.near] where !random.once(in: 3) {
            tables.egressNumbers[interface] =
                random.once(in: 20) ? 5 : UInt32(random.number(1...4))
        }
        addReturns(&random)
        addShares(&random)
        for _ in 0..<150 { addFlow(&random) }
        for _ in 0..<40 { fillPlaces(&random) }
    }

    private mutating func addReturns(_ random: inout Random) {
        for backend in Places.backends4 + Places.backends6 {
            let vips = backend.family == .v4 ? Places.vips4 : Places.vips6
            for port in Places.ports + [0] {
                for transport in [6, 17] as [UInt8] where !random.once(in: 3) {
                    tables.nat.returns[
                        .init(address: backend, port: port, transport: transport)] = .init(
                            vip: random.pick(vips), port: random.pick([0, 80, 443]))
                }
            }
        }
    }

    private mutating func addShares(_ random: inout Random) {
        for (index, address) in (Places.nat4 + Places.nat6).enumerated() {
            let number = UInt32(index + 1)
            if !random.once(in: 10) { tables.nat.addresses[number] = address }
            if !random.once(in: 10) { tables.nat.numbers[address] = number }
            if !random.once(in: 10) { tables.nat.tables.insert(number) }
        }
        for index in 0..<512 {
            let own: [UInt32] = index < 256 ? [1, 2] : [3, 4]
            tables.nat.shares[index] = .init(
                owner: random.once(in: 20) ? 0 : random.pick(own),
                former: random.pick([0, own[0], own[1]]))
        }
    }

    /// One that packets of clients belong to, and so answers.
    private mutating func addFlow(_ random: inout Random) {
        let isV4 = random.once(in: 2)
        let isUDP = random.once(in: 3)
        let flow = Flow(
            source: random.pick(isV4 ? Places.clients4 : Places.clients6),
            destination: random.pick(
                isV4 ? Places.vips4 + Places.wide4 : Places.vips6 + Places.wide6),
            sourcePort: random.pick(Places.clientPorts),
            destinationPort: random.pick(Places.ports), transport: isUDP ? 17 : 6)
        let places = NATPlaces(
            hash: flowHash(of: flow, key: tables.hashKey), family: flow.source.family)
        guard let share = tables.nat.shares[places.share] else { return }
        let address = random.once(in: 3) ? share.former : share.owner
        guard address != 0, tables.nat.tables.contains(address) else { return }
        let place = random.pick(places.all(at: address))
        let known = tables.backends.filter {
            $0.value.address.family == flow.source.family && $0.value.forwarding == 5
        }.keys.sorted()
        let id = known.isEmpty ? 1 : random.pick(known)
        let backend = tables.backends[id]
        let port = backend?.port ?? 0
        tables.nat.flows[place] = NATFlow(
            state: isUDP
                ? UInt32(random.number(6...7))
                : UInt32(random.number(random.once(in: 3) ? 1...5 : 2...5)),
            used: age(&random), tag: places.tag,
            client: .init(flow.source, flow.sourcePort),
            vip: .init(flow.destination, flow.destinationPort),
            backend: .init(
                random.once(in: 10)
                    ? random.pick(Places.backends4 + Places.backends6)
                    : backend?.address ?? Places.backends4[0],
                port == 0 ? flow.destinationPort : port),
            backendID: id, lastHop: lastHop(&random))
    }

    private func lastHop(_ random: inout Random) -> NATFlow.Hop? {
        guard !random.once(in: 3) else { return nil }
        return .init(
            neighbour: [2, 0, 0, 0, 0, random.pick([2, 3])],
            egress: random.once(in: 20) ? 5 : UInt32(random.number(1...4)))
    }

    /// Of now, or of so long ago that no state lasts as long.
    private func age(_ random: inout Random) -> UInt32 {
        // Or of a CPU that has read the clock later.
        (coarseTime() &- random.pick([0, 10, 100_000, ~0 - 19])) & (1 << 29 - 1)
    }

    /// Leaves a flow, which may come or not, few places or none.
    private mutating func fillPlaces(_ random: inout Random) {
        let isV4 = random.once(in: 2)
        let flow = Flow(
            source: random.pick(isV4 ? Places.clients4 : Places.clients6),
            destination: random.pick(isV4 ? Places.vips4 : Places.vips6),
            sourcePort: random.pick(Places.clientPorts),
            destinationPort: random.pick(Places.ports), transport: random.pick([6, 17]))
        let places = NATPlaces(
            hash: flowHash(of: flow, key: tables.hashKey), family: flow.source.family)
        guard let owner = tables.nat.shares[places.share]?.owner, owner != 0,
            tables.nat.tables.contains(owner)
        else { return }
        let isWhole = random.once(in: 2)
        for place in places.all(at: owner)
        where tables.nat.flows[place] == nil && (isWhole || random.once(in: 2)) {
            tables.nat.flows[place] = NATFlow(
                state: UInt32(random.number(random.once(in: 2) ? 2...7 : 4...4)),
                used: age(&random),
                tag: UInt32(truncatingIfNeeded: random.next()),
                client: .init(flow.source, 7), vip: .init(flow.destination, 80),
                backend: .init(random.pick(isV4 ? Places.backends4 : Places.backends6), 80),
                backendID: 1, lastHop: nil)
        }
    }

    /// What backends may send: of NAT flows, and of `nat`.
    var answers: [Flow] {
        let ofFlows = tables.nat.flows.sorted {
            ($0.key.address, $0.key.port) < ($1.key.address, $1.key.port)
        }.compactMap { place, flow -> Flow? in
            guard let address = tables.nat.addresses[place.address] else { return nil }
            return Flow(
                source: flow.backend.address, destination: address,
                sourcePort: flow.backend.port, destinationPort: place.port,
                transport: flow.state >= MARTLET_NAT_ASKING.rawValue ? 17 : 6)
        }.filter { $0.source.family == $0.destination.family }
        let stateless = tables.nat.returns.keys.sorted {
            ($0.address, $0.port, $0.transport) < ($1.address, $1.port, $1.transport)
        }.flatMap { from in
            (from.address.family == .v4 ? Places.clients4 : Places.clients6).map {
                Flow(
                    source: from.address, destination: $0,
                    sourcePort: from.port == 0 ? 9999 : from.port,
                    destinationPort: Places.clientPorts[0], transport: from.transport)
            }
        }
        return ofFlows + stateless
    }
}

// MARK: - Out of the maps

extension XDPPlane {
    /// Where the flows in the tables are others than `expected`; nil: nowhere.
    func firstDifference(from expected: NAT) throws -> NAT.Place? {
        for number in expected.tables.sorted() {
            guard let table = try natTable(number) else {
                return NAT.Place(address: number, port: 0)
            }
            let words = try MappedArray<UInt64>(table)
            for port in 0...UInt16.max {
                let found = NATCell(at: port, of: words)
                let place = NAT.Place(address: number, port: port)
                let isRight =
                    expected.flows[place].map { found.isLike(NATCell($0)) } ?? found.isFree
                if !isRight { return place }
            }
        }
        return nil
    }
}
