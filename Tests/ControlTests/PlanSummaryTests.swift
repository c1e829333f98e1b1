import Balancing
import Control
import Packets
import Testing

struct PlanSummaryTests {
    private func line(_ change: (inout DesiredState) -> Void) -> String {
        var state = web()
        change(&state)
        return line(from: web(), to: state)
    }

    private func line(from before: DesiredState, to after: DesiredState) -> String {
        let found = differences(from: before, to: after)
        return summary(
            of: PlanReport(
                generation: 1, token: "a", fields: found.fields, services: found.services))
    }

    private func service(_ name: String, port: UInt16) -> Service {
        var service = web().services[0]
        service.name = name
        service.ports = Ports(port)
        return service
    }

    @Test func `a plan is told in a line`() {
        #expect(line { _ in } == "nothing changed")
        #expect(line { $0.services = [] } == "service web removed")
        #expect(line { $0.services.append(service("api", port: 81)) } == "service api added")
        #expect(
            line {
                $0.services += [service("a", port: 81), service("b", port: 82)]
                $0.services[0].backends.removeLast(2)
                $0.services[0].backends[0].weight = 3
            } == "2 services added, web: 2 backends removed, weight of server-a 1 → 3")
        #expect(
            line {
                $0.interfaces = ["eth2"]
                $0.services[0].name = "shop"
                $0.services[0].slowStart = .seconds(30)
                $0.services[0].healthCheck?.interval = .milliseconds(500)
                $0.services[0].backends[0].isBackup = true
            }
                == "interfaces eth1 → eth2, shop: was called web, slow-start 30s added, "
                + "health-check.interval 2s → 500ms, backup of server-a false → true")
        #expect(
            line(from: web(), to: web(check: nil)).hasPrefix("web: health-check.type tcp removed"))
    }

    @Test func `a line stays one, however much a plan does`() {
        let text = line { state in
            state.interfaces = (0..<255).map { "interface-\($0)" }
            state.services += (0..<1000).map { service("s\($0)", port: UInt16(1000 + $0)) }
        }
        #expect(text.count <= 240)
        let beginning = "interfaces eth1 removed, interfaces interface-0 added, "
        #expect(text.hasPrefix(beginning), "\(text)")
        #expect(text.hasSuffix(" more changes"), "\(text)")

        let long = String(repeating: "a", count: 5000)
        let field = PlanReport.Field("max-connections", before: long, after: long)
        let plan = PlanReport(
            generation: 1, token: "a", fields: [],
            services: [
                PlanReport.Service(
                    .changed, name: long, formerName: long,
                    fields: [PlanReport.Field("health-check.path", before: long, after: long)],
                    backends: [
                        PlanReport.Backend(
                            .changed, name: long, address: long, fields: [field])
                    ])
            ])
        #expect(summary(of: plan).count <= 240)
        #expect(summary(of: plan).hasPrefix("aaaa"))
    }
}
