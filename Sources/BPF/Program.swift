import CLibBPF
import Glibc

/// A verified program in the kernel.
public struct Program: ~Copyable, Sendable {
    let descriptor: Descriptor
    /// The C function that it was compiled from.
    public let name: String

    init(descriptor: consuming Descriptor, name: String) {
        self.descriptor = descriptor
        self.name = name
    }

    /// Opens the program that is pinned at `path`.
    public init(pinnedAt path: String, name: String) throws(Failure) {
        self.init(descriptor: try Descriptor(pinnedAt: path), name: name)
    }

    /// Opens the program whose number is `id`: `bpf(BPF_PROG_GET_FD_BY_ID)`, which takes
    /// CAP_SYS_ADMIN.
    public init(id: UInt32, name: String) throws(Failure) {
        let result = bpf_prog_get_fd_by_id(id)
        let number = try ask("open program", "\(name) (id \(id))") { result }
        self.init(descriptor: Descriptor(owning: number), name: name)
    }

    /// Gives the program a name in the BPF file system.
    public borrowing func pin(at path: String) throws(Failure) { try descriptor.pin(at: path) }

    /// The kernel's number for it, as `bpftool prog` and `ip link` show it.
    public borrowing func id() throws(Failure) -> UInt32 {
        try descriptor.information(initial: bpf_prog_info(), of: name).id
    }

    /// The kernel's numbers of the maps that it uses.
    public borrowing func mapIDs() throws(Failure) -> [UInt32] {
        let count = try descriptor.information(initial: bpf_prog_info(), of: name).nr_map_ids
        var ids = [UInt32](repeating: 0, count: Int(count))
        let written = try ids.withUnsafeMutableBufferPointer {
            ids throws(Failure) -> UInt32 in
            var request = bpf_prog_info()
            request.nr_map_ids = count
            request.map_ids = UInt64(UInt(bitPattern: ids.baseAddress))
            return try descriptor.information(initial: request, of: name).nr_map_ids
        }
        return Array(ids.prefix(Int(written)))
    }

    /// What a program made of a packet.
    public struct Result: Sendable {
        /// `XDP_PASS`, `XDP_TX` and their like.
        public let action: UInt32
        /// The packet as the program left it.
        public let packet: [UInt8]
        /// How long one run took, on average over the repetitions.
        public let duration: Duration
    }

    /// Runs the program on `packet` without any network: `bpf(BPF_PROG_TEST_RUN)`.
    ///
    /// - Parameters:
    ///   - packet: A whole frame; the kernel refuses less than an Ethernet header.
    ///   - ingress: The index of the interface that it seems to come from; nil: the loopback's.
    ///   - metadata: How many of the first bytes are metadata and not frame: they narrow the room
    ///     before the frame.
    public borrowing func run(
        on packet: [UInt8], from ingress: UInt32? = nil, metadata: Int = 0,
        repeating count: Int32 = 1
    ) throws(Failure) -> Result {
        // Room for the most an XDP program can prepend.
        var output = [UInt8](repeating: 0, count: packet.count + 256)
        var context = xdp_md()
        context.data = UInt32(metadata)
        context.data_end = UInt32(packet.count)
        context.ingress_ifindex = ingress ?? 0
        let (result, told) = packet.withUnsafeBytes { packet in
            output.withUnsafeMutableBytes { output in
                withUnsafePointer(to: &context) { context in
                    withOptions(bpf_test_run_opts.self, \.sz) { options in
                        options.pointee.repeat = count
                        options.pointee.data_in = packet.baseAddress
                        options.pointee.data_size_in = UInt32(packet.count)
                        options.pointee.data_out = output.baseAddress
                        options.pointee.data_size_out = UInt32(output.count)
                        if ingress != nil || metadata > 0 {
                            options.pointee.ctx_in = UnsafeRawPointer(context)
                            options.pointee.ctx_size_in = UInt32(MemoryLayout<xdp_md>.size)
                        }
                        return (bpf_prog_test_run_opts(descriptor.number, options), options.pointee)
                    }
                }
            }
        }
        try ask("run program", name) { result }
        output.removeLast(output.count - Int(told.data_size_out))
        return Result(
            action: told.retval, packet: output, duration: .nanoseconds(Int64(told.duration)))
    }

    /// Runs the program on so many copies of `packet`, and does with each what it says: the frames
    /// are real, and redirected they leave: `BPF_F_TEST_XDP_LIVE_FRAMES`.
    ///
    /// - Parameter batch: How many frames are on their way before the interfaces are told.
    public borrowing func send(
        _ packet: [UInt8], count: Int32, batch: UInt32
    ) throws(Failure) {
        let result = packet.withUnsafeBytes { packet in
            withOptions(bpf_test_run_opts.self, \.sz) { options in
                options.pointee.flags = UInt32(BPF_F_TEST_XDP_LIVE_FRAMES)
                options.pointee.repeat = count
                options.pointee.batch_size = batch
                options.pointee.data_in = packet.baseAddress
                options.pointee.data_size_in = UInt32(packet.count)
                return bpf_prog_test_run_opts(descriptor.number, options)
            }
        }
        try ask("send frames by program", name) { result }
    }

    /// Attaches the program to the XDP hook of the interface: `bpf(BPF_LINK_CREATE)`.
    ///
    /// The attachment lasts as long as the link, or its pin, does.
    public borrowing func attach(
        toInterface index: UInt32, named interface: String, mode: XDPMode
    ) throws(Failure) -> Link {
        let result = withOptions(bpf_link_create_opts.self, \.sz) { options in
            options.pointee.flags = mode.rawValue
            return bpf_link_create(descriptor.number, Int32(index), BPF_XDP, options)
        }
        let number = try ask("attach program", "\(name) to \(interface)") { result }
        return Link(descriptor: Descriptor(owning: number), name: interface)
    }
}

/// Where in the receive path an XDP program runs: `XDP_FLAGS_…_MODE`.
public enum XDPMode: UInt32, Sendable {
    /// In the stack, after the kernel has allocated its socket buffer.
    case generic = 2
    /// In the driver, before the kernel has seen the packet.
    case native = 4
}
