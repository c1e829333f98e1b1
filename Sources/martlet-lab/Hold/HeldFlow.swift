/// What a client knows of a flow that it holds open: what it sent, what came back, and from whom.
///
/// Pure: it has neither a socket nor a clock.
struct HeldFlow {
    typealias Moment = ContinuousClock.Instant

    enum Transport: String, Sendable {
        case tcp
        case udp
    }

    let number: UInt64
    let transport: Transport
    /// Who gave the first answer, and has to give all others.
    private(set) var backend: String?
    /// The last record that was sent, and the last that was answered.
    private(set) var sent: UInt64 = 0
    private(set) var answered: UInt64 = 0
    /// Since when nothing has come although something is due; nil: nothing is.
    private(set) var waitingSince: Moment?
    private var lastSent: Moment?
    /// What has come of an answer that is not complete.
    private var received: [UInt8] = []

    init(number: UInt64, transport: Transport) {
        self.number = number
        self.transport = transport
    }

    /// Whether every record has been answered.
    var isQuiet: Bool { sent == answered }

    /// What to send now; nil: nothing before there are answers.
    ///
    /// TCP repeats what is lost by itself. A datagram is repeated here, and the next one waits for
    /// its answer: a full queue on the way is no broken flow.
    mutating func next(at moment: Moment) -> Record? {
        switch transport {
        case .tcp:
            guard sent - answered < Self.mostUnanswered else { return nil }
            sent += 1
        case .udp where isQuiet:
            sent += 1
        case .udp:
            guard let lastSent, lastSent.duration(to: moment) >= Self.patience else { return nil }
        }
        waitingSince = waitingSince ?? moment
        lastSent = moment
        return Record(flow: number, number: sent)
    }

    /// Takes note of bytes that came: a piece of the stream, or one datagram.
    mutating func take(_ bytes: ArraySlice<UInt8>, at moment: Moment) throws(Break) {
        received += bytes
        while let answer = RecordAnswer(received) {
            received.removeFirst(answer.size)
            try take(answer, at: moment)
        }
        if transport == .udp, !received.isEmpty { throw .disorder }
    }

    private mutating func take(_ answer: RecordAnswer, at moment: Moment) throws(Break) {
        let backend = self.backend ?? answer.backend
        self.backend = backend
        guard answer.backend == backend else { throw .stranger(answer.backend) }
        guard answer.record.flow == number else { throw .disorder }
        // The answer to a datagram that was repeated too early.
        if transport == .udp, answer.record.number <= answered { return }
        guard answer.record.number == answered + 1, answer.record.number <= sent else {
            throw .disorder
        }
        answered += 1
        waitingSince = isQuiet ? nil : moment
    }

    /// Whether nothing has come for longer than `limit` although something is due.
    func isOverdue(at moment: Moment, limit: Duration) -> Bool {
        waitingSince.map { $0.duration(to: moment) > limit } ?? false
    }

    /// How many records of a connection may be under way: few enough for every buffer.
    private static let mostUnanswered = 64
    /// After this a datagram is taken for lost.
    private static let patience = Duration.milliseconds(500)
}

/// Why a flow that was established is none any more.
enum Break: Error, Hashable, Sendable, CustomStringConvertible {
    /// The other side said that it knows no such connection.
    case reset
    /// The other side ended it, which only the client does.
    case ended
    /// An answer has not come.
    case silence
    /// What came is no answer, or not the one that was due.
    case disorder
    /// This backend answered, which is not the one that the flow began with.
    case stranger(String)
    /// The system said so.
    case refused(String)

    var description: String {
        switch self {
        case .reset: "reset"
        case .ended: "ended by the backend"
        case .silence: "no answer"
        case .disorder: "not the answer that was due"
        case .stranger(let backend): "answered by \(backend)"
        case .refused(let reason): reason
        }
    }
}
