import Balancing
import Packets

/// What was read of the addresses that `full-nat` sends from.
struct NATAddresses {
    /// What stands in one place: an address, or a prefix for all addresses in it.
    struct Block {
        let prefix: IPPrefix
        let position: Position
        let path: Path
    }

    var blocks: [Block] = []
    /// Whether everything that stands there could be read.
    var isComplete = true

    /// Each address, in ascending order.
    var all: [IPAddress] {
        blocks.flatMap { $0.prefix.addresses(atMost: Limits.natAddresses) ?? [] }.sorted()
    }
}

extension Reader {
    /// The addresses under `nat-addresses`; none if the file has no such key.
    mutating func natAddresses(_ fields: Fields) -> NATAddresses {
        var addresses = NATAddresses()
        let path = fields.path.key("nat-addresses")
        guard fields.has("nat-addresses") else { return addresses }
        guard let value = fields.values["nat-addresses"],
            let elements = elements(
                of: value, at: path,
                accepted: "a list of addresses and prefixes, like [192.0.2.10, 192.0.2.16/28]")
        else {
            addresses.isComplete = false
            return addresses
        }
        if elements.isEmpty {
            report(value.position, path, found: "no addresses", accepted: "one or more")
            addresses.isComplete = false
        }
        var count = 0
        for element in elements {
            guard let prefix = read(element.value, at: element.path, as: .reachablePrefix) else {
                addresses.isComplete = false
                continue
            }
            let block = NATAddresses.Block(
                prefix: prefix, position: element.value.position, path: element.path)
            if checkDistinct(block, from: addresses.blocks), countUp(&count, by: block) {
                addresses.blocks.append(block)
            } else {
                addresses.isComplete = false
            }
        }
        return addresses
    }

    private mutating func checkDistinct(
        _ block: NATAddresses.Block, from earlier: [NATAddresses.Block]
    ) -> Bool {
        guard let other = earlier.first(where: { $0.prefix.overlaps(block.prefix) }) else {
            return true
        }
        report(
            block.position, block.path,
            found: "\(shown("\(block.prefix)")), of which a part is in line "
                + "\(other.position.line) already", accepted: "each address once")
        return false
    }

    /// Each address has a table of its own in the data path.
    private mutating func countUp(_ count: inout Int, by block: NATAddresses.Block) -> Bool {
        let before = count
        let own = block.prefix.addresses(atMost: Limits.natAddresses)?.count
        count += own ?? Limits.natAddresses + 1
        guard count > Limits.natAddresses else { return true }
        if before <= Limits.natAddresses {
            let bits = block.prefix.hostBits
            let size = own.map(String.init) ?? (bits < 32 ? "\(1 << bits)" : "2^\(bits)")
            report(
                block.position, block.path,
                found: "\(size) addresses" + (before > 0 ? " after \(before) others" : ""),
                accepted: "at most \(Limits.natAddresses) in all")
        }
        return false
    }

    /// A NAT address is nobody else's, and each family that needs one has one.
    mutating func check(
        _ addresses: NATAddresses, at fields: Fields, for services: [ServiceParts?]
    ) {
        let services = services.compactMap(\.self)
        for block in addresses.blocks { checkIsNobodys(block, services) }
        guard addresses.isComplete else { return }
        let families = Set(addresses.blocks.map(\.prefix.family))
        for family in IPFamily.allCases where !families.contains(family) {
            let needing = services.first {
                $0.forwarding == .fullNAT && $0.vip?.prefix.family == family
            }
            guard let needing, let position = needing.fields.values["forwarding"]?.position
            else { continue }
            report(
                position, needing.fields.path.key("forwarding"),
                found: "\(Forwarding.fullNAT.rawValue) for \(family), but no \(family) address in "
                    + "nat-addresses",
                accepted: "it with one there: an address of this node that nothing else sends from")
        }
    }

