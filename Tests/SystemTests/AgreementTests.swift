import Foundation
import Lab
import Testing

/// What Martlet says of itself, held against what others see and count.
@Suite(.enabled(if: geteuid() == 0, "making network namespaces takes root"), .serialized)
struct AgreementTests {
    @Test(arguments: Way.allCases, Family.allCases)
    func `client, servers, tcpdump and bpftool count what martlet counts`(
        way: Way, family: Family
    ) async throws {
        try await withNetwork(way.topology) { network in
            _ = try await network.startServers(way)
            let balancer = network["balancer"]
            let sent = try await Capture.begin(
                "dst host \(family.rawValue)", on: "eth0", of: network["client"])
            var arrived: [String: Capture] = [:]
            for name in servers {
                arrived[name] = try await Capture.begin(
                    way.arrival(family), on: "eth0", of: network[name])
            }
            let controller = try await network.runController(way, family)
            try await waitForSlots(balancer)
            var tally = try await network.waitForAllBackends(family)
            let more = try await network.request(100, family)
            tally.backends.merge(more.backends, uniquingKeysWith: +)
            #expect(tally.failures + more.failures == [])
            try await waitForEnds(network["client"])

            let martlet = try builtProduct("martlet")
            let status: StatusRead = try await balancer.decode([martlet, "status", "--json"])
            let counters: CountersRead = try await balancer.decode(
                [martlet, "counters", "--json"])
            let service = try #require(status.services.first)
            let all = service.traffic.amount
            #expect(all == (try await sent.end(at: all.packets)))
            #expect(counters.services.map(\.traffic.amount) == [service.traffic.amount])
            let seen = try await amountsOfBackends(balancer)
            for (index, backend) in service.backends.enumerated() {
                let amount = backend.traffic.amount
                #expect(amount == (try await arrived[backend.name]?.end(at: amount.packets)))
                #expect(amount == seen[way.addresses(family)[index]])
                let counted = counters.services[0].backends.first { $0.name == backend.name }
                #expect(amount == counted?.traffic.amount)
                #expect(try await requests(network[backend.name]) == tally.backends[backend.name])
            }
            #expect(
                service.backends.map(\.traffic.amount).reduce(Amount(), +)
                    == service.traffic.amount)
            try await expectVerdicts(counters, forwarded: service.traffic.amount, way, balancer)
            controller.kill(SIGTERM)
            #expect(await controller.wait().status == .exited(0))
            try await expectSame(counters, balancer)
        }
    }

    @Test func `ip and bpftool show the program and the ways that martlet status shows`()
        async throws
    {
        try await withNetwork(.oneSegment()) { network in
            let balancer = network["balancer"]
            _ = try await network.startServers(.l2DSR)
            _ = try await network.runController(.l2DSR, .v4)
            try await waitForSlots(balancer)
            let martlet = try builtProduct("martlet")
            let status: StatusRead = try await balancer.decode([martlet, "status", "--json"])

            // ip-link tells 1 for native mode.
            let link: [LinkRead] = try await balancer.decode(
                ["ip", "-j", "-d", "link", "show", "eth1"])
            struct Program: Decodable { let id: Int }
            let program: Program = try await balancer.decode(
                ["bpftool", "-j", "prog", "show", "pinned", "/sys/fs/bpf/martlet/program"])
            #expect(status.interfaces.map(\.name) == ["eth1"])
            #expect(status.interfaces.map(\.program) == [program.id])
            #expect(status.interfaces.map(\.mode) == ["native"])
            #expect(link[0].xdp?.prog.id == program.id)
            #expect(link[0].xdp?.mode == 1)

            // The way to each backend: its own MAC address.
            for backend in status.services[0].backends {
                let other: [LinkRead] = try await network[backend.name].decode(
                    ["ip", "-j", "link", "show", "eth0"])
                #expect(backend.way.neighbour == other[0].address)
                #expect(backend.way.interface == "eth1")
                #expect(backend.health.state == "up")
                #expect(backend.health.reason == "HTTP 200")
            }
            #expect(status.services[0].backends.map(\.slots).reduce(0, +) == 65536)
        }
    }

    /// Until all backends own slots, and so serve.
    private func waitForSlots(_ balancer: Node) async throws {
        let martlet = try builtProduct("martlet")
        try await eventually("all backends own slots") {
            let output = try await balancer.attempt([martlet, "status", "--json"])
            guard output.succeeded else { return false }
            let status = try JSONDecoder().decode(
                StatusRead.self, from: Data(output.stdout.utf8))
            return status.services[0].backends.allSatisfy { $0.slots > 0 }
        }
    }

    /// Until no connection of the client has anything left to send.
    private func waitForEnds(_ client: Node) async throws {
        try await eventually("the client's connections have ended") {
            let sockets = try await client.run(["ss", "-Htan"]).stdout
            return sockets.split(separator: "\n").allSatisfy { $0.hasPrefix("TIME-WAIT") }
        }
    }

    /// How many requests the server on `node` says that it answered.
    private func requests(_ node: Node) async throws -> Int {
        struct Count: Decodable { let requests: Int }
        let count: Count = try await node.decode(["curl", "-s", "http://127.0.0.1/count"])
        return count.requests
    }

    /// Others may send meanwhile: what bpftool sees lies between two looks of ours.
    private func expectVerdicts(
        _ before: CountersRead, forwarded: Amount, _ way: Way, _ balancer: Node
    ) async throws {
        let name = way.verdict
        #expect(before.verdicts.first { $0.name == name }?.traffic.amount == forwarded)
        #expect(
            before.verdicts.map(\.traffic.amount).reduce(Amount(), +) == before.received.amount)
        let seen = try await sumOfVerdicts(balancer)
        let after: CountersRead = try await balancer.decode(
            [try builtProduct("martlet"), "counters", "--json"])
        #expect((before.received.packets...after.received.packets).contains(seen.packets))
        #expect((before.received.bytes...after.received.bytes).contains(seen.bytes))
    }

    /// Without a controller the pins tell the same, but for the names.
    private func expectSame(_ earlier: CountersRead, _ balancer: Node) async throws {
        let output = try await balancer.martlet("counters", "--json")
        #expect(output.stderr.contains("no controller at /run/martlet/martlet.sock"))
        let later = try JSONDecoder().decode(CountersRead.self, from: Data(output.stdout.utf8))
        #expect(later.services.map(\.traffic.amount) == earlier.services.map(\.traffic.amount))
        #expect(
            later.services[0].backends.map(\.traffic.amount)
                == earlier.services[0].backends.map(\.traffic.amount))
        #expect(later.services[0].name == nil)
        #expect(later.services[0].key == earlier.services[0].key)
    }

    /// A counter as bpftool tells it.
    private struct Counter: Decodable {
        let formatted: Formatted

        struct Formatted: Decodable { let values: [PerCPU] }
        struct PerCPU: Decodable { let value: Count }
        struct Count: Decodable {
            let packets: UInt64
            let bytes: UInt64
        }

        var amount: Amount {
            formatted.values.reduce(Amount()) {
                $0 + Amount(packets: $1.value.packets, bytes: $1.value.bytes)
            }
        }
    }

    private func sumOfVerdicts(_ node: Node) async throws -> Amount {
        let map = "/sys/fs/bpf/martlet/verdict_counters"
        let counters: [Counter] = try await node.decode(
            ["bpftool", "-j", "map", "dump", "pinned", map])
        return counters.map(\.amount).reduce(Amount(), +)
    }

    /// What bpftool reads of the backends, by address. Numbers begin at 1.
    private func amountsOfBackends(_ node: Node) async throws -> [String: Amount] {
        struct Entry: Decodable {
            let formatted: Formatted

            struct Formatted: Decodable { let value: Record }
            struct Record: Decodable {
                let service: Int
                let family: Int
                let address: Address
            }
            struct Address: Decodable { let word: [UInt32] }
        }
        var amounts: [String: Amount] = [:]
        for number in 1...servers.count {
            let entry: Entry = try await look(up: number, in: "backends", node)
            let counter: Counter = try await look(up: number, in: "backend_counters", node)
            let record = entry.formatted.value
            #expect(record.service == 1)
            amounts[text(record.address.word, family: record.family)] = counter.amount
        }
        return amounts
    }

    private func look<Value: Decodable>(
        up number: Int, in map: String, _ node: Node
    ) async throws -> Value {
        try await node.decode([
            "bpftool", "-j", "map", "lookup", "pinned", "/sys/fs/bpf/martlet/\(map)", "key",
            "\(number)", "0", "0", "0",
        ])
    }

    /// The address in words as they are in memory, by inet_ntop(3).
    private func text(_ words: [UInt32], family: Int) -> String {
        var buffer = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        var words = words
        _ = inet_ntop(
            family == 4 ? AF_INET : AF_INET6, &words, &buffer, socklen_t(buffer.count))
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8($0) }, as: UTF8.self)
    }
}
