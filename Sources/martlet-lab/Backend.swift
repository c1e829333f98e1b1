import NIOHTTP1
import Synchronization

/// What a server says: a function of the request and of the little it remembers.
final class Backend: Sendable {
    let name: String
    /// The file that keeps what was uploaded last.
    private let uploads: String?
    private let state = Mutex(State())

    /// What it says when it is asked for its health.
    enum Condition: String, Sendable {
        case well
        /// Status 503.
        case sick
        /// Takes the request and never answers.
        case silent
    }

    private struct State {
        var requests = 0
        var condition = Condition.well
        var delay = Duration.zero
    }

    init(name: String, uploads: String? = nil) {
        self.name = name
        self.uploads = uploads
    }

    /// Where to keep the body of a request; nil if nobody wants it.
    func fileForBody(_ method: HTTPMethod, _ uri: String) -> String? {
        method == .PUT && uri == "/upload" ? uploads : nil
    }

    /// Changes what it says of its health, and how much later than it could.
    func setHealth(_ condition: Condition? = nil, delay: Duration? = nil) {
        state.withLock {
            $0.condition = condition ?? $0.condition
            $0.delay = delay ?? $0.delay
        }
    }

    private var health: Answer {
        let (condition, delay) = state.withLock { ($0.condition, $0.delay) }
        return switch condition {
        case .well: Answer(status: .ok, body: .text("well\n"), delay: delay)
        case .sick: Answer(status: .serviceUnavailable, body: .text("sick\n"), delay: delay)
        case .silent: Answer(status: .ok, body: .text(""), delay: .seconds(24 * 60 * 60))
        }
    }

    /// The answer to a request, which counts unless it asks about the server itself.
    func answer(_ method: HTTPMethod, _ uri: String) -> Answer {
        switch (method, uri) {
        case (.GET, "/healthz"):
            return health
        case (.GET, "/count"):
            let requests = state.withLock(\.requests)
            return Answer(.ok, #"{"name":"\#(name)","requests":\#(requests)}"# + "\n")
        case (.POST, "/sick"), (.POST, "/well"):
            setHealth(uri == "/sick" ? .sick : .well)
            return Answer(.ok, "")
        default:
            state.withLock { $0.requests += 1 }
            return page(method, uri)
        }
    }

    private func page(_ method: HTTPMethod, _ uri: String) -> Answer {
        if fileForBody(method, uri) != nil { return Answer(.created, "kept\n") }
        guard method == .GET else { return Answer(.methodNotAllowed, "") }
        if uri == "/" { return Answer(.ok, name) }
        if let size = number(in: uri, after: "/bytes/") {
            return Answer(status: .ok, body: .filler(bytes: size))
        }
        if let milliseconds = number(in: uri, after: "/slow?ms=") {
            return Answer(status: .ok, body: .text(name), delay: .milliseconds(milliseconds))
        }
        return Answer(.notFound, "no such page: \(uri)\n")
    }
}

/// What to send, and when.
struct Answer: Hashable, Sendable {
    enum Body: Hashable, Sendable {
        case text(String)
        case filler(bytes: Int)
    }

    var status: HTTPResponseStatus
    var body: Body
    var delay = Duration.zero
}

extension Answer {
    init(_ status: HTTPResponseStatus, _ text: String) {
        self.init(status: status, body: .text(text))
    }

    /// How long the body is, in bytes.
    var length: Int {
        switch body {
        case .text(let text): text.utf8.count
        case .filler(let bytes): bytes
        }
    }
}

/// The number that follows `prefix` and ends the text; nil if there is none, or a negative one.
private func number(in text: String, after prefix: String) -> Int? {
    guard text.hasPrefix(prefix) else { return nil }
    return UInt32(text.dropFirst(prefix.count)).map(Int.init)
}
