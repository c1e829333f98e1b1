import Balancing
import CDatapath
import Control
import Model
import Packets

// Which service a packet is for, and whether it may use it: docs/life-of-a-packet.md §2.

extension Narration {
    private typealias Key = Model.Tables.ServiceKey

    private var addressed: String {
        "\(end(query.destination, query.destinationPort))/\(query.transport.name)"
    }

    /// The most specific VIP that has the address.
    private var vip: Model.Tables.VIP? { tables.vips.max { $0.prefix.length < $1.prefix.length } }

    var serviceStep: Explanation.Step {
        guard let id = outcome.service else {
            let reason =
                vip.map {
                    "the VIP \(text($0.prefix)) has no service for "
                        + "\(query.transport.name) port \(query.destinationPort)"
                } ?? "\(query.destination) is no VIP's"
            return Explanation.Step("service", "none", because: reason)
        }
        return Explanation.Step("service", name(ofService: id), because: serviceReason)
    }

    private var serviceReason: String {
        let transport = query.transport.rawValue
        func key(_ address: IPAddress, _ port: UInt16) -> Key {
            Key(address: address, port: port, transport: transport)
        }
        if tables.services[key(query.destination, query.destinationPort)] != nil {
            return "it has \(addressed)"
        }
        let block = vip.map { "the VIP \(text($0.prefix))" } ?? "its VIP"
        if let vip, tables.services[key(vip.base, query.destinationPort)] != nil {
            return "\(addressed) is of \(block), of which it has that port"
        }
        return "\(addressed) is of \(block), of which it has every port that is no other service's"
    }

    /// Nil: the source is as good as any.
    var sourceStep: Explanation.Step? {
        guard outcome.verdict == MARTLET_DROP_MARTIAN else { return nil }
        return Explanation.Step(
            "source", "\(query.source) is refused",
            because: "no packet for a VIP can come from there")
    }

    /// Nil: everybody may use the service.
    var accessStep: Explanation.Step? {
        guard let service, service.hasAccessList, sourceStep == nil else { return nil }
        let rule = tables.access.filter { $0.service == service.id }
            .max { $0.prefix.length < $1.prefix.length }
        let isAllowed = rule?.isAllowed ?? !service.deniesOthers
        let reason =
            rule.map {
                "its access list \($0.isAllowed ? "allows" : "denies") \(text($0.prefix))"
            } ?? "its access list has no such source, and \(isAllowed ? "allows" : "denies") others"
        return Explanation.Step(
            "access", "\(query.source) \(isAllowed ? "may" : "may not") use it", because: reason)
    }

    /// A prefix of addresses of either family.
    private func text(_ prefix: Prefix) -> String {
        let isV4 = prefix.length >= 96 && prefix.bits >> 32 == 0xffff
        let address =
            isV4
            ? IPAddress.v4(IPv4Address(UInt32(truncatingIfNeeded: prefix.bits)))
            : IPAddress.v6(IPv6Address(prefix.bits))
        return "\(IPPrefix(of: address, length: isV4 ? prefix.length - 96 : prefix.length))"
    }
}
