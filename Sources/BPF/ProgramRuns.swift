import CLibBPF

extension Program {
    /// How often the program ran, and how long in all, as far as the kernel counted: it does so
    /// while `kernel.bpf_stats_enabled` is 1.
    public struct Runs: Sendable, Hashable {
        public let count: UInt64
        public let nanoseconds: UInt64
    }

    /// `run_cnt` and `run_time_ns` of `bpf(BPF_OBJ_GET_INFO_BY_FD)`; nil: none were counted.
    public borrowing func runs() throws(Failure) -> Runs? {
        let information = try descriptor.information(initial: bpf_prog_info(), of: name)
        guard information.run_cnt > 0 else { return nil }
        return Runs(count: information.run_cnt, nanoseconds: information.run_time_ns)
    }
}
