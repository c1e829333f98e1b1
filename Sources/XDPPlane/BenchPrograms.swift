package import BPF

/// The programs of the benchmark: bpf/src/bench.bpf.c.
package func loadBenchPrograms() throws(Failure) -> Object {
    let image = decodeBase64(Images.bench)
    return try ObjectFile(named: "bench", image: image.span).load()
}
