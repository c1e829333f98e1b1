import Glibc
import NIOSSL
import Packets

/// The API over TCP: TLS only, and only for clients with a certificate.
///
/// There is no value of this type without all that is needed for it.
public struct RemoteAccess: Sendable {
    let host: String
    let port: Int
    let admins: Set<String>
    let tls: TLSConfiguration
    /// For tests: the port, once it is open.
    var whenServing: @Sendable (Int) -> Void = { _ in }

    /// Reads what TLS needs.
    ///
    /// - Parameters:
    ///   - address: `192.0.2.1:7443`, `[2001:db8::1]:7443`
    ///   - certificate: A file in PEM, the server's certificate first, then those between it and
    ///     its authority.
    ///   - key: A file in PEM.
    ///   - authorities: Files in PEM: those that may have signed a client's certificate.
    ///   - admins: Names of subjects, common or alternative; others only read.
    /// - Throws: ``Failure`` with all that is wrong.
    public init(
        listeningAt address: String, certificate: String, key: String, authorities: [String],
        admins: [String]
    ) throws(Failure) {
        var failures: [Failure] = []
        func attempt<Value>(_ read: () throws(Failure) -> Value) -> Value? {
            do throws(Failure) { return try read() } catch {
                failures.append(error)
                return nil
            }
        }
        let place = attempt { () throws(Failure) in try endpoint(address) }
        let chain = attempt { () throws(Failure) in try certificates(certificate) }
        let privateKey = attempt { () throws(Failure) in try readKey(key) }
        let roots = authorities.flatMap { path in
            attempt { () throws(Failure) in try certificates(path) } ?? []
        }
        if authorities.isEmpty { failures.append(noAuthority) }
        guard let place, let chain, let privateKey, failures.isEmpty else {
            throw Failure(all: failures)
        }
        (host, port) = place
        self.admins = Set(admins)
        tls = configuration(chain, privateKey, roots)
        // A key of another certificate shows only here.
        do { _ = try NIOSSLContext(configuration: tls) } catch {
            throw Failure(
                "use", key, because: "it is not the key of \(certificate)",
                cure: "give the certificate that was made for this key")
        }
    }

    var address: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

private let noAuthority = Failure(
    "serve the API over TCP", "to anybody", because: "no client's certificate could be verified",
    cure: "name the authorities that sign them with `--tls-client-ca`")

private func configuration(
    _ chain: [NIOSSLCertificate], _ key: NIOSSLPrivateKey, _ roots: [NIOSSLCertificate]
) -> TLSConfiguration {
    var tls = TLSConfiguration.makeServerConfiguration(
        certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
    // RFC 9325, 3.1.1: nothing older.
    tls.minimumTLSVersion = .tlsv12
    tls.trustRoots = .certificates(roots)
    // Clients have no host name that could be looked at; without a certificate nobody comes in.
    tls.certificateVerification = .noHostnameVerification
    tls.applicationProtocols = ["http/1.1"]
    return tls
}

private func endpoint(_ text: String) throws(Failure) -> (String, Int) {
    let colon = text.lastIndex(of: ":") ?? text.endIndex
    let bare = text[..<colon]
    let isInBrackets = bare.hasPrefix("[") && bare.hasSuffix("]")
    let address = IPAddress(String(isInBrackets ? bare.dropFirst().dropLast() : bare))
    guard let address, isInBrackets == (address.family == .v6),
        let port = UInt16(text[colon...].dropFirst())
    else {
        throw Failure(
            "listen at", text, because: "it is no address with a port",
            cure: "write it like 192.0.2.1:7443 or [2001:db8::1]:7443")
    }
    return ("\(address)", Int(port))
}

private func certificates(_ path: String) throws(Failure) -> [NIOSSLCertificate] {
    try checkReadable(path)
    guard let found = try? NIOSSLCertificate.fromPEMFile(path), !found.isEmpty else {
        throw Failure(
            "read certificates of", path, because: "there are none in PEM",
            cure: "give a file with lines like -----BEGIN CERTIFICATE-----")
    }
    return found
}

private func readKey(_ path: String) throws(Failure) -> NIOSSLPrivateKey {
    try checkReadable(path)
    do { return try NIOSSLPrivateKey(file: path, format: .pem) } catch {
        throw Failure(
            "read the key of", path, because: "there is none in PEM without a password",
            cure: "give a file with a line like -----BEGIN PRIVATE KEY-----")
    }
}

private func checkReadable(_ path: String) throws(Failure) {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
        throw Failure(
            "open", path, code: errno,
            cure: errno == EACCES
                ? "let the user of the controller read it" : "give the path of a file that exists")
    }
    close(descriptor)
}
