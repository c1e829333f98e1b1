import CLibBPF
import Glibc

/// The place on an interface where an XDP program can be.
public struct XDPHook: Sendable, Hashable {
    /// The interface's name.
    public let interface: String
    /// The kernel's number for the interface.
    public let index: UInt32

    /// Looks the interface up by its name, in the calling thread's network namespace.
    public init(on interface: String) throws(Failure) {
        self = try Self.all(on: [interface])[0]
    }

    private init(_ interface: String, _ index: UInt32) {
        self.interface = interface
        self.index = index
    }

    /// Looks all of the interfaces up; the error names each that is missing.
    public static func all(on interfaces: [String]) throws(Failure) -> [XDPHook] {
        let hooks = interfaces.map { XDPHook($0, if_nametoindex($0)) }
        let missing = hooks.filter { $0.index == 0 }.map(\.interface)
        guard missing.isEmpty else {
            throw Failure(
                missing.count == 1 ? "find interface" : "find interfaces",
                missing.joined(separator: ", "), code: ENODEV,
                cure: "this machine has: \(interfaceNames().joined(separator: ", "))")
        }
        return hooks
    }

    /// What is there.
    public struct Occupant: Sendable, Hashable {
        public let mode: XDPMode
        /// The kernel's number of the program.
        public let program: UInt32
    }

    /// The program on the hook, if there is one: `RTM_GETLINK`, `IFLA_XDP`.
    public func occupant() throws(Failure) -> Occupant? {
        let (result, native, generic) = withOptions(bpf_xdp_query_opts.self, \.sz) { options in
            let result = bpf_xdp_query(Int32(index), 0, options)
            return (result, options.pointee.drv_prog_id, options.pointee.skb_prog_id)
        }
        try ask("ask for the XDP program of", interface) { result }
        if native != 0 { return Occupant(mode: .native, program: native) }
        if generic != 0 { return Occupant(mode: .generic, program: generic) }
        return nil
    }

    private static func interfaceNames() -> [String] {
        guard let list = if_nameindex() else { return [] }
        defer { if_freenameindex(list) }
        var names: [String] = []
        var entry = list
        while let name = entry.pointee.if_name {
            names.append(String(cString: name))
            entry += 1
        }
        return names
    }
}
