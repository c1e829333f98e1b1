import CLinux

/// A message from the kernel.
package struct Message: Equatable, Sendable {
    package let type: Int
    package let flags: Int32
    /// The sequence number of the request that it answers; 0: nobody asked.
    package let sequence: UInt32
    /// The port (`nl_pid`) of the socket whose request it answers; 0: nobody asked.
    package let port: UInt32
    /// What follows the header.
    package let body: ArraySlice<UInt8>

    /// The fixed part at the start of the body.
    package func fixed<Fixed: BitwiseCopyable>(
        _ type: Fixed.Type
    ) throws(Malformed) -> Fixed {
        if let fixed = read(type, from: body) { return fixed }
        throw Malformed(reason: "a message of type \(self.type) has only \(body.count) bytes")
    }

    /// The attributes behind a fixed part of `size` bytes.
    package func attributes(after size: Int) throws(Malformed) -> Attributes {
        try Attributes(body.dropFirst(aligned(size)))
    }

    /// The attributes behind the fixed part `Fixed`.
    package func attributes<Fixed: BitwiseCopyable>(
        after _: Fixed.Type
    ) throws(Malformed) -> Attributes {
        try attributes(after: MemoryLayout<Fixed>.size)
    }

    /// The messages of a datagram.
    package static func split(_ datagram: [UInt8]) throws(Malformed) -> [Message] {
        var messages: [Message] = []
        var rest = datagram[...]
        while !rest.isEmpty {
            guard let header = read(nlmsghdr.self, from: rest) else {
                throw Malformed(reason: "\(rest.count) bytes are too few for a message")
            }
            let length = Int(header.nlmsg_len)
            guard length >= MemoryLayout<nlmsghdr>.size, length <= rest.count else {
                throw Malformed(
                    reason: "a message in \(rest.count) bytes says it has \(length)")
            }
            messages.append(
                Message(
                    type: Int(header.nlmsg_type), flags: Int32(header.nlmsg_flags),
                    sequence: header.nlmsg_seq, port: header.nlmsg_pid,
                    body: rest.prefix(length).dropFirst(MemoryLayout<nlmsghdr>.size)))
            rest = rest.dropFirst(aligned(length))
        }
        return messages
    }
}
