import AsyncAlgorithms
import Control
import FoundationEssentials
import HTTPTypes
import Hummingbird
import NIOCore
import ServiceLifecycle
import Synchronization

/// Events as `text/event-stream`, as HTML has it (server-sent events).
enum EventStream {
    /// Middle boxes and clients take a connection for dead that is silent for 30 s or more.
    private static let pulse = Duration.seconds(15)

    private enum Part: Sendable {
        case event(Event)
        case pulse
        case end
    }

    /// The events of a service, or all, until they end, the listener goes or the controller stops.
    ///
    /// - Parameter seat: Given back with the last of this answer.
    static func response(
        _ events: AsyncStream<Event>, ofService service: String?, to request: Request,
        _ seat: EventSeats.Seat
    ) -> Response {
        let body = ResponseBody { writer in
            defer { withExtendedLifetime(seat) {} }
            try await writer.write(ByteBuffer(string: ": events of martlet\n\n"))
            try? await request.body.consumeWithCancellationOnInboundClose { _ in
                let pulses = AsyncTimerSequence(interval: pulse, clock: .continuous)
                let all = chain(events.map(Part.event), [Part.end].async)
                for try await part in merge(all, pulses.map { _ in .pulse })
                    .cancelOnGracefulShutdown()
                {
                    switch part {
                    case .event(let event) where service == nil || event.service == service:
                        try await writer.write(ByteBuffer(string: try text(of: event)))
                    case .event: continue
                    case .pulse: try await writer.write(ByteBuffer(string: ":\n\n"))
                    case .end: return
                    }
                }
            }
            try await writer.finish(nil)
        }
        let headers: HTTPFields = [.contentType: "text/event-stream", .cacheControl: "no-store"]
        return Response(status: .ok, headers: headers, body: body)
    }

    /// No line of JSON has a line break in it.
    static func text(of event: Event) throws -> String {
        let data = String(decoding: try encoder().encode(event), as: UTF8.self)
        return "id: \(event.id)\nevent: \(event.kind.rawValue)\ndata: \(data)\n\n"
    }
}

/// How many may listen to events at once: each keeps a connection, and some must be left for
/// questions.
final class EventSeats: Sendable {
    static let count = 64
    private let taken = Mutex(0)

    /// Of one listener; given back when nobody has it any more.
    final class Seat: Sendable {
        private let seats: EventSeats

        fileprivate init(_ seats: EventSeats) { self.seats = seats }

        deinit { seats.taken.withLock { $0 -= 1 } }
    }

    /// Nil: all are taken.
    func take() -> Seat? {
        let isFree = taken.withLock { taken in
            guard taken < Self.count else { return false }
            taken += 1
            return true
        }
        return isFree ? Seat(self) : nil
    }
}
