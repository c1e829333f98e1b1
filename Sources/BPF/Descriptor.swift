import CLibBPF
import Glibc

/// The one owner of a kernel object: a file descriptor that closes itself.
///
/// Programs, maps and links differ in what can be asked of them, never in how they are owned.
struct Descriptor: ~Copyable {
    let number: Int32

    /// Takes ownership of `number`.
    init(owning number: Int32) {
        precondition(number >= 0, "a descriptor is never negative")
        self.number = number
    }

    /// Owns a duplicate of `number`, which stays with its present owner.
    init(duplicating number: Int32, of subject: String) throws(Failure) {
        let copy = fcntl(number, F_DUPFD_CLOEXEC, 3)
        guard copy >= 0 else { throw Failure("duplicate descriptor of", subject, code: errno) }
        self.number = copy
    }

    /// Opens what is pinned at `path`: `bpf(BPF_OBJ_GET)`.
    init(pinnedAt path: String) throws(Failure) {
        let result = bpf_obj_get(path)
        self.number = try ask("open pinned object", path) { result }
    }

    /// Gives the object a name in the BPF file system, which keeps it alive: `bpf(BPF_OBJ_PIN)`.
    borrowing func pin(at path: String) throws(Failure) {
        let result = bpf_obj_pin(number, path)
        try ask("pin", path) { result }
    }

    /// What the kernel says of the object: `bpf(BPF_OBJ_GET_INFO_BY_FD)`.
    borrowing func information<Information>(
        initial: Information, of subject: String
    ) throws(Failure) -> Information {
        var information = initial
        var size = UInt32(MemoryLayout<Information>.size)
        let result = withUnsafeMutableBytes(of: &information) {
            bpf_obj_get_info_by_fd(number, $0.baseAddress, &size)
        }
        try ask("ask about", subject) { result }
        return information
    }

    deinit {
        // EBADF here means two owners: a bug worth stopping for.
        let result = close(number)
        precondition(result == 0 || errno != EBADF, "descriptor \(number) closed twice")
    }
}
