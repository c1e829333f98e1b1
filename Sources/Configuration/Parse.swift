public import Balancing
import Packets
import Yams

/// Reads a configuration; all that is wrong with it is in the error.
///
/// - Parameters:
///   - text: YAML 1.1, one document.
///   - file: The name for the error messages.
public func parse(_ text: String, file: String) throws(ConfigurationErrors) -> DesiredState {
    let root: Node?
    do { root = try compose(yaml: text) } catch {
        throw ConfigurationErrors(file: file, errors: [syntaxError(error)])
    }
    var reader = Reader()
    guard let root else {
        let error = ConfigurationError(
            line: 0, column: 0, path: "", found: "an empty document",
            accepted: "a mapping with the keys interfaces and services")
        throw ConfigurationErrors(file: file, errors: [error])
    }
    let state = reader.desiredState(Place(node: root, path: ""))
    guard let state, reader.errors.isEmpty else {
        throw ConfigurationErrors(file: file, errors: reader.errors)
    }
    return state
}

private func syntaxError(_ error: any Error) -> ConfigurationError {
    let (mark, problem): (Mark?, String) =
        switch error as? YamlError {
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
            .composer(_, let problem, let mark, _):
            (mark, problem)
        case .duplicatedKeysInMapping(let keys, let context):
            (context.mark, "the same key twice: \(keys.joined(separator: ", "))")
        case .reader(let problem, _, _, _): (nil, problem)
        default: (nil, "\(error)")
        }
    return ConfigurationError(
        line: mark?.line ?? 0, column: mark?.column ?? 0, path: "", found: problem,
        accepted: "one YAML document")
}

extension Reader {
    fileprivate mutating func desiredState(_ place: Place) -> DesiredState? {
        let keys = mapping(
            place, known: ["interfaces", "attach-mode", "services"],
            required: ["interfaces", "services"])
        guard let keys else { return nil }
        let interfaces = keys["interfaces"].flatMap { interfaceNames($0) }
        let mode = word(keys["attach-mode"], among: AttachMode.allCases.map { ($0.rawValue, $0) })
        let services = keys["services"].flatMap { self.services($0) }
        guard let interfaces, let services else { return nil }
        return DesiredState(
            interfaces: interfaces, attachMode: mode ?? .native, services: services)
    }

    private mutating func interfaceNames(_ place: Place) -> [String]? {
        guard let places = list(place, of: "interface names", counts: 1...255) else { return nil }
        let names = places.map { place in
            scalar(place, accepted: "the name of an interface, like eth1") { isInterfaceName($0) }
        }
        unique(zip(names, places).compactMap { name, place in name.map { ($0, place) } }, "name")
        return names.contains { $0 == nil } ? nil : names.compactMap { $0 }
    }

    private mutating func services(_ place: Place) -> [Service]? {
        guard let places = list(place, of: "services", counts: 0...Limits.services)
        else { return nil }
        let services = places.map { service($0) }
        let read = zip(services, places).compactMap { service, place in service.map { ($0, place) }
        }
        unique(read.map { ($0.0.name, $0.1) }, "name")
        unique(read.map { ($0.0.key, $0.1) }, "VIP, port and protocol")
        let total = read.reduce(0) { $0 + $1.0.backends.count }
        if total > Limits.backends {
            refuse(
                place, found: "\(total) backends in all",
                accepted: "at most \(Limits.backends)")
        }
        return services.contains { $0 == nil } ? nil : services.compactMap { $0 }
    }

    private mutating func service(_ place: Place) -> Service? {
        let keys = mapping(
            place,
            known: [
                "name", "vip", "port", "protocol", "scheduler", "forwarding", "health-check",
                "backends",
            ], required: ["name", "vip", "port", "forwarding", "backends"])
        guard let keys else { return nil }
        let errorsBefore = errors.count
        let name = self.name(keys["name"])
        let vip = address(keys["vip"])
        let port = self.port(keys["port"])
        let transport = word(keys["protocol"], among: Transport.allCases.map { ($0.name, $0) })
        let scheduler = word(
            keys["scheduler"], among: Scheduler.allCases.map { ($0.rawValue, $0) })
        let forwarding = word(
            keys["forwarding"], among: Forwarding.allCases.map { ($0.rawValue, $0) })
        let check = keys["health-check"].flatMap { healthCheck($0, servicePort: port) }
        let backends = keys["backends"].flatMap { self.backends($0, vip: vip, forwarding) }
        guard errors.count == errorsBefore, let name, let vip, let port, let forwarding,
            let backends
        else { return nil }
        return Service(
            name: name,
            key: ServiceKey(vip: vip, port: port.number, transport: transport ?? .tcp),
            scheduler: scheduler ?? .maglev, forwarding: forwarding, healthCheck: check,
            backends: backends)
    }

    private mutating func backends(
        _ place: Place, vip: IPAddress?, _ forwarding: Forwarding?
    ) -> [Backend]? {
        let counts = 1...Limits.backendsOfService
        guard let places = list(place, of: "backends", counts: counts) else { return nil }
        var read: [(backend: Backend, place: Place)] = []
        for place in places {
            let keys = mapping(
                place, known: ["name", "address", "weight"], required: ["name", "address"])
            guard let keys else { continue }
            let name = self.name(keys["name"])
            let address = self.address(keys["address"])
            let weight = number(keys["weight"], in: 0...Int(UInt16.max)) ?? 1
            if let address, let vip, let forwarding, let place = keys["address"] {
                check(address, at: place, vip: vip, forwarding)
            }
            guard let name, let address else { continue }
            read.append(
                (Backend(name: name, address: address, weight: UInt16(weight)), place))
        }
        unique(read.map { ($0.backend.name, $0.place) }, "name")
        unique(read.map { ($0.backend.address, $0.place) }, "address")
        guard read.count == places.count else { return nil }
        if read.allSatisfy({ $0.backend.weight == 0 }) {
            refuse(place, found: "weight 0 everywhere", accepted: "a backend with a weight")
        }
        return read.map(\.backend)
    }

