import BPF
import Balancing
import Glibc
import Packets
import Testing

@testable import XDPPlane

/// How long backends take from SYN to SYN-ACK: docs/life-of-a-packet.md §6, *Timing*.
///
/// No time is expected, only that a sample lies between what the test's own clock says.
@Suite(.enabled(if: geteuid() == 0, "loading BPF programs needs root"), .serialized)
struct AnswerTimingTests {
    private static let vips = ["192.0.2.100", "2001:db8::100"]
    private static let modes = [Forwarding.nat, .fullNAT]
    private static let client: UInt32 = 7

    private func stage(
        _ vip: String, _ forwarding: Forwarding, _ scheduler: Scheduler = .responseTime
    ) throws -> FlowStage {
        let backends =
            vip.contains(":")
            ? ["2001:db8:5::1", "2001:db8:5::2"] : ["10.99.0.1", "10.99.0.2"]
        return try FlowStage(
            vip: vip, forwarding: forwarding, backends: backends, scheduler: scheduler)
    }

    /// What of a time between two packets can be known: all in microseconds.
    private struct Question {
        var backend: BackendID
        /// The answer that it waits for.
        var answer: [UInt8]
        /// Of the clock, before and after the SYN.
        var began: UInt64
        var ended: UInt64
    }

    /// Lets a SYN through.
    private func ask(
        _ stage: FlowStage, _ client: UInt32 = Self.client, port: UInt16 = 41000
    ) throws -> Question {
        let began = microseconds()
        let result = try stage.plane.plane.program.run(
            on: stage.packet(of: client, port: port, .syn))
        let ended = microseconds()
        #expect(result.action == Action.transmit)
        let ends = Ends(result.packet)
        let backend = try #require(
            stage.plane.applied.backends.first { $0.value.address == ends.destination })
        return Question(
            backend: backend.key, answer: try answer(to: ends, [.syn, .ack]), began: began,
            ended: ended)
    }

    private func answer(to ends: Ends, _ flags: TCPFlags) throws -> [UInt8] {
        var frame = Frame()
        frame.source = try #require(ends.destination)
        frame.destination = try #require(ends.source)
        frame.sourcePort = ends.destinationPort
        frame.destinationPort = ends.sourcePort
        var bytes = frame.bytes
        bytes[14 + (frame.source.family == .v4 ? 20 : 40) + 13] = flags.rawValue
        return bytes
    }

    /// Lets the backend's SYN-ACK through; the shortest and the longest that it can have taken.
    private func reply(_ stage: FlowStage, _ question: Question) throws -> ClosedRange<UInt32> {
        let began = microseconds()
        _ = try stage.plane.plane.program.run(on: question.answer)
        let ended = microseconds()
        return UInt32(began - question.ended)...UInt32(ended - question.began)
    }

    private func latency(_ stage: FlowStage) throws -> [BackendID: UInt32] {
        try stage.plane.plane.loads().mapValues(\.latency)
    }

    private func microseconds() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000 + UInt64(time.tv_nsec) / 1000
    }

    @Test(arguments: vips, modes)
    func `the backend's latency is the time until its answer, which counts once`(
        vip: String, forwarding: Forwarding
    ) throws {
        let stage = try stage(vip, forwarding)
        let other: (BackendID) throws -> BackendID = { asked in
            try #require(stage.backends.first { $0 != asked })
        }
        let question = try ask(stage)
        usleep(2000)
        let bounds = try reply(stage, question)
        #expect(bounds.lowerBound >= 2000)
        let measured = try #require(try latency(stage)[question.backend])
        #expect(bounds.contains(measured))
        #expect(try latency(stage)[other(question.backend)] == 1)
        // An answer that comes again has nothing to be measured by.
        _ = try reply(stage, question)
        usleep(2000)
        _ = try reply(stage, question)
        #expect(try latency(stage)[question.backend] == measured)
    }

    @Test(arguments: vips, modes)
    func `a longer time counts at once, and a shorter one by an eighth`(
        vip: String, forwarding: Forwarding
    ) throws {
        let stage = try stage(vip, forwarding)
        for (port, known) in zip(
            (41000 as UInt16)..., [1, 500, 30_000, 4_000_000, 4_000_007, .max] as [UInt32])
        {
            try stage.plane.plane.setLatency(
                Dictionary(uniqueKeysWithValues: stage.backends.map { ($0, known) }))
            let question = try ask(stage, port: port)
            usleep(1000)
            let bounds = try reply(stage, question)
            let becomes = { (sample: UInt32) in
                sample >= known
                    ? sample : UInt32(UInt64(known) - (UInt64(known - sample) + 7) / 8)
            }
            let measured = try #require(try latency(stage)[question.backend])
            #expect(
                (becomes(bounds.lowerBound)...becomes(bounds.upperBound)).contains(measured),
                "\(known) before")
        }
    }

    @Test(arguments: vips, modes)
    func `of a SYN that came again, however often, nobody knows which one is answered`(
        vip: String, forwarding: Forwarding
    ) throws {
        let stage = try stage(vip, forwarding)
        for (times, port) in zip(2...5, (41000 as UInt16)...) {
            let questions = try (0..<times).map { _ in try ask(stage, port: port) }
            // With full-nat it may go to another backend, as long as there was no answer.
            if forwarding == .nat { #expect(Set(questions.map(\.backend)).count == 1) }
            usleep(1000)
            _ = try reply(stage, try #require(questions.last))
            #expect(try latency(stage).values.allSatisfy { $0 == 1 }, "\(times) times")
        }
        // The next one of the same client is timed again.
        let question = try ask(stage, port: 42000)
        usleep(1000)
        let bounds = try reply(stage, question)
        #expect(bounds.contains(try #require(try latency(stage)[question.backend])))
    }

    @Test(arguments: vips, modes)
    func `only a SYN-ACK to the client that asked is an answer`(
        vip: String, forwarding: Forwarding
    ) throws {
        let stage = try stage(vip, forwarding)
        let question = try ask(stage)
        let stranger = try ask(stage, Self.client + 1)
        usleep(1000)
        for flags in [.ack, [.psh, .ack], [.rst, .ack], .syn] as [TCPFlags] {
            var packet = question.answer
            packet[14 + (stage.vip.family == .v4 ? 20 : 40) + 13] = flags.rawValue
            _ = try stage.plane.plane.program.run(on: packet)
        }
        #expect(try latency(stage).values.allSatisfy { $0 == 1 })
        // Both are still under way, and whoever answers first is timed first.
        for one in [stranger, question] {
            try stage.plane.plane.setLatency([one.backend: 1])
            let bounds = try reply(stage, one)
            #expect(bounds.contains(try #require(try latency(stage)[one.backend])))
        }
    }

    @Test(arguments: vips, modes)
    func `a service with another scheduler is not timed`(
        vip: String, forwarding: Forwarding
    ) throws {
        let stage = try stage(vip, forwarding, .leastConnections)
        let question = try ask(stage)
        usleep(1000)
        _ = try reply(stage, question)
        #expect(try latency(stage).values.allSatisfy { $0 == 1 })
    }
}
