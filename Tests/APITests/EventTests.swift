import Control
import Foundation
import NIOCore
import NIOHTTP1
import Synchronization
import Testing

@testable import API

/// Events as HTML's server-sent events.
struct EventTests {
    @Test func `those that are known come first, then those that happen`() async throws {
        let controller = FakeController()
        try await withServer(controller) { served in
            try await listen(served, "/v1/events", ["Last-Event-ID": "1"]) { lines in
                let first = try await lines.next(
                    4, where: { $0.hasPrefix("id: ") || $0.hasPrefix("event: ") })
                #expect(first == ["id: 2", "event: health", "id: 3", "event: health"])
                controller.happen(
                    Event(
                        id: 9, at: FakeController.moment, kind: .panic, generation: 4,
                        service: "web", text: "a\r\nb"))
                let data = try await lines.next(
                    1, where: { $0.hasPrefix("data: ") && $0.contains("panic") })
                let decoder = JSONDecoder()
                decoder.dateDecodingStrategy = .iso8601
                let event = try decoder.decode(Event.self, from: Data(data[0].dropFirst(6).utf8))
                #expect(event.id == 9)
                #expect(event.text == "a\r\nb")
            }
        }
    }

    @Test func `those of one service come alone`() async throws {
        let controller = FakeController(eventsEnd: true)
        try await withServer(controller) { served in
            let answer = try await served.client.fetch("/v1/events?service=dns")
            #expect(answer.contentType == "text/event-stream")
            let text = String(decoding: answer.body, as: UTF8.self)
            #expect(text.split(separator: "\n").filter { $0.hasPrefix("id: ") } == ["id: 2"])
        }
    }

    @Test func `the end of the server is the end of the events`() async throws {
        let controller = FakeController()
        let listener = Mutex<Task<Answer, any Error>?>(nil)
        try await withServer(controller) { served in
            let task = Task { try await served.client.fetch("/v1/events", within: 60) }
            while controller.listenerCount == 0 { await Task.yield() }
            listener.withLock { $0 = task }
        }
        let answer = try await #require(listener.withLock(\.self)).value
        #expect(answer.status == 200)
        #expect(String(decoding: answer.body, as: UTF8.self).hasSuffix("\n\n"))
    }

    @Test func `one listener too many is told so, and a place that is left is free`() async throws {
        let controller = FakeController()
        try await withServer(controller) { served in
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                for _ in 0..<EventSeats.count {
                    tasks.addTask { _ = try await served.client.fetch("/v1/events", within: 60) }
                }
                while controller.listenerCount < EventSeats.count { await Task.yield() }
                #expect(try await served.client.fetch("/v1/events").status == 429)
                #expect(try await served.client.fetch("/v1/events", method: .HEAD).status == 429)
                // Others are served.
                _ = try await served.client.status()
                controller.end()
                try await tasks.waitForAll()
            }
            var status: UInt = 429
            while status == 429 {
                status = try await served.client.fetch("/v1/events", method: .HEAD).status
            }
            #expect(status == 200)
        }
    }

    /// Lends the lines of an answer that does not end.
    private func listen(
        _ served: ServedAPI, _ path: String, _ headers: HTTPHeaders,
        _ body: (Lines) async throws -> Void
    ) async throws {
        let lines = Lines()
        let channel = try await served.socket.connect { channel in
            channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.addHandler(lines)
            }
        }
        var text = "GET \(path) HTTP/1.1\r\nHost: martlet\r\n"
        for (name, value) in headers { text += "\(name): \(value)\r\n" }
        try await channel.writeAndFlush(ByteBuffer(string: text + "\r\n"))
        try await body(lines)
        try await channel.close()
    }
}

/// What arrives, line by line.
private final class Lines: ChannelInboundHandler, Sendable {
    typealias InboundIn = ByteBuffer

    private let stream: AsyncStream<String>
    private let continuation: AsyncStream<String>.Continuation

    init() { (stream, continuation) = AsyncStream.makeStream(of: String.self) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let text = String(buffer: Self.unwrapInboundIn(data))
        for line in text.split(whereSeparator: \.isNewline) { continuation.yield(String(line)) }
    }

    func channelInactive(context: ChannelHandlerContext) { continuation.finish() }

    /// The next so many that are wanted.
    func next(_ count: Int, where isWanted: (String) -> Bool) async throws -> [String] {
        var wanted: [String] = []
        for await line in stream where isWanted(line) {
            wanted.append(line)
            if wanted.count == count { return wanted }
        }
        throw TooFew()
    }

    struct TooFew: Error {}
}
