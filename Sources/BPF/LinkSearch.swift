import CLibBPF
import Glibc

extension XDPHook {
    /// The kernel's number of the link that holds `occupant` on the hook; nil: none does, it was
    /// put there by a request without a link, as `ip link` makes it.
    ///
    /// `bpf(BPF_LINK_GET_NEXT_ID)`, `bpf(BPF_LINK_GET_FD_BY_ID)`: both take CAP_SYS_ADMIN.
    public func link(holding occupant: Occupant) throws(Failure) -> UInt32? {
        var id: UInt32 = 0
        while true {
            let result = bpf_link_get_next_id(id, &id)
            if result == -ENOENT { return nil }
            try ask("list", "links") { result }
            let number = bpf_link_get_fd_by_id(id)
            // It may have gone since.
            guard number >= 0 else { continue }
            let information = try Descriptor(owning: number)
                .information(initial: bpf_link_info(), of: "link \(id)")
            // The index alone means nothing: a link of another network may have the same.
            if information.type == BPF_LINK_TYPE_XDP.rawValue,
                information.xdp.ifindex == index, information.prog_id == occupant.program
            {
                return id
            }
        }
    }
}
