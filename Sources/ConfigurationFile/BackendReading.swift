import Balancing
import Packets

/// What was read of a backend; nil is what could not be.
struct BackendParts {
    let fields: Fields
    let name: String?
    let address: IPAddress?
    let weight: UInt16?
    /// Nil: it has none of its own, or that could not be read.
    let port: UInt16?
    /// Nil: there is none, or it could not be read.
    let maxConnections: UInt32?
    let isBackup: Bool?

    /// The whole of it; nil only if an error was reported.
    var backend: Backend? {
        guard let name, let address, let weight, let isBackup else { return nil }
        return Backend(
            name: name, address: address, weight: weight, port: port,
            maxConnections: maxConnections, isBackup: isBackup)
    }
}

extension Reader {
    mutating func backendParts(
        _ value: Value, at path: Path, of service: ServiceParts
    ) -> BackendParts? {
        let keys = ["name", "address", "weight", "port", "max-connections", "backup"]
        guard let fields = fields(of: value, at: path, keys: keys) else { return nil }
        let parts = BackendParts(
            fields: fields, name: read("name", fields, as: .name),
            address: read("address", fields, as: .address),
            weight: read("weight", fields, as: .number(0...UInt16.max), default: 1),
            port: port(in: fields, service),
            maxConnections: read(
                "max-connections", fields, as: .number(1...Limits.connections), default: nil),
            isBackup: read("backup", fields, as: .yesOrNo, default: false))
        if let address = parts.address, let vip = service.vip {
            check(address, in: fields, vip: vip.prefix, service.forwarding)
        }
        return parts
    }

    /// The VIP must be able to reach the backend, and the backend be another machine.
    private mutating func check(
        _ address: IPAddress, in fields: Fields, vip: IPPrefix, _ forwarding: Forwarding?
    ) {
        guard let position = fields.values["address"]?.position else { return }
        let path = fields.path.key("address")
        if vip.contains(address) {
            let place = vip.isSingle ? "is the VIP" : "is in the VIP \(vip)"
            report(
                position, path, found: "\(shown("\(address)")), which \(place)",
                accepted: "the backend's own address")
        }
        if let forwarding, !forwarding.reaches(address.family, from: vip.family) {
            report(
                position, path,
                found: "\(shown("\(address)")), \(address.family) behind a VIP of \(vip.family)",
                accepted: "\(vip.family) with forwarding: \(forwarding.rawValue), either family "
                    + "with a tunnel, like forwarding: \(Forwarding.ipip.rawValue)")
        }
    }

    /// A port of its own is for modes that rewrite ports, and answers must lead back from it to
    /// one port of the VIP.
    private mutating func port(in fields: Fields, _ service: ServiceParts) -> UInt16? {
        let port = read("port", fields, as: Kind<UInt16>.number(1...65535), default: nil)
        guard let position = fields.keyPositions["port"], let mode = service.forwarding else {
            return port
        }
        let path = fields.path.key("port")
        guard mode.isTranslation else {
            let modes = Forwarding.allCases.filter(\.isTranslation).map(\.rawValue)
            report(
                position, path, found: "the key with forwarding: \(mode.rawValue)",
                accepted: "it with forwarding: " + modes.joined(separator: " or ") + " only")
            return nil
        }
        guard mode == .nat, let ports = service.ports, ports.single == nil else { return port }
        let cause = ports == .any ? "port: any" : "several ports"
        report(
            position, path, found: "the key in a service with \(cause)",
            accepted: "it where the service has one port, so that an answer tells what it "
                + "answers; or forwarding: \(Forwarding.fullNAT.rawValue)")
        return nil
    }

    /// Names and addresses tell the backends of a service apart.
    mutating func checkDistinct(
        _ backend: BackendParts, _ names: inout Distinct<String>,
        _ addresses: inout Distinct<IPAddress>
    ) {
        let fields = backend.fields
        if let name = backend.name, let position = fields.values["name"]?.position,
            let earlier = names.earlier(name, position)
        {
            report(
                position, fields.path.key("name"),
                found: "\(shown(name)), which is in "
                    + "\(line(of: earlier, from: position)) already",
                accepted: "a name that no other backend of the service has")
        }
        if let address = backend.address, let position = fields.values["address"]?.position,
            let earlier = addresses.earlier(address, position)
        {
            report(
                position, fields.path.key("address"),
                found: "\(shown("\(address)")), which is in "
                    + "\(line(of: earlier, from: position)) already",
                accepted: "an address that no other backend of the service has")
        }
    }
}
