import CLinux
import Glibc
import Testing

import enum Lab.NetworkNamespace

@testable import Netlink

@Suite(.timeLimit(.minutes(2)))
struct ChangesTests {
    @Test func `changes that nobody has read yet become one, and none is lost`() async {
        let (stream, continuation) = AsyncStream.makeStream(
            of: RouteMonitor.Changes.self, bufferingPolicy: .bufferingNewest(1))
        for changes in [.links, .neighbours, .links, [], .overrun] as [RouteMonitor.Changes] {
            continuation.merge(changes)
        }
        var iterator = stream.makeAsyncIterator()
        #expect(await iterator.next() == [.links, .neighbours, .overrun])
        continuation.merge([.routes])
        #expect(await iterator.next() == [.routes], "what was read is not told again")
        continuation.merge([])
        continuation.finish()
        #expect(await iterator.next() == nil, "nothing is no change")
    }
}

struct KindTests {
    private func message(_ type: Int) -> Message {
        Message(type: type, flags: 0, sequence: 0, port: 0, body: [])
    }

    @Test(
        arguments: [
            (RTM_NEWLINK, .links), (RTM_DELLINK, .links), (RTM_NEWADDR, .addresses),
            (RTM_DELADDR, .addresses), (RTM_NEWROUTE, .routes), (RTM_DELROUTE, .routes),
            (RTM_NEWNEIGH, .neighbours), (RTM_DELNEIGH, .neighbours),
            (RTM_NEWRULE, RouteMonitor.Changes()),
        ] as [(Int, RouteMonitor.Changes)])
    func `a message is a change of one kind`(type: Int, kind: RouteMonitor.Changes) {
        #expect(RouteMonitor.Changes(of: [message(type)]) == kind)
    }

    @Test func `several messages are changes of several kinds`() {
        let messages = [Int(RTM_NEWLINK), Int(RTM_NEWRULE), Int(RTM_DELROUTE)].map(message)
        #expect(RouteMonitor.Changes(of: messages) == [.links, .routes])
        #expect(RouteMonitor.Changes(of: []) == [])
    }
}

/// What is heard of changes, in networks of the tests' own.
@Suite(.enabled(if: geteuid() == 0, "network namespaces need root"), .timeLimit(.minutes(2)))
struct RouteMonitorTests {
    @Test func `a link that goes down is told`() async {
        await #expect(processExitsWith: .success) {
            try NetworkNamespace.enterNew()
            try NetworkNamespace.addPair("near", "far")
            let monitor = try RouteMonitor()
            try NetworkNamespace.ip("link set near down")
            for await changes in monitor.changes where changes.contains(.links) { break }
        }
    }

    @Test func `each kind of change is heard as what it is`() async {
        await #expect(processExitsWith: .success) {
            try NetworkNamespace.enterNew()
            // Without IPv6 the kernel changes nothing of its own accord.
            try NetworkNamespace.set("ipv6/conf/default/disable_ipv6", to: "1")
            try NetworkNamespace.addPair("near", "far")
            try NetworkNamespace.ip("addr add 10.0.0.1/24 dev near")
            var routes = try RouteSocket()
            let isUp = try NetworkNamespace.eventually { try routes.link(named: "near").isUp }
            #expect(isUp)
            let socket = try changeSocket()
            let table: [(String, RouteMonitor.Changes)] = [
                ("link set near mtu 1400", .links),
                ("neigh add 10.0.0.2 lladdr 02:00:00:00:00:02 dev near", .neighbours),
                ("neigh del 10.0.0.2 dev near", .neighbours),
                ("addr add 10.0.0.9/32 dev near", [.addresses, .routes]),
                ("addr del 10.0.0.9/32 dev near", [.addresses, .routes]),
                ("route add 10.7.0.0/16 via 10.0.0.2", .routes),
                ("route change 10.7.0.0/16 via 10.0.0.2 mtu 1400", .routes),
                ("route del 10.7.0.0/16", .routes),
                ("link del near", [.links, .addresses, .routes]),
            ]
            for (command, expected) in table {
                try NetworkNamespace.ip(command)
                // All messages are in the socket before the command's answer is.
                let heard = hear(socket)
                #expect(heard.changes.isSuperset(of: expected), "\(command)")
                #expect(!heard.isBroken)
            }
        }
    }

    @Test func `changes of IPv6 are heard, too`() async {
        await #expect(processExitsWith: .success) {
            try NetworkNamespace.enterNew()
            try NetworkNamespace.addPair("near", "far")
            let socket = try changeSocket()
            let table: [(String, RouteMonitor.Changes)] = [
                ("addr add fd00::1/64 dev near nodad", .addresses),
                ("route add fd07::/16 dev near", .routes),
                ("route change fd07::/16 dev near mtu 1400", .routes),
                ("neigh add fd00::2 lladdr 02:00:00:00:00:02 dev near", .neighbours),
            ]
            for (command, expected) in table {
                try NetworkNamespace.ip("-6 \(command)")
                var heard: RouteMonitor.Changes = []
                let isHeard = NetworkNamespace.eventually {
                    heard.formUnion(hear(socket).changes)
                    return heard.isSuperset(of: expected)
                }
                #expect(isHeard, "\(command): \(heard)")
            }
        }
    }

    @Test func `messages that were lost are told as an overrun, once`() async {
        await #expect(processExitsWith: .success) {
            try NetworkNamespace.enterNew()
            try NetworkNamespace.set("ipv6/conf/default/disable_ipv6", to: "1")
            try NetworkNamespace.addPair("near", "far")
            let socket = try changeSocket()
            try NetworkNamespace.batch(
                (0..<2000).map { "link set near mtu \(1400 + $0 % 2)" })
            #expect(hear(socket).changes.isSuperset(of: [.overrun, .links]))
            #expect(!hear(socket).changes.contains(.overrun))
            try NetworkNamespace.ip("addr add 10.0.0.1/24 dev near")
            #expect(hear(socket).changes.contains(.addresses), "it hears on after it")
        }
    }

    @Test func `the socket is closed when the reader is cancelled`() async {
        await #expect(processExitsWith: .success) {
            try NetworkNamespace.enterNew()
            let before = try sockets()
            let monitor = try RouteMonitor()
            #expect(try sockets() == before + 1)
            let reader = Task { for await _ in monitor.changes {} }
            reader.cancel()
            await reader.value
            #expect(try NetworkNamespace.eventually { try sockets() == before })
        }
    }

    @Test func `the socket is closed when nobody holds the stream any more`() async {
        await #expect(processExitsWith: .success) {
            try NetworkNamespace.enterNew()
            let before = try sockets()
            var monitor: RouteMonitor? = try RouteMonitor()
            #expect(try sockets() == before + 1)
            #expect(monitor != nil)
            monitor = nil
            #expect(try NetworkNamespace.eventually { try sockets() == before })
        }
    }
}

/// How many sockets this process has open.
private func sockets() throws -> Int {
    var count = 0
    for number in 0..<1024 as Range<Int32> {
        var status = stat()
        if fstat(number, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK { count += 1 }
    }
    return count
}
