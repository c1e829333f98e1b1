import CLibBPF
import CLinux

/// How many CPUs the machine may ever have: per-CPU maps have as many values under each key.
public func possibleCPUCount() throws(Failure) -> Int {
    try Int(ask("count", "CPUs") { libbpf_num_possible_cpus() })
}

/// Runs `body` on this CPU; where it happens to run, if the CPU is off or we may not use it.
///
/// Nothing may be awaited in it: the CPU is the thread's. `sched_setaffinity(2)`
public func onCPU<Result>(
    _ cpu: Int, _ body: () throws(Failure) -> Result
) throws(Failure) -> Result {
    var before = linux_cpus()
    guard linux_get_cpus(&before) == 0 else { return try body() }
    var only = linux_cpus()
    withUnsafeMutableBytes(of: &only) { $0[cpu / 8] |= 1 << UInt8(cpu % 8) }
    let isThere = linux_set_cpus(&only) == 0
    defer { if isThere { _ = linux_set_cpus(&before) } }
    return try body()
}
