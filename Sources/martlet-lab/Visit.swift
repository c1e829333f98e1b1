import FoundationEssentials
import Glibc
import NIOCore
import NIOHTTP1

/// How one request went; a line of the output of `martlet-lab request`.
struct Visit: Encodable {
    /// Which request, counted from 1.
    let number: Int
    /// Which backend answered; nil if none did.
    let backend: String?
    /// Why there was no good answer; nil if there was.
    let failure: String?
    /// From the start of the connection to the end of the answer, or to the failure.
    let milliseconds: Double

    private enum CodingKeys: String, CodingKey {
        case number = "n"
        case backend, failure, milliseconds
    }

    /// The visit as a line of JSON.
    func json() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(self), as: UTF8.self)
    }
}

extension Visit {
    /// Asks `target` for `path` on a connection of its own.
    init(number: Int, to target: Target, path: String, timeout: Duration) async {
        let start = ContinuousClock.now
        do {
            let answer = try await fetch(path, from: target, timeout: timeout)
            backend = answer.headers.first(name: "X-Backend")
            failure = answer.status == .ok ? nil : "status \(answer.status.code)"
        } catch {
            backend = nil
            failure = reason(of: error)
        }
        self.number = number
        milliseconds = (start.duration(to: .now) / .microseconds(1)).rounded() / 1000
    }
}

/// In the words of the system, without the name of the call.
private func reason(of error: any Error) -> String {
    switch error {
    case let error as IOError: String(cString: strerror(error.errnoCode)).lowercased()
    case ChannelError.connectTimeout: "\(FetchFailure.timeout)"
    default: "\(error)"
    }
}