    private mutating func check(
        _ address: IPAddress, at place: Place, vip: IPAddress, _ forwarding: Forwarding
    ) {
        if address == vip {
            refuse(place, found: "the VIP itself", accepted: "an address of the backend's own")
        }
        if !forwarding.reaches(address.family, from: vip.family) {
            refuse(
                place, found: "\(address.family) behind a VIP of \(vip.family)",
                accepted: "\(vip.family) with forwarding: \(forwarding.rawValue), or ipip")
        }
    }

    private mutating func healthCheck(_ place: Place, servicePort: Port?) -> HealthCheck? {
        let keys = mapping(
            place,
            known: ["type", "path", "host", "port", "interval", "timeout", "rise", "fall"],
            required: ["type"])
        guard let keys else { return nil }
        let isHTTP = word(keys["type"], among: [("tcp", false), ("http", true)])
        let path = scalar(keys["path"], accepted: "a path that begins with /") {
            isRequestText($0) && $0.hasPrefix("/") ? $0 : nil
        }
        let host = scalar(keys["host"], accepted: "a host name") { isRequestText($0) ? $0 : nil }
        if isHTTP == false {
            for key in ["path", "host"] {
                if let place = keys[key] {
                    refuse(
                        place, found: "\(key) with type: tcp", accepted: "\(key) with type: http")
                }
            }
        }
        let port = number(keys["port"], in: 1...65535)
        if servicePort == .any, keys["port"] == nil {
            refuse(place, found: "no key port", accepted: "one, because the service has port: any")
        }
        let interval = duration(keys["interval"]) ?? .seconds(2)
        let timeout = duration(keys["timeout"]) ?? min(.seconds(1), interval)
        if timeout > interval, let place = keys["timeout"] ?? keys["interval"] {
            refuse(place, accepted: "a timeout no longer than the interval")
        }
        let rise = number(keys["rise"], in: 1...100) ?? 2
        let fall = number(keys["fall"], in: 1...100) ?? 3
        guard let isHTTP, let port = port.map(UInt16.init) ?? servicePort?.number
        else { return nil }
        return HealthCheck(
            probe: isHTTP ? .http(path: path ?? "/", host: host) : .tcp, port: port,
            interval: interval, timeout: timeout, rise: rise, fall: fall)
    }
}

// MARK: - Single values

/// The port of a service as the file has it.
private enum Port: Equatable {
    case one(UInt16)
    case any

    var number: UInt16? {
        switch self {
        case .one(let number): number
        case .any: nil
        }
    }
}

extension Reader {
    private mutating func name(_ place: Place?) -> String? {
        scalar(place, accepted: "1 to 63 letters, digits, -, _ and ., the first no sign") { text in
            let isFirst = { (letter: Character) in
                letter.isASCII && (letter.isLetter || letter.isNumber)
            }
            let isRight = text.allSatisfy { isFirst($0) || "-_.".contains($0) }
            return isRight && text.first.map(isFirst) == true && text.count <= 63 ? text : nil
        }
    }

    private mutating func address(_ place: Place?) -> IPAddress? {
        scalar(
            place, accepted: "an IPv4 or IPv6 unicast address, like 192.0.2.1 or 2001:db8::1"
        ) { text in IPAddress(text).flatMap { $0.isGlobalUnicast ? $0 : nil } }
    }

    private mutating func port(_ place: Place?) -> Port? {
        scalar(place, accepted: "a port from 1 to 65535, or any") { text in
            if text == "any" { return .any }
            return UInt16(text).flatMap { $0 > 0 && text == "\($0)" ? .one($0) : nil }
        }
    }

    private mutating func duration(_ place: Place?) -> Duration? {
        scalar(place, accepted: "a duration from 10ms to 60m: a number with ms, s or m") { text in
            let digits = text.prefix { $0.isASCII && $0.isNumber }
            guard let number = Int(digits), digits.count <= 7 else { return nil }
            let units: [String: Int] = ["ms": 1, "s": 1000, "m": 60_000]
            guard let unit = units[String(text.dropFirst(digits.count))],
                (10...3_600_000).contains(number * unit)
            else { return nil }
            return .milliseconds(number * unit)
        }
    }
}

private func isInterfaceName(_ text: String) -> String? {
    // IFNAMSIZ is 16 with the final zero; the kernel takes neither slash nor white space.
    let isRight = (1...15).contains(text.utf8.count) && text != "." && text != ".."
    return isRight && text.utf8.allSatisfy { (33...126).contains($0) && $0 != 47 && $0 != 58 }
        ? text : nil
}

/// Printable ASCII without spaces: nothing that could end a line of an HTTP request.
private func isRequestText(_ text: String) -> Bool {
    (1...1024).contains(text.utf8.count) && text.utf8.allSatisfy { (33...126).contains($0) }
}

extension IPAddress {
    /// Neither unspecified, loopback, link-local nor multicast (RFC 6890, RFC 4291 §2.4).
    fileprivate var isGlobalUnicast: Bool {
        switch self {
        case .v4(let address):
            let first = address.number >> 24
            return first != 0 && first != 127 && first < 224 && address.number >> 16 != 0xA9FE
        case .v6(let address):
            return address.number > 1 && address.number >> 120 != 0xFF
                && address.number >> 118 != 0x3FA && address.number >> 32 != 0xFFFF
        }
    }
}
