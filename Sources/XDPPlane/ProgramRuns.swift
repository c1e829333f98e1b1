public import BPF

extension Attachments {
    /// How often the pinned program ran, and how long in all; nil: the kernel does not count it
    /// (`kernel.bpf_stats_enabled`), or there is none.
    public func programRuns() throws(Failure) -> Program.Runs? {
        guard try haveProgram() else { return nil }
        return try Program(pinnedAt: pins.path(of: programPin), name: "martlet").runs()
    }
}
