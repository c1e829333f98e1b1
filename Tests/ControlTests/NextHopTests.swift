import Balancing
import Netlink
import Packets
import Testing

@testable import Control

/// What the watcher makes of a way.
struct NextHopTests {
    private func hop(routeMTU: UInt32?) -> NextHop {
        let link = LinkState(
            index: 2, name: "eth1", address: MACAddress(1), mtu: 1600,
            flags: [.enabled, .carrier])
        return NextHop(
            Way.Hop(
                link: link, linkAddress: MACAddress(1), neighbour: MACAddress(2),
                source: .v4(IPv4Address(9)), routeMTU: routeMTU))
    }

    @Test func `a route's MTU is the way's if it is less than the link's`() {
        let plain = NextHop(
            egress: Egress(index: 2, name: "eth1", address: MACAddress(1), mtu: 1600),
            neighbour: MACAddress(2), source: .v4(IPv4Address(9)))
        for mtu in [nil, 1600, 9000] as [UInt32?] { #expect(hop(routeMTU: mtu) == plain) }
        var narrow = plain
        narrow.routeMTU = 1500
        #expect(hop(routeMTU: 1500) == narrow)
        #expect(hop(routeMTU: 1500).egress == plain.egress, "others by it get more through")
    }

    @Test func `a route whose MTU changes is a new way for the plane`() async throws {
        let plane = FakePlane()
        let controller = try Controller(web(), on: plane, logger: noLogger)
        try await controller.start()
        await controller.take(allReachable)
        _ = plane.takeSteps()
        for mtu in [1500, 1400, nil] as [UInt32?] {
            let news = allReachable.mapValues { known in
                guard case .reachable(var hop) = known else { return known }
                hop.routeMTU = mtu
                return Reachability.reachable(hop)
            }
            await controller.take(news)
            #expect(!plane.takeSteps().isEmpty)
            #expect(plane.contents().backends.values.allSatisfy { $0.nextHop?.routeMTU == mtu })
            await controller.take(news)
            #expect(plane.takeSteps() == [])
        }
    }
}
