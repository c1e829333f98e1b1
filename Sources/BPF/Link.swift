import CLibBPF
import Glibc

/// A program's attachment to an interface; unless it is pinned it ends when this value does.
public struct Link: ~Copyable, Sendable {
    let descriptor: Descriptor
    /// The interface that it was attached to.
    public let name: String

    init(descriptor: consuming Descriptor, name: String) {
        self.descriptor = descriptor
        self.name = name
    }

    /// Opens the attachment that is pinned at `path`.
    public init(pinnedAt path: String, name: String) throws(Failure) {
        self.init(descriptor: try Descriptor(pinnedAt: path), name: name)
    }

    /// Lets the attachment outlive this process: from here on only the pin's removal ends it.
    public borrowing func pin(at path: String) throws(Failure) { try descriptor.pin(at: path) }

    /// Puts `program` in the place of the present one, with no packet in between.
    ///
    /// `bpf(BPF_LINK_UPDATE)`
    public borrowing func update(to program: borrowing Program) throws(Failure) {
        let result = withOptions(bpf_link_update_opts.self, \.sz) { options in
            bpf_link_update(descriptor.number, program.descriptor.number, options)
        }
        try ask("replace program", "on \(name)") { result }
    }

    /// What is attached, and to which interface.
    public struct Attachment: Sendable, Equatable {
        /// The kernel's number of the link.
        public let id: UInt32
        /// The index of the interface; 0 once that is gone.
        public let interface: UInt32
        /// The kernel's number of the program.
        public let program: UInt32
    }

    /// What the kernel says of the attachment.
    public borrowing func attachment() throws(Failure) -> Attachment {
        let information = try descriptor.information(initial: bpf_link_info(), of: name)
        return Attachment(
            id: information.id, interface: information.xdp.ifindex, program: information.prog_id)
    }
}
