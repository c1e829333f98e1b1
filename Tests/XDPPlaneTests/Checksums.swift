import Packets

/// The frame with the right checksum in its TCP or UDP header (RFC 9293 §3.1, RFC 768); no tags, no
/// options, no extension headers.
func checksummed(_ frame: [UInt8]) -> [UInt8] {
    var frame = frame
    let position = checksumPosition(frame)
    frame.replaceSubrange(position..<position + 2, with: [0, 0])
    var sum = Frame.words(internetChecksum(pseudoHeader(frame) + segment(frame)))
    if sum == [0, 0] { sum = [0xFF, 0xFF] }
    frame.replaceSubrange(position..<position + 2, with: sum)
    return frame
}

/// Whether the checksums of the IPv4 header and of TCP or UDP are those of the frame.
func hasRightChecksums(_ frame: [UInt8]) -> Bool {
    let isHeaderRight =
        frame[14] >> 4 == 6 || internetChecksum(Array(frame.dropFirst(14).prefix(20))) == 0
    return isHeaderRight && internetChecksum(pseudoHeader(frame) + segment(frame)) == 0
}

/// Addresses and ports of a frame, and how long it has to live.
struct Ends: Equatable {
    var source: IPAddress?
    var destination: IPAddress?
    var sourcePort: UInt16
    var destinationPort: UInt16
    var ttl: UInt8

    init(_ frame: [UInt8]) {
        let packet = Array(frame.dropFirst(14))
        let isV4 = packet[0] >> 4 == 4
        source = IPAddress(bytes: Array(isV4 ? packet[12..<16] : packet[8..<24]))
        destination = IPAddress(bytes: Array(isV4 ? packet[16..<20] : packet[24..<40]))
        let ports = segment(frame).prefix(4).map(UInt16.init)
        sourcePort = ports[0] << 8 | ports[1]
        destinationPort = ports[2] << 8 | ports[3]
        ttl = packet[isV4 ? 8 : 7]
    }

    init(
        _ source: String, _ sourcePort: UInt16, _ destination: String, _ destinationPort: UInt16,
        ttl: UInt8
    ) {
        self.source = IPAddress(source)
        self.destination = IPAddress(destination)
        self.sourcePort = sourcePort
        self.destinationPort = destinationPort
        self.ttl = ttl
    }
}

private func headerBytes(_ frame: [UInt8]) -> Int { frame[14] >> 4 == 4 ? 20 : 40 }

private func transport(_ frame: [UInt8]) -> UInt8 { frame[14] >> 4 == 4 ? frame[23] : frame[20] }

private func checksumPosition(_ frame: [UInt8]) -> Int {
    14 + headerBytes(frame) + (transport(frame) == 6 ? 16 : 6)
}

private func segment(_ frame: [UInt8]) -> [UInt8] {
    Array(frame.dropFirst(14 + headerBytes(frame)))
}

/// RFC 9293 §3.1, RFC 8200 §8.1; the order of the fields does not matter to the sum.
private func pseudoHeader(_ frame: [UInt8]) -> [UInt8] {
    let addresses = frame[14] >> 4 == 4 ? frame[26..<34] : frame[22..<54]
    return addresses + [0, transport(frame)] + Frame.words(UInt16(segment(frame).count))
}
