import Glibc

/// Lends a libbpf options struct whose bytes are all 0, those that pad it too, but for its size.
///
/// libbpf refuses options with a byte set that it does not know, and it does not know padding.
/// A struct that Swift makes has whatever was there before in its padding: an optimised build
/// failed with `EINVAL` where a debug build did not.
func withOptions<Options, Result>(
    _: Options.Type, _ size: WritableKeyPath<Options, Int>,
    _ body: (UnsafeMutablePointer<Options>) -> Result
) -> Result {
    withUnsafeTemporaryAllocation(of: Options.self, capacity: 1) { buffer in
        let options = buffer.baseAddress.unsafelyUnwrapped
        memset(options, 0, MemoryLayout<Options>.size)
        options.pointee[keyPath: size] = MemoryLayout<Options>.size
        return body(options)
    }
}
