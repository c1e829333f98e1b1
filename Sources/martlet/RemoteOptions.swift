import API
import ArgumentParser
import Logging

/// Where changes are written down.
struct AuditOption: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The file in which every change is written down; audit.log beside the "
                + "state if it is missing.", valueName: "file"),
        completion: .file())
    var auditLog: String?

    func log(beside state: String, _ logger: Logger) throws(Failure) -> AuditLog {
        let slash = state.lastIndex(of: "/").map { state.index(after: $0) } ?? state.startIndex
        return try AuditLog(at: auditLog ?? state[..<slash] + "audit.log", logger: logger)
    }
}

/// The API over TCP, with TLS and certificates on both sides; or not at all.
struct RemoteOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Serve the API at this address with TLS, too, for clients with a certificate.",
            valueName: "address:port"))
    var listen: String?
    @Option(
        help: ArgumentHelp("The certificate for that, in PEM.", valueName: "file"),
        completion: .file())
    var tlsCertificate: String?
    @Option(
        help: ArgumentHelp("Its key, in PEM.", valueName: "file"), completion: .file())
    var tlsKey: String?
    @Option(
        name: .customLong("tls-client-ca"),
        help: ArgumentHelp(
            "Who may have signed the certificates of clients, in PEM; several times: any of them.",
            valueName: "file"), completion: .file())
    var tlsClientAuthorities: [String] = []
    @Option(
        name: .customLong("admin"),
        help: ArgumentHelp(
            "A name in the certificate of a client who may change things; others only read.",
            valueName: "name"))
    var admins: [String] = []

    func validate() throws {
        if listen == nil {
            let isVain =
                tlsCertificate != nil || tlsKey != nil || !tlsClientAuthorities.isEmpty
                || !admins.isEmpty
            if isVain {
                throw ValidationError("--tls-… and --admin mean nothing without --listen")
            }
        } else if tlsCertificate == nil || tlsKey == nil || tlsClientAuthorities.isEmpty {
            throw ValidationError(
                "--listen needs --tls-certificate, --tls-key and --tls-client-ca: there is no API "
                    + "over TCP without certificates on both sides")
        }
    }

    /// Nil: it was not asked for.
    func access() throws(Failure) -> RemoteAccess? {
        guard let listen, let tlsCertificate, let tlsKey else { return nil }
        return try RemoteAccess(
            listeningAt: listen, certificate: tlsCertificate, key: tlsKey,
            authorities: tlsClientAuthorities, admins: admins)
    }
}
