import NIOCore

/// So many bytes in pieces, every time the same; no two pieces are alike.
///
/// A piece begins with its number, so that one that is lost, doubled or out of place shows in a
/// digest of the whole.
func filler(bytes: Int) -> some Sequence<ByteBuffer> {
    stride(from: 0, to: bytes, by: noise.readableBytes).lazy.map { start in
        var piece = noise
        piece.setInteger(UInt64(start / noise.readableBytes), at: piece.readerIndex)
        return piece.getSlice(
            at: piece.readerIndex, length: min(piece.readableBytes, bytes - start)) ?? ByteBuffer()
    }
}

/// 64 KiB without a pattern: the high halves of a linear congruential sequence (Knuth's MMIX).
private let noise: ByteBuffer = {
    var state: UInt64 = 1
    var bytes = ByteBuffer()
    for _ in 0..<65536 / 4 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        bytes.writeInteger(UInt32(truncatingIfNeeded: state >> 32))
    }
    return bytes
}()
