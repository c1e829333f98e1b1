import Balancing
import Packets

/// What services may not have in common, and what all of them may have together.
extension Reader {
    mutating func check(_ parts: [ServiceParts?]) {
        let services = parts.compactMap(\.self)
        checkNames(services)
        checkBases(services)
        checkFrontends(services)
        checkPortCount(services)
        checkAnswers(services)
        checkReturnCount(services)
        checkTotal(
            services.map(\.backendPlaces), "backends in all", limit: Limits.backends, "backends")
        checkTotal(
            services.map(\.accessPlaces), "prefixes in access lists", limit: Limits.accessPrefixes,
            "prefixes in all access lists")
    }

    private mutating func checkNames(_ services: [ServiceParts]) {
        var names = Distinct<String>()
        for service in services {
            if let name = service.name, let position = service.fields.values["name"]?.position,
                let earlier = names.earlier(name, position)
            {
                report(
                    position, service.fields.path.key("name"),
                    found: "\(shown(name)), which is in "
                    + "\(line(of: earlier, from: position)) already",
                    accepted: "a name that no other service has")
            }
        }
    }

    /// The first address of a VIP stands for it in the data path: two may not share it.
    private mutating func checkBases(_ services: [ServiceParts]) {
        var first: [IPAddress: (prefix: IPPrefix, position: Position)] = [:]
        for service in services {
            guard let prefix = service.vip?.prefix,
                let position = service.fields.values["vip"]?.position
            else { continue }
            guard let earlier = first[prefix.base] else {
                first[prefix.base] = (prefix, position)
                continue
            }
            guard earlier.prefix != prefix else { continue }
            report(
                position, service.fields.path.key("vip"),
                found: "\(shown("\(prefix)")), which begins like the VIP \(earlier.prefix) in "
                    + line(of: earlier.position, from: position),
                accepted: "the same VIP, or one with another first address")
        }
    }

    /// What clients address tells services apart.
    private mutating func checkFrontends(_ services: [ServiceParts]) {
        struct Place: Hashable {
            let vip: IPPrefix
            let transport: Transport
        }
        var taken: [Place: [(ports: Ports, position: Position)]] = [:]
        for service in services {
            guard let frontend = service.frontend,
                let position = service.fields.values["vip"]?.position
            else { continue }
            let place = Place(vip: frontend.vip, transport: frontend.transport)
            let overlap = taken[place, default: []].lazy.compactMap { earlier in
                frontend.ports.common(with: earlier.ports).map { ($0, earlier.position) }
            }.first
            if let (ports, earlier) = overlap {
                var common = frontend
                common.ports = ports
                report(
                    position, service.fields.path.key("vip"),
                    found: "\(common), which the service in \(line(of: earlier, from: position)) "
                        + "has already",
                    accepted: "a VIP, port and protocol that no other service has")
            }
            taken[place, default: []].append((frontend.ports, position))
        }
    }

    /// Each port is an entry in the data path.
    private mutating func checkPortCount(_ services: [ServiceParts]) {
        var total: [IPFamily: Int] = [:]
        for service in services {
            guard let frontend = service.frontend else { continue }
            let before = total[frontend.vip.family, default: 0]
            let after = before + frontend.ports.count
            total[frontend.vip.family] = after
            guard before <= Limits.ports, after > Limits.ports else { continue }
            let key = service.fields.has("ports") ? "ports" : "port"
            guard let position = service.fields.values[key]?.position else { continue }
            report(
                position, service.fields.path.key(key),
                found: "\(frontend.ports.count) ports after \(before) of other services of "
                    + "\(frontend.vip.family)",
                accepted: "at most \(Limits.ports) in all, `port: any` being one")
        }
    }

    private mutating func checkTotal(
        _ places: [[(position: Position, path: Path)]], _ things: String, limit: Int,
        _ accepted: String
    ) {
        let total = places.reduce(0) { $0 + $1.count }
        guard total > limit, let (position, path) = places.joined().dropFirst(limit).first
        else { return }
        report(
            position, path, found: "number \(limit + 1) of \(total) \(things)",
            accepted: "at most \(limit) \(accepted)")
    }
}
