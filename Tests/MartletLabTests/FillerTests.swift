import NIOCore
import Testing

@testable import martlet_lab

/// The bytes that a server makes up.
struct FillerTests {
    @Test(arguments: [0, 1, 65535, 65536, 65537, 200_000])
    func `there are as many bytes as asked for, every time the same`(count: Int) {
        let pieces = Array(filler(bytes: count))
        #expect(pieces.map(\.readableBytes).reduce(0, +) == count)
        #expect(pieces == Array(filler(bytes: count)))
    }

    @Test func `no piece is like another, and all are small`() {
        let pieces = Array(filler(bytes: 50 * 65536))
        #expect(Set(pieces).count == 50)
        #expect(pieces.allSatisfy { $0.readableBytes == 65536 })
    }
}
