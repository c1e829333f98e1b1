import Glibc

/// The one owner of a file descriptor, which closes itself and which no program inherits.
struct Descriptor: ~Copyable, Sendable {
    let number: Int32

    /// Takes ownership of `number`.
    init(owning number: Int32) { self.number = number }

    deinit { close(number) }
}

/// A stream between us and a program: what is written to one end is read from the other.
///
/// A pair of sockets and no pipe, for `socketpair` marks both ends close-on-exec at birth, and
/// Swift's Glibc hides `pipe2`. Were an end inherited by a program that another thread starts at
/// that moment, the stream would not end when its owner does. One difference can be seen inside:
/// a socket can't be opened by name, so `/dev/stdout` is refused (ENXIO).
struct ProgramStream: ~Copyable {
    /// Our end.
    let near: Descriptor
    /// The program's end.
    let far: Descriptor

    init() throws(Failure) {
        var ends: [Int32] = [-1, -1]
        let kind = SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue
        guard socketpair(AF_UNIX, Int32(kind), 0, &ends) == 0 else {
            throw Failure("make a stream", code: errno)
        }
        near = Descriptor(owning: ends[0])
        far = Descriptor(owning: ends[1])
    }

    /// Gives up the program's end, so that the stream ends with the program.
    consuming func keepingNear() -> Descriptor { near }
}
