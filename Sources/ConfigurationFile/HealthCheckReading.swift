import Balancing

extension Reader {
    /// - Parameter ports: Of the service; nil: could not be read, which has been reported.
    mutating func healthCheck(
        _ value: Value, at path: Path, ports: Ports?
    ) -> HealthCheck? {
        let keys = ["type", "path", "host", "port", "interval", "timeout", "rise", "fall"]
        guard let fields = fields(of: value, at: path, keys: keys) else { return nil }
        let type = read("type", fields, as: .probeType)
        let requestPath = read("path", fields, as: .path, default: "/")
        let host = read("host", fields, as: .host, default: nil)
        if type == .tcp { refuseRequest(in: fields) }
        let port = checkPort(fields, ports: ports)
        let interval = read("interval", fields, as: .duration, default: .seconds(2))
        let timeout = read(
            "timeout", fields, as: .duration, default: interval.map { min($0, .seconds(1)) })
        if let interval, let timeout { check(timeout, within: interval, fields) }
        let rise = read("rise", fields, as: .number(1...100), default: 2)
        let fall = read("fall", fields, as: .number(1...100), default: 3)
        guard let type, let requestPath, let port, let interval, let timeout, let rise, let fall
        else { return nil }
        return HealthCheck(
            probe: type == .http ? .http(path: requestPath, host: host) : .tcp, port: port,
            isPortFixed: fields.has("port"), interval: interval, timeout: timeout, rise: rise,
            fall: fall)
    }

    /// The port of the check: its own, or the service's, unless a backend has another one.
    private mutating func checkPort(_ fields: Fields, ports: Ports?) -> UInt16? {
        let kind = Kind<UInt16>.number(1...65535)
        if let ports, ports.single == nil, !fields.has("port") {
            let cause = ports == .any ? "port: any" : "several ports"
            report(
                fields.position, fields.path.key("port"), found: "nothing",
                accepted: "\(kind.accepted), for the service has \(cause)")
            return nil
        }
        return read("port", fields, as: kind, default: ports?.single)
    }

    /// A TCP check sends nothing that a path or a host could be part of.
    private mutating func refuseRequest(in fields: Fields) {
        for key in ["path", "host"] {
            refuse(key, fields, with: "type: tcp", accepted: "it with type: http only")
        }
    }

    private mutating func check(
        _ timeout: Duration, within interval: Duration, _ fields: Fields
    ) {
        // Without a key the timeout follows the interval; it can only be too long if it is there.
        guard timeout > interval, let position = fields.values["timeout"]?.position else { return }
        let origin = fields.has("interval") ? "" : ", the default"
        report(
            position, fields.path.key("timeout"), found: shown(spelled(timeout)),
            accepted: "at most the interval (\(spelled(interval))\(origin))")
    }
}
