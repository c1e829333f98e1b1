public import Balancing
public import Packets

/// Backends that no packet can reach by its MAC address alone, one warning each, with the cure.
///
/// - Parameter routers: Of the backends that are behind one, the first router on the way.
public func warnings(
    for desired: DesiredState, behind routers: [IPAddress: IPAddress]
) -> [String] {
    desired.services.filter { $0.forwarding == .l2DSR }.flatMap { service in
        service.backends.compactMap { backend in
            routers[backend.address].map { router in
                "\(BackendReference(service.name, backend.name)) gets nothing: \(backend.address) "
                    + "is behind the router \(router), which takes packets for the VIP back here\n"
                    + "  with l2-dsr a backend must be in the network of an interface; behind a "
                    + "router it takes ipip, gue or full-nat"
            }
        }
    }
}
