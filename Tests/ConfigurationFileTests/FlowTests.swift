import Balancing
import ConfigurationFile
import Testing

/// Which backend gets a new flow, and how long those that there are are known.
struct FlowTests {
    /// A service with these keys; line 3 has them from column 5 on.
    private func file(
        _ keys: String, check: String = "health-check: { type: tcp, port: 80 }",
        mode: String = "ipip", backends: String...
    ) -> String {
        let lines = (backends.isEmpty ? ["", ""] : backends).enumerated().map {
            "{ name: b\($0.offset), address: 10.0.0.\($0.offset + 1)\($0.element) }"
        }
        return """
            interfaces: [eth1]
            services:
              - { \(keys.isEmpty ? "" : keys + ",\n")
                name: web, vip: 192.0.2.1, port: 80, forwarding: \(mode)
                \(check.isEmpty ? "" : ", " + check)
                , backends: [\(lines.joined(separator: ", "))] }
            nat-addresses: [192.0.2.10]
            """
    }

    private func service(_ text: String) throws -> Service {
        try #require(try parse(text, file: "m.yaml").services.first)
    }

    /// Expects that `text` has this one error, or none.
    private func expect(
        _ text: String, _ complaint: String?, _ location: SourceLocation = #_sourceLocation
    ) {
        let found = errors(text)
        #expect(
            found.count == (complaint == nil ? 0 : 1), "\(found)\n\(text)",
            sourceLocation: location)
        #expect(
            found.allSatisfy { $0.contains(complaint ?? "nothing") }, "\(found)",
            sourceLocation: location)
    }

    @Test func `every key means what it says`() throws {
        let read = try service(
            file(
                "scheduler: least-connections, affinity: client, affinity-timeout: 30m, hold: 5m, "
                    + "keep-alive: 20m, idle-timeout: 8h, slow-start: 30s, panic-threshold: 50%",
                backends: ", max-connections: 100", ", backup: true, weight: 3"))
        #expect(read.scheduler == .leastConnections)
        #expect(read.affinity == .client)
        #expect(read.affinityTimeout == .seconds(1800))
        #expect(read.hold == .seconds(300))
        #expect(read.keepAlive == .seconds(1200))
        #expect(read.idleTimeout == .seconds(28800))
        #expect(read.slowStart == .seconds(30))
        #expect(read.panicThreshold == 50)
        #expect(read.tracking)
        #expect(read.backends.map(\.maxConnections) == [100, nil])
        #expect(read.backends.map(\.isBackup) == [false, true])
        #expect(try !service(file("protocol: udp, tracking: none")).tracking)
        #expect(try service(file("protocol: udp, tracking: flows")).tracking)
        #expect(try service(file("protocol: udp")).idleTimeout == .seconds(300))
        for off in ["none", "0%"] {
            #expect(try service(file("panic-threshold: \(off)")).panicThreshold == nil)
        }
    }

    @Test(
        arguments: [
            ("scheduler: round-robin", nil), ("scheduler: response-time", nil),
            ("scheduler: maglev", nil), ("scheduler: round_robin", "(did you mean round-robin?)"),
            ("scheduler: least-connection", "(did you mean least-connections?)"),
            (
                "scheduler: rr",
                "3:18: services[0].scheduler: found \"rr\", accepted: maglev, round-robin, "
                    + "least-connections, response-time"
            ),
            ("affinity: cleint", "affinity: found \"cleint\", accepted: client (did you mean cl"),
            ("affinity: none", "services[0].affinity: found \"none\", accepted: client"),
            ("hold: 10ms", "hold: found \"10ms\", accepted: at least the health check's interval"),
            ("hold: 9ms", "hold: found \"9ms\", accepted: a duration from 10ms to 8h with its"),
            ("hold: 2s", nil), ("hold: 8h", nil), ("hold: 480m", nil),
            ("hold: 481m", "hold: found \"481m\", accepted: a duration from 10ms to 8h"),
            ("hold: 3600", "(did you mean 3600ms?)"), ("hold: 1 hour", "(did you mean 1h?)"),
            ("hold: 1d", "services[0].hold: found \"1d\""),
            ("keep-alive: 4h, idle-timeout: 8h", nil),
            ("keep-alive: 241m, idle-timeout: 8h", "keep-alive: found \"241m\", accepted: a dur"),
            ("idle-timeout: 8h", nil),
            ("idle-timeout: 28801s", "idle-timeout: found \"28801s\", accepted: a duration from"),
            ("idle-timeout: 9h", "idle-timeout: found \"9h\", accepted: a duration from 10s to 8h"),
            ("idle-timeout: 10s, keep-alive: 5s", nil),
            ("idle-timeout: 9s, keep-alive: 4s", "idle-timeout: found \"9s\", accepted: a durati"),
            ("idle-timeout: 7200", "(did you mean 2h?)"),
            ("slow-start: 1s", nil), ("slow-start: 999ms", "slow-start: found \"999ms\""),
            ("slow-start: 1h", nil), ("slow-start: 61m", "slow-start: found \"61m\""),
            ("slow-start: 30", "(did you mean 30s?)"),
            ("slow-start: ~", "slow-start: found nothing"),
            ("panic-threshold: 1%", nil), ("panic-threshold: 100%", nil),
            (
                "panic-threshold: 101%",
                "panic-threshold: found \"101%\", accepted: none, or a share"
            ),
            (
                "panic-threshold: 50",
                "panic-threshold: found 50, accepted: none, or a share from 0%"
            ),
            ("panic-threshold: 50", "(did you mean 50%?)"),
            ("panic-threshold: 50 %", "(did you mean 50%?)"),
            ("panic-threshold: 050%", "(did you mean 50%?)"),
            ("panic-threshold: 0.5", "panic-threshold: found \"0.5\""),
            ("panic-threshold: -1%", "panic-threshold: found \"-1%\""),
            ("panic-threshold: non", "(did you mean none?)"),
            ("panic-threshold: \"50%\"", nil),
            ("panic_threshold: 50%", "(did you mean panic-threshold?)"),
            ("protocol: udp, tracking: off", "tracking: found \"off\", accepted: flows, none"),
        ] as [(String, String?)])
    func `each value is accepted, or refused with what is`(keys: String, complaint: String?) {
        expect(file(keys), complaint)
    }

    @Test(
        arguments: [
            (", max-connections: 1", nil), (", max-connections: 16777216", nil),
            (", max-connections: 0", "max-connections: found 0, accepted: a number from 1 to 167"),
            (", max-connections: 16777217", "backends[0].max-connections: found 16777217"),
            (", max-connections: none", "backends[0].max-connections: found \"none\""),
            (", backup: false", nil), (", backup: true", nil),
            (", backup: yes", "backends[0].backup: found \"yes\", accepted: true, false"),
            (", backup: True", "(did you mean true?)"), (", weight: 0", nil),
            // To drain all but the backups is a way to say sorry.
            (", weight: 0 }, { name: c, address: 10.0.0.9, backup: true", nil),
        ] as [(String, String?)])
    func `a backend has a limit or none, and is a backup or not`(
        keys: String, complaint: String?
    ) {
        expect(file("", backends: keys, ""), complaint)
    }

    @Test func `not all backends are backups, nor of no weight`() {
        expect(
            file("", backends: ", backup: true", ", backup: true"),
            "3:5: services[0]: found backup: true for every backend, accepted: at least one "
                + "backend without it")
        expect(file("", backends: ", backup: true"), "found backup: true for every backend")
        expect(
            file("", backends: ", weight: 0", ", weight: 0"),
            "3:5: services[0]: found weight 0 for every backend, accepted: at least one backend")
        // Whether the other one is a backup can't be told.
        expect(file("", backends: ", backup: true", ", backup: 1"), "backends[1].backup: found 1")
    }

    @Test(
        arguments: [
            ("protocol: udp, tracking: none", "ipip", "", nil),
            ("protocol: udp, tracking: none, affinity: client", "nat", "", nil),
            (
                "protocol: tcp, tracking: none", "ipip", "",
                "3:22: services[0].tracking: found the key with protocol: tcp, accepted: it with "
                    + "protocol: udp only"
            ),
            ("tracking: flows", "ipip", "", "tracking: found the key with protocol: tcp"),
            (
                "protocol: udp, tracking: none, scheduler: round-robin", "ipip", "",
                "3:32: services[0].tracking: found none with scheduler: round-robin, accepted: "
                    + "flows, or scheduler: maglev"
            ),
            ("protocol: udp, scheduler: round-robin", "ipip", "", nil),
            (
                "protocol: udp, tracking: none", "full-nat", "",
                "tracking: found none with forwarding: full-nat, accepted: flows"
            ),
            ("protocol: udp, tracking: flows", "full-nat", "", nil),
            (
                "protocol: udp, tracking: none", "ipip", ", max-connections: 9",
                "backends[0].max-connections: found the key with tracking: none, accepted: it with "
                    + "tracking: flows"
            ),
            ("protocol: udp", "ipip", ", max-connections: 9", nil),
            (
                "protocol: udp, tracking: none, hold: 1h", "ipip", "",
                "3:38: services[0].hold: found the key with tracking: none, accepted: it with"
            ),
            (
                "protocol: udp, tracking: none, keep-alive: 1m", "ipip", "",
                "keep-alive: found the key with tracking: none"
            ),
            (
                "protocol: udp, tracking: none, idle-timeout: 1m", "ipip", "",
                "idle-timeout: found the key with tracking: none"
            ),
            ("protocol: udp, hold: 1h, keep-alive: 1m, idle-timeout: 1m", "ipip", "", nil),
        ] as [(String, String, String, String?)])
    func `only UDP goes untracked, and only what needs no memory`(
        keys: String, mode: String, backend: String, complaint: String?
    ) {
        expect(file(keys, mode: mode, backends: backend), complaint)
    }

    @Test(
        arguments: [
            ("affinity: client", nil), ("affinity: client, scheduler: round-robin", nil),
            ("affinity: client, affinity-timeout: 10s, scheduler: response-time", nil),
            (
                "affinity-timeout: 1h, scheduler: round-robin",
                "3:7: services[0].affinity-timeout: found the key with no affinity, accepted: it "
                    + "with affinity: client only"
            ),
            ("affinity-timeout: 1h", "affinity-timeout: found the key with no affinity"),
            (
                "affinity: client, affinity-timeout: 1h",
                "affinity-timeout: found the key with scheduler: maglev, accepted: it with another"
            ),
            (
                "affinity: client, affinity-timeout: 9s, scheduler: round-robin",
                "affinity-timeout: found \"9s\", accepted: a duration from 10s to 8h"
            ),
            ("affinity: clinet, affinity-timeout: 1h, scheduler: round-robin", "mean client?)"),
            ("afinity: client, affinity-timeout: 1h, scheduler: round-robin", "mean affinity?)"),
        ] as [(String, String?)])
    func `affinity ends after a time where it is remembered`(keys: String, complaint: String?) {
        expect(file(keys), complaint)
    }

    @Test(
        arguments: [
            ("idle-timeout: 30m", "ipip", nil),
            (
                "idle-timeout: 29m", "ipip",
                "3:21: services[0].idle-timeout: found \"29m\", accepted: at least twice the "
                    + "keep-alive (15m, the default): else a silent connection that is alive would"
            ),
            ("idle-timeout: 10m, keep-alive: 5m", "ipip", nil),
            (
                "idle-timeout: 10m, keep-alive: 301s", "l2-dsr",
                "idle-timeout: found \"10m\", accepted: at least twice the keep-alive (301s): else"
            ),
            ("keep-alive: 1h", "ipip", nil),
            (
                "keep-alive: 61m", "nat",
                "3:19: services[0].keep-alive: found \"61m\", accepted: at most half the "
                    + "idle-timeout (2h, the default): else"
            ),
            ("protocol: udp, idle-timeout: 10s", "ipip", nil),
            ("protocol: udp, keep-alive: 4h", "ipip", nil),
            ("keep-alive: 4h", "full-nat", nil),
            (
                "idle-timeout: 2h", "full-nat",
                "3:7: services[0].idle-timeout: found the key with forwarding: full-nat, accepted: "
                    + "it with another mode only"
            ),
        ] as [(String, String, String?)])
    func `no live connection is silent for longer than it is remembered`(
        keys: String, mode: String, complaint: String?
    ) {
        expect(file(keys, mode: mode), complaint)
    }

    @Test(
        arguments: [
            ("hold: 1s", "health-check: { type: tcp, interval: 1s }", nil),
            (
                "hold: 999ms", "health-check: { type: tcp, interval: 1s }",
                "3:13: services[0].hold: found \"999ms\", accepted: at least the health check's "
                    + "interval (1s): else a backend would be forgotten before its next check"
            ),
            ("hold: 1s", "health-check: { type: tcp }", "the health check's interval (2s)"),
            ("hold: 10ms", "", nil), ("", "health-check: { type: tcp, interval: 1h }", nil),
            ("hold: 1s", "health-check: { type: tpc }", "health-check.type: found \"tpc\""),
            (
                "panic-threshold: 50%", "",
                "3:7: services[0].panic-threshold: found the key with no health-check, accepted: "
                    + "it with a health-check only"
            ),
            ("panic-threshold: none", "", nil), ("panic-threshold: 0%", "", nil),
            ("panic-threshold: 50%", "health_check: { type: tcp }", "(did you mean health-check?)"),
            ("panic-threshold: 50%", "health-check: x", "health-check: found \"x\""),
            ("slow-start: 30s", "", nil),
        ] as [(String, String, String?)])
    func `what follows from health asks for a check that comes in time`(
        keys: String, check: String, complaint: String?
    ) {
        expect(file(keys, check: check), complaint)
    }

    @Test(arguments: Forwarding.allCases, Transport.allCases)
    func `response-time is for backends whose answers are timed`(
        mode: Forwarding, transport: Transport
    ) {
        let keys = "protocol: \(transport.name), scheduler: response-time"
        expect(file(keys, mode: mode.rawValue), nil)
        let isTimed = mode.isTranslation && transport == .tcp
        expect(
            file(keys, check: "", mode: mode.rawValue),
            isTimed
                ? nil
                : "3:33: services[0].scheduler: found response-time with no health-check, "
                    + "\(transport.name) and forwarding: \(mode.rawValue), accepted: it with a "
                    + "health-check, or tcp and forwarding: nat or full-nat, for else nothing is")
        expect(
            file(keys, check: "healthcheck: {}", mode: mode.rawValue), "(did you mean health-check")
    }

    @Test(
        arguments: [
            // Everything but maglev over TCP without limits is remembered, full-nat elsewhere.
            ("", "ipip", "", false), ("", "nat", "", false),
            ("affinity: client", "ipip", "", false),
            ("", "ipip", ", max-connections: 1", true), ("protocol: udp", "ipip", "", true),
            ("protocol: udp, tracking: none", "ipip", "", false),
            ("scheduler: round-robin", "ipip", "", true),
            ("scheduler: round-robin", "nat", "", true),
            ("scheduler: least-connections", "l2-dsr", "", true),
            ("scheduler: response-time", "gue", "", true), ("", "full-nat", "", false),
            ("protocol: udp", "full-nat", "", false),
            ("scheduler: round-robin", "full-nat", ", max-connections: 1", false),
        ])
    func `a service tracks its flows if nothing else tells where they go`(
        keys: String, mode: String, backend: String, tracks: Bool
    ) throws {
        let read = try service(file(keys, mode: mode, backends: "", backend))
        #expect(read.selection.tracks == tracks)
        #expect(read.selection.scheduler == read.scheduler)
        #expect(read.selection.hasClientAffinity == (read.affinity != nil))
        #expect(!read.selection.timesAnswers)
    }

    @Test(arguments: Forwarding.allCases, Transport.allCases)
    func `answers are timed where they pass and it matters`(
        mode: Forwarding, transport: Transport
    ) throws {
        let read = try service(
            file(
                "protocol: \(transport.name), scheduler: response-time", mode: mode.rawValue))
        #expect(read.selection.timesAnswers == (mode.isTranslation && transport == .tcp))
    }

    @Test func `flows are known for as long as the file says`() throws {
        #expect(try service(file("")).flowLimits.established == FlowLimits().established)
        #expect(try service(file("protocol: udp")).flowLimits.datagrams == .seconds(300))
        let own = try service(
            file(
                "idle-timeout: 3h, scheduler: round-robin, affinity: client, "
                    + "affinity-timeout: 10m"))
        #expect(own.flowLimits.established == .seconds(10800))
        #expect(own.flowLimits.affinity == .seconds(600))
        #expect(own.flowLimits.closing == FlowLimits().closing)
        // What is not a whole connection is not known for longer than one.
        let short = try service(file("idle-timeout: 30s, keep-alive: 15s")).flowLimits
        #expect(short.halfOpen == .seconds(30))
        #expect(short.closing == .seconds(30))
    }
}
