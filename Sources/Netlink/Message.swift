import CLinux

/// A message to the kernel, built front to back: header, fixed part, attributes (RFC 3549 §2.2).
struct Request {
    private(set) var bytes: [UInt8]

    /// A message of `type` whose fixed part is the C struct `fixed`.
    init(type: Int, flags: Int, sequence: UInt32, fixed: some BitwiseCopyable) {
        var header = nlmsghdr()
        header.nlmsg_type = UInt16(type)
        header.nlmsg_flags = UInt16(flags)
        header.nlmsg_seq = sequence
        bytes = rawBytes(header) + rawBytes(fixed)
        finish()
    }

    /// Appends an attribute with `payload`, padded to four bytes.
    mutating func append(attribute type: Int, _ payload: [UInt8]) {
        var header = rtattr()
        header.rta_type = UInt16(type)
        header.rta_len = UInt16(MemoryLayout<rtattr>.size + payload.count)
        bytes += rawBytes(header) + payload
        bytes += Array(repeating: 0, count: padding(bytes.count))
        finish()
    }

    private mutating func finish() {
        let length = rawBytes(UInt32(bytes.count))
        bytes.replaceSubrange(0..<length.count, with: length)
    }
}

/// A message from the kernel.
struct Message: Equatable {
    let type: Int
    let flags: Int
    let sequence: UInt32
    /// What follows the header.
    let body: [UInt8]

    /// The fixed part at the start of the body; nil if the body is shorter.
    func fixed<Fixed: BitwiseCopyable>(_ type: Fixed.Type) -> Fixed? { read(type, from: body[...]) }

    /// The attributes behind a fixed part of `type`. A length that lies ends the list.
    func attributes<Fixed: BitwiseCopyable>(after type: Fixed.Type) -> Attributes {
        let start = MemoryLayout<Fixed>.size + padding(MemoryLayout<Fixed>.size)
        return Attributes(body.dropFirst(start))
    }

    /// Splits what one read gave into messages; nil if a length lies.
    static func split(_ datagram: [UInt8]) -> [Message]? {
        var messages: [Message] = []
        var rest = datagram[...]
        while let header = read(nlmsghdr.self, from: rest) {
            let length = Int(header.nlmsg_len)
            guard length >= MemoryLayout<nlmsghdr>.size, length <= rest.count else { return nil }
            messages.append(
                Message(
                    type: Int(header.nlmsg_type), flags: Int(header.nlmsg_flags),
                    sequence: header.nlmsg_seq,
                    body: Array(rest.prefix(length).dropFirst(MemoryLayout<nlmsghdr>.size))))
            rest = rest.dropFirst(length + padding(length))
        }
        return messages
    }
}

/// The attributes of a message, by type; of several of one type the last.
struct Attributes: Equatable {
    private var payloads: [Int: ArraySlice<UInt8>] = [:]

    init(_ bytes: ArraySlice<UInt8>) {
        var rest = bytes
        while let header = read(rtattr.self, from: rest) {
            let length = Int(header.rta_len)
            guard length >= MemoryLayout<rtattr>.size, length <= rest.count else { return }
            // The two upper bits are flags: nested, network byte order.
            payloads[Int(header.rta_type & 0x3FFF)] =
                rest.prefix(length).dropFirst(MemoryLayout<rtattr>.size)
            rest = rest.dropFirst(length + padding(length))
        }
    }

    /// The payload of the attribute `type`; nil if there is none.
    func bytes(_ type: Int) -> ArraySlice<UInt8>? { payloads[type] }

    /// The integer that the attribute `type` holds; nil if there is none or it is too short.
    func integer<Integer: FixedWidthInteger & BitwiseCopyable>(
        _ type: Int, as _: Integer.Type = Integer.self
    ) -> Integer? {
        payloads[type].flatMap { read(Integer.self, from: $0) }
    }

    /// The text that the attribute `type` holds, without its final zero.
    func text(_ type: Int) -> String? {
        payloads[type].map { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }

    /// The attributes that the attribute `type` holds.
    func nested(_ type: Int) -> Attributes? { payloads[type].map { Attributes($0) } }
}

/// How many bytes are missing to a multiple of four: `NLMSG_ALIGN`, `RTA_ALIGN`.
private func padding(_ count: Int) -> Int { (4 - count % 4) % 4 }

func rawBytes(_ value: some BitwiseCopyable) -> [UInt8] { withUnsafeBytes(of: value) { Array($0) } }

private func read<Value: BitwiseCopyable>(
    _ type: Value.Type, from bytes: ArraySlice<UInt8>
) -> Value? {
    guard bytes.count >= MemoryLayout<Value>.size else { return nil }
    return bytes.withUnsafeBytes { $0.loadUnaligned(as: type) }
}
