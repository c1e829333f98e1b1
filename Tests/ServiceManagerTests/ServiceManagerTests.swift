import Foundation
import Logging
import ServiceLifecycle
import Synchronization
import Testing

@testable import ServiceManager

/// What a service manager hears, on a real socket.
struct ServiceManagerTests {
    private static let logger = Logger(label: "tests", factory: { _ in SwiftLogNoOpLogHandler() })

    private func manager(
        _ ear: Ear, _ more: [String: String] = [:]
    ) throws -> ServiceManager {
        let variables = more.merging(["NOTIFY_SOCKET": ear.name]) { $1 }
        return try #require(ServiceManager { variables[$0] })
    }

    @Test(arguments: [true, false])
    func `it hears what is told, by file and by abstract name`(isAbstract: Bool) async throws {
        let ear = try Ear(isAbstract: isAbstract)
        let manager = try manager(ear)
        manager.tell(.ready, .status("2 services"))
        #expect(await ear.hear() == "READY=1\nSTATUS=2 services")
        manager.tell(.stopping)
        #expect(await ear.hear() == "STOPPING=1")
        manager.tell(.watchdog)
        #expect(await ear.hear() == "WATCHDOG=1")
    }

    @Test func `a reload says at which moment of the monotonic clock`() async throws {
        let ear = try Ear()
        var before = timespec()
        clock_gettime(CLOCK_MONOTONIC, &before)
        try manager(ear).tell(.reloading)
        let lines = try #require(await ear.hear()).split(separator: "\n")
        #expect(lines.first == "RELOADING=1")
        let moment = try #require(Int(lines[1].dropFirst("MONOTONIC_USEC=".count)))
        #expect(moment >= before.tv_sec * 1_000_000 + before.tv_nsec / 1000)
    }

    @Test func `a status of several lines is no second assignment`() async throws {
        let ear = try Ear()
        try manager(ear).tell(.status("cannot read it\nREADY=1\r\nMAINPID=1"))
        #expect(await ear.hear() == "STATUS=cannot read it; READY=1; MAINPID=1")
    }

    @Test(arguments: [
        "", "/", "@", "relative", "vsock:2:1", "/" + String(repeating: "x", count: 107),
    ])
    func `a name that is none of a socket is no manager`(name: String) {
        #expect(ServiceManager { $0 == "NOTIFY_SOCKET" ? name : nil } == nil)
        #expect(ServiceManager { _ in nil } == nil)
    }

    @Test func `a manager that has gone keeps nobody`() throws {
        let manager = try { try self.manager(try Ear()) }()
        manager.tell(.ready)
        #expect(manager.watchdogPeriod == nil)
    }

    @Test(
        arguments: [
            ("20000000", nil, Duration.seconds(20)), ("20000000", "\(getpid())", .seconds(20)),
            ("20000000", "1", nil), ("0", nil, nil), ("-5", nil, nil), ("soon", nil, nil),
            (nil, nil, nil),
        ] as [(String?, String?, Duration?)])
    func `the watchdog is ours if it is meant for us`(
        microseconds: String?, process: String?, period: Duration?
    ) throws {
        var variables = ["NOTIFY_SOCKET": "@test"]
        variables["WATCHDOG_USEC"] = microseconds
        variables["WATCHDOG_PID"] = process
        let given = variables
        let manager = try #require(ServiceManager { given[$0] })
        #expect(manager.watchdogPeriod == period)
    }

    @Test func `it hears of life as long as the proof returns, then of the stop`() async throws {
        let ear = try Ear()
        let manager = try manager(ear, ["WATCHDOG_USEC": "20000"])
        let gate = Mutex(false)
        let proofs = Mutex(0)
        let service = WatchdogService(manager) {
            proofs.withLock { $0 += 1 }
            // Stuck, as an actor is whose call of the kernel does not come back.
            while gate.withLock(\.self) { try await Task.sleep(for: .milliseconds(1)) }
        }
        let group = ServiceGroup(services: [service], logger: Self.logger)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            for _ in 0..<3 { #expect(await ear.hear() == "WATCHDOG=1") }
            gate.withLock { $0 = true }
            let stuckAt = proofs.withLock(\.self)
            while proofs.withLock(\.self) == stuckAt { try await Task.sleep(for: .milliseconds(1)) }
            // What was said before it was stuck; then silence, for many periods.
            while await ear.hear(within: .milliseconds(200)) != nil {}
            #expect(await ear.hear(within: .milliseconds(200)) == nil)
            gate.withLock { $0 = false }
            #expect(await ear.hear() == "WATCHDOG=1")
            await group.triggerGracefulShutdown()
            var last = await ear.hear()
            while last == "WATCHDOG=1" { last = await ear.hear() }
            #expect(last == "STOPPING=1")
            try await tasks.waitForAll()
        }
    }

    @Test func `without a watchdog the stop is told all the same, and nobody is asked`()
        async throws
    {
        let ear = try Ear()
        let service = WatchdogService(try manager(ear)) { Issue.record("asked") }
        let group = ServiceGroup(services: [service], logger: Self.logger)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
        }
        #expect(await ear.hear() == "STOPPING=1")
    }
}
