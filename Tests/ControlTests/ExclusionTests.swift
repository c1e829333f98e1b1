import Balancing
import FoundationEssentials
import Packets
import Testing

@testable import Control

/// What keeps a backend from new flows, and what ends that.
struct ExclusionTests {
    private static let start = Date(timeIntervalSince1970: 1_800_000_000)

    /// Of the first of two backends, of which the other is as it is told.
    private func facts(
        _ change: (inout Membership.Condition) -> Void = { _ in },
        other: (inout Membership.Condition) -> Void = { _ in },
        service edit: (inout Service) -> Void = { _ in }
    ) -> ExclusionFacts {
        var service = web().services[0]
        edit(&service)
        var conditions = service.backends.prefix(2).map {
            Membership.Condition($0, health: .up, servesSince: .distantPast)
        }
        change(&conditions[0])
        other(&conditions[1])
        let membership = Membership(of: service, conditions, at: Self.start)
        var facts = ExclusionFacts(
            reference: BackendReference("web", "server-a"), service: service,
            condition: conditions[0], membership: membership,
            standing: membership.standings[0], now: Self.start)
        facts.share = membership.standings[0].readiness > 0 ? 0.5 : 0
        (facts.finding, facts.since) = ("connection refused", Self.start - 250)
        return facts
    }

    private func told(_ facts: ExclusionFacts) -> [String] {
        Exclusion(facts).reasons.map { "\($0.name): \($0.text)" }
    }

    @Test func `a backend that serves has no reason`() {
        let exclusion = Exclusion(facts())
        #expect(exclusion.reasons == [])
        #expect(!exclusion.isOut)
        #expect(exclusion.share == 0.5)
        #expect(exclusion.service == "web")
        #expect(exclusion.backend == "server-a")
    }

    @Test func `health is told with the last error and what brings it up`() {
        let down = facts { $0.health = .down }
        #expect(
            told(down) == [
                "health: it is down for 4 min: connection refused; "
                    + "2 successes in a row bring it up"
            ])
        #expect(Exclusion(down).isOut)
        let silent = facts { ($0.health, $0.isSilent) = (.down, true) }
        #expect(told(silent)[0].contains("it gives no answer at all, so its flows are given up"))
        let once = facts({ $0.health = .down }, service: { $0.healthCheck?.rise = 1 })
        #expect(told(once)[0].hasSuffix("connection refused; one success brings it up"))
        #expect(
            told(facts { $0.health = .unknown })
                == ["health: it was not probed yet: the first probe decides"])
        #expect(told(facts({ $0.health = .up }, service: { $0.healthCheck = nil })) == [])
    }

    @Test func `what operators have ordered is told`() {
        var drained = facts { $0.administration = .draining }
        drained.drain = Drain(
            service: "web", backend: "server-a", address: "192.168.1.101", since: Self.start)
        #expect(
            told(drained) == [
                "drain: it drains since 2027-01-15T08:00:00Z: "
                    + "`martlet undrain web/server-a` ends that"
            ])
        var maintained = facts { $0.administration = .maintenance }
        maintained.maintenance = Maintenance(
            service: "web", backend: "server-a", address: "192.168.1.101", since: Self.start,
            reason: "new disk", by: "uid 0")
        #expect(
            told(maintained) == [
                "maintenance: it is under maintenance since 2027-01-15T08:00:00Z (new disk): "
                    + "`martlet maintenance web/server-a off` ends that"
            ])
        let leaving = facts { ($0.administration, $0.isLeaving) = (.draining, true) }
        #expect(
            told(leaving) == [
                "leaving: it is not in the configuration any more: it gets new flows when it is "
                    + "put back there, and is removed when its last flow has ended"
            ])
        #expect(
            told(facts { $0.backend.weight = 0 })
                == ["weight: its weight is 0: it gets new flows when it has another one"])
    }

    @Test func `a way that is missing is told with its obstacle`() {
        var lost = facts { $0.hasNextHop = false }
        lost.obstacle = "192.168.1.101 does not answer on eth1"
        #expect(
            told(lost) == [
                "next hop: there is no way to 192.168.1.101: 192.168.1.101 does not answer on "
                    + "eth1; it gets new flows as soon as there is one"
            ])
    }

    @Test func `backups serve while nobody else can`() {
        let waiting = facts { $0.backend.isBackup = true }
        #expect(
            told(waiting)
                == ["backup: it is a backup: it gets new flows while no other backend can"])
        let serving = facts({ $0.backend.isBackup = true }, other: { $0.health = .down })
        #expect(told(serving) == [])
        #expect(!Exclusion(serving).isOut)
    }

    @Test func `a panic lets those serve that are down`() {
        let panicking = facts(
            { $0.health = .down }, other: { $0.health = .down },
            service: { $0.panicThreshold = 50 })
        #expect(
            told(panicking) == [
                "health: it is down for 4 min: connection refused; 2 successes in a row bring it "
                    + "up; that is ignored, for the service panics",
                "panic: fewer backends than 50 % are up, so that all get new flows whatever "
                    + "their health: until enough are up again",
            ])
        #expect(!Exclusion(panicking).isOut)
    }

    @Test func `a backend that starts slowly gets a part`() {
        let slow = facts(
            { $0.servesSince = Self.start }, service: { $0.slowStart = .seconds(30) })
        #expect(
            told(slow) == [
                "slow start: it starts slowly, and gets 6.25 % of its share by now: all of it "
                    + "after its slow start of 30 s"
            ])
        #expect(!Exclusion(slow).isOut)
    }

    @Test func `a backend that is full gets nothing until flows end`() {
        var full = facts { $0.backend.maxConnections = 10 }
        full.flows = 9
        #expect(told(full) == [])
        #expect(!Exclusion(full).isOut)
        full.flows = 10
        #expect(
            told(full)
                == ["limit: it has 10 flows, and may have 10: it gets new ones when some end"])
        #expect(Exclusion(full).isOut)
    }

    @Test func `all reasons are told, and what the kernel refuses`() {
        var facts = facts {
            ($0.health, $0.administration, $0.hasNextHop) = (.down, .draining, false)
        }
        facts.refusal = "the table is full"
        #expect(
            Exclusion(facts).reasons.map(\.name) == ["drain", "health", "next hop", "refusal"])
    }

    @Test func `the controller tells it of its backends`() async throws {
        let stage = try await Stage(web())
        let reference = BackendReference("web", "server-b")
        var exclusion = try await stage.controller.exclusion(of: reference)
        #expect(!exclusion.isOut)
        #expect(exclusion.reasons == [])
        #expect(abs(exclusion.share - 1.0 / 3) < 0.1)
        await stage.tell(result(false), of: 1)
        exclusion = try await stage.controller.exclusion(of: reference)
        #expect(exclusion.isOut)
        #expect(exclusion.share == 0)
        #expect(
            exclusion.reasons.map(\.text) == [
                "it is down for 0 s: refused; 2 successes in a row bring it up"
            ])
        try await stage.controller.drain(reference)
        exclusion = try await stage.controller.exclusion(of: reference)
        #expect(exclusion.reasons.map(\.name) == ["drain", "health"])
        await #expect(throws: Refusal.self) {
            try await stage.controller.exclusion(of: BackendReference("web", "server-x"))
        }
    }
}
