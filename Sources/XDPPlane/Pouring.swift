import BPF

/// Adds the counters of one per-CPU map to those of another, and leaves 0 where it took them.
///
/// Packets may be counted in the new map meanwhile, not in the old one. Done again it adds nothing
/// twice. On each CPU a program does it, for only there nobody else can write the CPU's counters.
func pour(_ old: RawMap, into new: RawMap) throws(Failure) {
    let image = decodeBase64(Images.pour)
    let file = try ObjectFile(named: "pour", image: image.span)
    try file.reuse(old, as: "from")
    try file.reuse(new, as: "into")
    let words = UInt32(min(old.shape.stride, new.shape.stride) / 8)
    try file.setConstants(bytes([words]))
    let program = try file.load().program(named: "martlet_pour")
    let count = min(old.shape.capacity, new.shape.capacity)
    for cpu in 0..<(try possibleCPUCount()) {
        try onCPU(cpu) { () throws(Failure) in
            for first in stride(from: 0, to: count, by: portion) {
                let request = bytes([cpu, first, min(portion, count - first), 0].map(UInt32.init))
                let result = try program.run(on: request)
                guard result.action == dropped else {
                    throw Failure(
                        "pour counters of", old.name, because: "an entry is missing", cure: nil)
                }
            }
        }
    }
}

/// So many entries in one go take some ten microseconds, in which the CPU takes no packet.
private let portion = 512

/// `XDP_DROP`
private let dropped: UInt32 = 1

private func bytes(_ words: [UInt32]) -> [UInt8] {
    words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) } }
}
