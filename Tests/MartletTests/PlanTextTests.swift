import Control
import Testing

@testable import martlet

struct PlanTextTests {
    private let services: [PlanReport.Service] = [
        .init(
            .added, name: "api",
            backends: [.init(.added, name: "one", address: "10.0.0.1")],
            slots: .init(moved: 65536, of: 65536)),
        .init(
            .changed, name: "web",
            fields: [.init("scheduler", before: "maglev", after: "least-connections")],
            backends: [
                .init(
                    .changed, name: "server-b", address: "192.168.1.102",
                    fields: [
                        .init("weight", before: "2", after: "3"),
                        .init("port", before: nil, after: "8080"),
                        .init("backup", before: "true", after: nil),
                    ]),
                .init(.removed, name: "server-c", address: "192.168.1.103"),
            ], slots: .init(moved: 21845, of: 65536), flows: .init(stay: 1240, break: 3)),
    ]

    @Test func `a plan has a line for each thing, and says what that does`() {
        var plan = Samples.plan(services)
        plan.fields = [.init("interfaces", before: "eth1", after: "eth1, eth2")]
        #expect(
            text(plan, to: .file("martlet.yaml")) == """
                martlet.yaml would change generation 7:

                ~ node  interfaces eth1 → eth1, eth2
                + service api
                + backend api/one  10.0.0.1
                ~ service web  scheduler maglev → least-connections
                ~ backend web/server-b  192.168.1.102  weight 2 → 3  port 8080  backup true → none
                - backend web/server-c  192.168.1.103

                slots: 87381 of 131072 move (66.7 %)
                  api: 65536 of 65536 move (100.0 %)
                  web: 21845 of 65536 move (33.3 %)
                flows: 1240 stay, 0 move, 3 break
                WARNING: 3 open flows break
                """)
    }

    @Test func `a service of which only backends change has no line of its own`() {
        var service = services[1]
        service.fields = []
        let shown = text(Samples.plan([service]), to: .file("martlet.yaml"))
        #expect(!shown.contains("service web"))
        #expect(shown.contains("\n- backend web/server-c  192.168.1.103\n"))
        service.formerName = "www"
        #expect(
            text(Samples.plan([service]), to: .file("martlet.yaml"))
                .contains("\n~ service web  (was www)\n"))
    }

    @Test func `keys that do not fit beside a thing stand below it`() {
        let shown = text(
            Samples.plan(services), to: .file("martlet.yaml"), on: Paper(width: 60))
        #expect(
            shown.contains(
                """
                ~ backend web/server-b  192.168.1.102
                    weight 2 → 3
                    port 8080
                    backup true → none
                - backend
                """))
    }

    @Test func `orders that fall away are told, also where nothing else changes`() {
        var plan = Samples.plan([])
        plan.dropped = ["service api: martlet.yaml has a service of this name"]
        #expect(!plan.isEmpty)
        #expect(
            text(plan, to: .file("martlet.yaml")) == """
                nothing would change: generation 7 is what martlet.yaml says, but for this:

                an order falls away:
                  service api: martlet.yaml has a service of this name
                """)
        plan = Samples.plan([services[0]])
        plan.dropped = ["service api: it is there", "weight of web/a: it has gone"]
        #expect(
            text(plan, to: .file("f")).contains(
                """
                + backend api/one  10.0.0.1

                orders fall away:
                  service api: it is there
                  weight of web/a: it has gone

                slots: 65536 of 65536 move
                """))
    }

    @Test func `a plan without a change says so, and one of a rollback what to`() {
        let nothing = Samples.plan([])
        #expect(
            text(nothing, to: .file("martlet.yaml"))
                == "nothing would change: generation 7 is what martlet.yaml says")
        #expect(
            text(nothing, to: .generation(3))
                == "nothing would change: generation 7 is what generation 3 was")
        #expect(
            text(Samples.plan(services), to: .generation(3))
                .hasPrefix("going back to generation 3 would change:\n"))
    }

    @Test(
        arguments: [
            (PlanReport.Flows(stay: 9, move: 2), nil),
            (.init(break: 1), "WARNING: 1 open flow breaks"),
            (.init(break: 2), "WARNING: 2 open flows break"),
            (.init(break: 2, breaksUncounted: true), "WARNING: more than 1 open flows break"),
            (
                .init(breaksUncounted: true),
                "WARNING: open flows break; nobody has counted how many"
            ),
        ] as [(PlanReport.Flows, String?)])
    func `whoever breaks flows is warned`(flows: PlanReport.Flows, warning: String?) {
        var service = services[1]
        service.flows = flows
        let shown = text(Samples.plan([service]), to: .file("f"))
        #expect(shown.split(separator: "\n").first { $0.hasPrefix("WARNING") } == warning?[...])
    }

    @Test func `what is added is green, what goes is red, and a plain terminal has ASCII`() {
        let shown = text(
            Samples.plan(services), to: .file("f"),
            on: Paper(isColoured: true, hasUnicode: false))
        #expect(shown.contains("\u{1B}[32m+ \u{1B}[0mservice api"))
        #expect(shown.contains("\u{1B}[31m- \u{1B}[0mbackend web/server-c"))
        #expect(shown.contains("\u{1B}[33m~ \u{1B}[0mservice web  scheduler maglev -> least"))
    }

    @Test(
        arguments: [
            ("martlet.yaml", "martlet.yaml"), ("/etc/a b.yaml", "'/etc/a b.yaml'"),
            ("it's", "'it'\\''s'"), ("-", "-"),
        ])
    func `the last line can be pasted into a shell`(file: String, word: String) {
        #expect(
            applyHint(Samples.plan(services), file: file)
                == "to do exactly this: martlet apply \(word) --plan 7-1f0c")
    }
}
