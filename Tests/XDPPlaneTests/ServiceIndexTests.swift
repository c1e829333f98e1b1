import BPF
import Balancing
import CDatapath
import Glibc
import Packets
import Testing

@testable import XDPPlane

/// Packets find what the hash maps say, wherever the index has it.
@Suite(.enabled(if: geteuid() == 0, "loading BPF programs needs root"), .serialized)
struct ServiceIndexTests {
    /// The prefix of the VIPs, whose last number is 1 to 9.
    private static let prefixes = ["192.0.2.", "2001:db8::"]

    private func key(_ vip: String, _ port: UInt16) throws -> ServiceKey {
        ServiceKey(vip: try address(vip), port: port, transport: .tcp)
    }

    private func words(of key: ServiceKey) -> IndexKey {
        switch key.vip {
        case .v4(let vip): martlet_service_v4(vip, key).indexKey
        case .v6(let vip): martlet_service_v6(vip, key).indexKey
        }
    }

    /// Lends the index that the key belongs into.
    private func withIndex<Result>(
        of key: ServiceKey, in plane: XDPPlane, _ body: (borrowing Buckets, IndexKey) -> Result
    ) -> Result {
        key.vip.family == .v4
            ? body(plane.index.v4, words(of: key)) : body(plane.index.v6, words(of: key))
    }

    private func isPlaced(_ key: ServiceKey, in plane: XDPPlane) -> Bool {
        withIndex(of: key, in: plane) { $0.service(for: $1) != nil }
    }

    private func isOverflowing(at key: ServiceKey, in plane: XDPPlane) -> Bool {
        withIndex(of: key, in: plane) { $0.overflows(at: $1) }
    }

    /// Keys that belong into the same bucket.
    private func crowd(_ prefix: String, in plane: XDPPlane) throws -> [ServiceKey] {
        let first = try key(prefix + "1", 80)
        let bucket = withIndex(of: first, in: plane) { $0.bucket(of: $1) }
        return [first]
            + (try (2...9).flatMap { host in
                let vip = try address(prefix + "\(host)")
                return (1...UInt16.max).map { ServiceKey(vip: vip, port: $0, transport: .tcp) }
                    .filter { key in
                        withIndex(of: key, in: plane) { $0.bucket(of: $1) } == bucket
                    }
            })
    }

    private func target(_ key: ServiceKey, in plane: TestPlane) throws -> Target {
        try plane.target(
            Service(
                name: "web", vip: VIP(key.vip), ports: Ports([key.port!...key.port!]),
                transport: .tcp, forwarding: .l2DSR, healthCheck: nil,
                backends: [Backend(name: "a", address: key.vip)]))
    }

    private func verdict(of key: ServiceKey, in plane: TestPlane) throws -> String {
        var frame = Frame()
        frame.destination = key.vip
        frame.source = try address(key.vip.family == .v4 ? "198.51.100.7" : "2001:db8:1::7")
        frame.destinationPort = key.port ?? 1
        return try plane.run(frame.bytes).verdict
    }

    @Test(arguments: prefixes)
    func `more keys than a bucket has places are found all the same`(prefix: String) throws {
        var plane = try TestPlane()
        let keys = Array(try crowd(prefix, in: plane.plane).prefix(6))
        try #require(keys.count == 6)
        try plane.apply(keys.map { try target($0, in: plane) }, others: .removed)
        #expect(keys.contains { !isPlaced($0, in: plane.plane) })
        #expect(isOverflowing(at: keys[0], in: plane.plane))
        for key in keys { #expect(try verdict(of: key, in: plane) == "FORWARD_L2_DSR") }

        // When others go, those that had no place get one.
        let left = keys.filter { !isPlaced($0, in: plane.plane) }.prefix(2)
        try plane.apply(left.map { try target($0, in: plane) }, others: .removed)
        #expect(!isOverflowing(at: keys[0], in: plane.plane))
        for key in left {
            #expect(isPlaced(key, in: plane.plane))
            #expect(try verdict(of: key, in: plane) == "FORWARD_L2_DSR")
        }
        #expect(try verdict(of: keys[0], in: plane) == "PASS_NO_SERVICE")
    }

    @Test(arguments: prefixes)
    func `what a killed controller left half-way is put right by the next one`(
        prefix: String
    ) throws {
        var plane = try TestPlane()
        let keys = try (1...4).map { try key(prefix + "\($0)", 80) }
        try plane.apply(keys.prefix(3).map { try target($0, in: plane) }, others: .removed)
        withIndex(of: keys[0], in: plane.plane) { index, words in index.clear(words) }
        let broken = martlet_service(id: 9, flags: 0, slot_mask: 1).word
        for key in [keys[1], keys[3]] {
            withIndex(of: key, in: plane.plane) { index, words in index.set(broken, for: words) }
        }
        #expect(try verdict(of: keys[0], in: plane) == "PASS_VIP_PORT")
        #expect(try verdict(of: keys[1], in: plane) == "DROP_BROKEN_TABLE")
        #expect(try verdict(of: keys[3], in: plane) == "DROP_BROKEN_TABLE")

        try plane.plane.rebuildIndex()
        for key in keys.prefix(3) { #expect(try verdict(of: key, in: plane) == "FORWARD_L2_DSR") }
        #expect(try verdict(of: keys[3], in: plane) == "PASS_NO_SERVICE")
    }

    /// The most keys that there may be, and 10,000 services.
    @Test(arguments: prefixes, [(1, 65535), (250, 40)])
    func `every key has a place`(
        prefix: String, _ counts: (vips: Int, ports: Int)
    ) throws {
        let plane = try TestPlane().plane
        var placed = 0
        for host in 1...counts.vips {
            let vip = try address(prefix + "\(host)")
            for port in 1...UInt16(counts.ports) {
                let key = ServiceKey(vip: vip, port: port, transport: .tcp)
                withIndex(of: key, in: plane) { index, words in index.set(1, for: words) }
                placed += isPlaced(key, in: plane) ? 1 : 0
            }
        }
        #expect(placed == counts.vips * counts.ports)
    }
}