    private mutating func checkIsNobodys(
        _ block: NATAddresses.Block, _ services: [ServiceParts]
    ) {
        for service in services {
            if let vip = service.vip?.prefix, vip.overlaps(block.prefix),
                let position = service.fields.values["vip"]?.position
            {
                let place = line(of: position, from: block.position)
                return reportTaken(block, by: "the VIP \(vip) in \(place)")
            }
            let owners = zip(service.backends, service.addressPlaces)
            if let (backend, place) = owners.first(where: {
                block.prefix.contains($0.0.address)
            }) {
                return reportTaken(
                    block,
                    by: "the backend \(backend.address) in "
                        + line(of: place.position, from: block.position))
            }
        }
    }

    private mutating func reportTaken(_ block: NATAddresses.Block, by owner: String) {
        report(
            block.position, block.path,
            found: "\(shown("\(block.prefix)")), which has an address in common with \(owner)",
            accepted: "addresses of this node that are neither a VIP nor a backend")
    }
}

/// What the answers of the backends of `nat` services say: of which service they are.
extension Reader {
    /// No two services may get answers that nothing tells apart.
    mutating func checkAnswers(_ services: [ServiceParts]) {
        struct Source: Hashable {
            let backend: IPAddress
            let transport: Transport
        }
        struct Use {
            let frontend: Frontend
            let port: UInt16?
            let position: Position
        }
        var uses: [Source: [Use]] = [:]
        for service in services where service.forwarding == .nat {
            guard let frontend = service.frontend, frontend.vip.isSingle else { continue }
            for (backend, place) in zip(service.backends, service.addressPlaces) {
                let source = Source(backend: backend.address, transport: frontend.transport)
                let use = Use(
                    frontend: frontend, port: backend.port, position: place.position)
                let common = uses[source, default: []].lazy.compactMap { earlier in
                    indistinct(frontend, use.port, earlier.frontend, earlier.port)
                        .map { (ports: $0, position: earlier.position) }
                }.first
                if let common {
                    report(
                        place.position, place.path,
                        found: "answers from \(backend.address):\(common.ports)/"
                            + "\(frontend.transport.name), which are those of the backend in "
                            + "\(line(of: common.position, from: place.position)), too",
                        accepted: "a backend and port of no other service with forwarding: "
                            + "\(Forwarding.nat.rawValue); or forwarding: "
                            + Forwarding.fullNAT.rawValue)
                }
                uses[source, default: []].append(use)
            }
        }
    }

    /// Each port of each backend of a `nat` service is an entry in the data path.
    mutating func checkReturnCount(_ services: [ServiceParts]) {
        var total = 0
        for service in services where service.forwarding == .nat {
            guard let ports = service.ports else { continue }
            let before = total
            total += ports.count * service.backendPlaces.count
            guard before <= Limits.natReturns, total > Limits.natReturns,
                let position = service.fields.values["backends"]?.position
            else { continue }
            report(
                position, service.fields.path.key("backends"),
                found: "\(service.backendPlaces.count) backends with \(ports.count) ports each "
                    + "after \(before) ports of backends of other services with forwarding: "
                    + Forwarding.nat.rawValue,
                accepted: "at most \(Limits.natReturns) in all, `port: any` being one")
        }
    }
}

/// The ports from which one backend answers for both services, so that nobody can tell for which;
/// nil: there are none.
private func indistinct(
    _ one: Frontend, _ port: UInt16?, _ other: Frontend, _ otherPort: UInt16?
) -> Ports? {
    // Two services that clients can't tell apart are refused for that.
    if one.vip == other.vip, one.ports.common(with: other.ports) != nil { return nil }
    let ports = port.map { Ports($0) } ?? one.ports
    let others = otherPort.map { Ports($0) } ?? other.ports
    if let common = ports.common(with: others) { return common }
    switch (ports, others) {
    case (.any, _):
        // What is sent to such a port of the VIP is the other service's, and so is the answer.
        return one.vip == other.vip && otherPort == nil ? nil : others
    case (_, .any): return one.vip == other.vip && port == nil ? nil : ports
    default: return nil
    }
}
