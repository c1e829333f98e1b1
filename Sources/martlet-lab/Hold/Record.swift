/// What a held flow sends again and again: its own number and that of the record.
///
/// The server answers with its name, a line feed and the record, over TCP as over UDP.
struct Record: Hashable, Sendable {
    /// Of the flow, as its client counts them.
    let flow: UInt64
    /// Of the record in its flow, counted from 1.
    let number: UInt64

    /// How many bytes a record has.
    static let size = 16

    init(flow: UInt64, number: UInt64) {
        self.flow = flow
        self.number = number
    }

    /// Reads the ``size`` bytes of a record.
    init(_ bytes: ArraySlice<UInt8>) {
        let middle = bytes.startIndex + 8
        flow = bytes[..<middle].reduce(0) { $0 << 8 | UInt64($1) }
        number = bytes[middle...].reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// The record on its way: both numbers with the highest byte first.
    var bytes: [UInt8] {
        [flow, number].flatMap { number in
            (0..<8).map { UInt8(truncatingIfNeeded: number >> (56 - 8 * $0)) }
        }
    }
}

/// A record that came back, with the name of who sent it.
struct RecordAnswer: Hashable, Sendable {
    let backend: String
    let record: Record
    /// How many bytes it took.
    let size: Int

    /// Reads the answer that `bytes` begin with; nil if its end has not come yet.
    init?(_ bytes: [UInt8]) {
        guard let end = bytes.firstIndex(of: UInt8(ascii: "\n")),
            bytes.count - end > Record.size
        else { return nil }
        backend = String(decoding: bytes[..<end], as: UTF8.self)
        record = Record(bytes[(end + 1)..<(end + 1 + Record.size)])
        size = end + 1 + Record.size
    }
}
