import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix

/// A connection of a client: requests come in, answers go out.
typealias Client = NIOAsyncChannel<
    HTTPServerRequestPart, HTTPPart<HTTPResponseHead, ByteBuffer>
>

/// Listens on all addresses; the IPv6 socket takes IPv4 too, unless `bindv6only` says otherwise.
func listen(on port: UInt16) async throws -> NIOAsyncChannel<Client, Never> {
    try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
        .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
        .serverChannelOption(.backlog, value: 1024)
        .bind(host: "::", port: Int(port)) { channel in
            channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.configureHTTPServerPipeline()
                try channel.pipeline.syncOperations.addHandler(PlainBodies())
                return try Client(wrappingChannelSynchronously: channel)
            }
        }
}

/// Answers every client until the process ends.
func answer(
    clientsOf listener: NIOAsyncChannel<Client, Never>, as backend: Backend
) async throws {
    try await listener.executeThenClose { clients in
        try await withThrowingDiscardingTaskGroup { group in
            for try await client in clients {
                // A client that goes away in the middle is no concern of the others.
                group.addTask { try? await answer(client, as: backend) }
            }
        }
    }
}

private func answer(_ client: Client, as backend: Backend) async throws {
    try await client.executeThenClose { requests, answers in
        var head: HTTPRequestHead?
        var body: FileHandle?
        for try await part in requests {
            if case .head(let request) = part {
                head = request
                body = try backend.fileForBody(request.method, request.uri).map(emptyFile)
            }
            if case .body(let bytes) = part {
                try body?.write(contentsOf: Data(bytes.readableBytesView))
            }
            guard case .end = part, let request = head else { continue }
            try body?.close()
            let answer = backend.answer(request.method, request.uri)
            if answer.delay > .zero { try await Task.sleep(for: answer.delay) }
            try await answers.write(.head(responseHead(answer, to: request, from: backend)))
            for chunk in chunks(answer.body) { try await answers.write(.body(chunk)) }
            try await answers.write(.end(nil))
            guard request.isKeepAlive else { return }
        }
    }
}

private func responseHead(
    _ answer: Answer, to request: HTTPRequestHead, from backend: Backend
) -> HTTPResponseHead {
    var head = HTTPResponseHead(version: request.version, status: answer.status)
    head.headers.add(name: "Content-Length", value: "\(answer.length)")
    head.headers.add(name: "Content-Type", value: "text/plain")
    head.headers.add(name: "X-Backend", value: backend.name)
    head.headers.add(name: "Connection", value: request.isKeepAlive ? "keep-alive" : "close")
    return head
}

/// The body in pieces small enough to be written while the client reads.
private func chunks(_ body: Answer.Body) -> any Sequence<ByteBuffer> {
    switch body {
    case .text(let text): [ByteBuffer(string: text)]
    case .filler(let bytes): filler(bytes: bytes)
    }
}

/// A file to write to, which is empty whatever was in it before.
private func emptyFile(at path: String) throws -> FileHandle {
    try Data().write(to: URL(filePath: path))
    return try FileHandle(forWritingTo: URL(filePath: path))
}

/// Makes response parts of what `NIOAsyncChannel` can send: bodies of bytes, never of files.
private final class PlainBodies: ChannelOutboundHandler {
    typealias OutboundIn = HTTPPart<HTTPResponseHead, ByteBuffer>
    typealias OutboundOut = HTTPServerResponsePart

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        let part: HTTPServerResponsePart =
            switch unwrapOutboundIn(data) {
            case .head(let head): .head(head)
            case .body(let bytes): .body(.byteBuffer(bytes))
            case .end(let trailers): .end(trailers)
            }
        context.write(wrapOutboundOut(part), promise: promise)
    }
}
