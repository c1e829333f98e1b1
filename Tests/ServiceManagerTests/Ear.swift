import Foundation

/// The socket of a service manager.
final class Ear: Sendable {
    /// As NOTIFY_SOCKET has it.
    let name: String
    private let descriptor: Int32

    struct Deaf: Error { let code: Int32 }

    init(isAbstract: Bool = false) throws {
        let unique = "martlet-\(UUID().uuidString)"
        name = isAbstract ? "@\(unique)" : "/tmp/\(unique)"
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let path = Array(name.utf8)
        withUnsafeMutableBytes(of: &address.sun_path) {
            $0.copyBytes(from: path)
            if isAbstract { $0[0] = 0 }
        }
        let size = socklen_t(MemoryLayout<sa_family_t>.size + path.count)
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, size) }
        }
        guard result == 0 else { throw Deaf(code: errno) }
    }

    deinit {
        close(descriptor)
        unlink(name)
    }

    /// The next datagram; nil if none comes.
    ///
    /// It holds no thread meanwhile: whoever speaks may need one.
    func hear(within limit: Duration = .seconds(30)) async -> String? {
        let end = ContinuousClock.now + limit
        var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        while poll(&waiting, 1, 0) != 1 {
            guard ContinuousClock.now < end else { return nil }
            try? await Task.sleep(for: .milliseconds(1))
        }
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        return count < 0 ? nil : String(decoding: buffer[..<count], as: UTF8.self)
    }
}
