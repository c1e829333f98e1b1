import API
import ArgumentParser
import Control
import Packets

/// `web/server-a`
func backendReference(_ text: String) throws -> BackendReference {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, parts.allSatisfy({ !$0.isEmpty }) else {
        throw ValidationError("\"\(text)\" is no backend: SERVICE/BACKEND, like web/server-a")
    }
    return BackendReference(String(parts[0]), String(parts[1]))
}

/// An address with a port, as RFC 3986 §3.2.2 writes it.
struct Endpoint: Hashable, Sendable, CustomStringConvertible {
    var address: IPAddress
    var port: UInt16

    var description: String {
        address.family == .v4 ? "\(address):\(port)" : "[\(address)]:\(port)"
    }
}

/// `192.0.2.1:80`, `[2001:db8::1]:80`
func endpoint(_ text: String) throws -> Endpoint {
    if let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) {
        let host = text[..<colon]
        let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
        let address = IPAddress(String(isBracketed ? host.dropFirst().dropLast() : host))
        if let address, isBracketed == (address.family == .v6) {
            return Endpoint(address: address, port: port)
        }
    }
    throw ValidationError(
        "\"\(text)\" is no address with a port: 192.0.2.1:80 or [2001:db8::1]:80")
}

extension CompletionKind {
    /// The backends of the controller, as SERVICE/BACKEND; none if it does not answer.
    static var backends: CompletionKind {
        .custom { words, _, _ in
            await completions(words) { service in
                service.backends.map { "\(service.name)/\($0.name)" }
            }
        }
    }

    static var services: CompletionKind {
        .custom { words, _, _ in await completions(words) { [$0.name] } }
    }
}

/// Somebody waits for it between two keys: an answer that takes longer is none. In seconds.
private let patience: Int64 = 1

func completions(
    _ words: [String], of service: (Status.Service) -> [String]
) async -> [String] {
    let socket = words.firstIndex(of: "--socket").flatMap { words.dropFirst($0 + 1).first }
    let client = Client(at: SocketPath(socket ?? SocketOption.standard), patience: patience)
    guard let status = try? await client.status() else { return [] }
    return status.services.flatMap(service)
}
