import CLinux
import Control
import Glibc
import Hummingbird
import Logging
import NIOCore
import NIOSSL

/// Who is at the other end of a connection.
enum Door: Sendable {
    /// The socket: whoever may open it may do everything.
    case local
    /// TLS: those with certain names may.
    case remote(admins: Set<String>)

    /// `SO_PEERCRED` of unix(7), or the names in the client's certificate.
    func requester(on channel: any Channel) async throws -> Requester {
        switch self {
        case .local:
            return Requester(try await credentials(of: channel), role: .admin)
        case .remote(let admins):
            let certificate = try await channel.nioSSL_peerCertificate().get()
            guard let certificate else {
                throw Failure("ask", "a client", because: "it has no certificate", cure: nil)
            }
            let names = try CertificateNames(der: certificate.toDERBytes())
            let isAdmin = names.all.contains { admins.contains($0) }
            let address = channel.remoteAddress?.ipAddress.map { " (\($0))" } ?? ""
            return Requester("\(names)\(address)", role: isAdmin ? .admin : .reader)
        }
    }

    private func credentials(of channel: any Channel) async throws -> String {
        guard let socket = channel as? any SocketOptionProvider else {
            throw Failure("ask", "a client", because: "its connection is no socket", cure: nil)
        }
        let peer: linux_peer = try await socket.unsafeGetSocketOption(
            level: .socket, name: NIOBSDSocket.Option(rawValue: SO_PEERCRED)
        ).get()
        let name = Accounts.userName(of: peer.user).map { " \($0)" } ?? ""
        return "uid \(peer.user)\(name) (pid \(peer.process))"
    }
}

/// A request's connection.
struct Connection: RequestContext {
    var coreContext: CoreRequestContextStorage
    let channel: any Channel

    init(source: ApplicationRequestContextSource) {
        coreContext = CoreRequestContextStorage(source: source)
        channel = source.channel
    }
}
