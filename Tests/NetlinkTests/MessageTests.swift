import CLinux
import Testing

@testable import Netlink

/// What goes to the kernel and what comes from it, byte by byte; the numbers are those of a
/// little-endian machine.
struct MessageTests {
    @Test func `a request is a header, a fixed part and padded attributes`() {
        var fixed = ndmsg()
        fixed.ndm_family = 2
        fixed.ndm_ifindex = 7
        fixed.ndm_flags = 1
        var request = Request(type: 28, flags: 0x400, fixed: fixed)
        request.append(1, bytes: [10, 0, 0, 2])
        request.append(3, text: "eth1")
        request.append(9, integer: UInt16(0x1234))
        let expected: [UInt8] = [
            0x38, 0x00, 0x00, 0x00,  // length: 56
            0x1C, 0x00,  // type: RTM_NEWNEIGH
            0x05, 0x04,  // flags: NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE
            0x2A, 0x00, 0x00, 0x00,  // sequence: 42
            0x00, 0x00, 0x00, 0x00,  // port: the kernel fills it in
            0x02, 0x00, 0x00, 0x00,  // family: AF_INET, padding
            0x07, 0x00, 0x00, 0x00,  // interface: 7
            0x00, 0x00, 0x01, 0x00,  // state, flags: NTF_USE, type
            0x08, 0x00, 0x01, 0x00,  // attribute: 8 bytes, NDA_DST
            0x0A, 0x00, 0x00, 0x02,  // 10.0.0.2
            0x09, 0x00, 0x03, 0x00,  // attribute: 9 bytes, type 3
            0x65, 0x74, 0x68, 0x31,  // "eth1"
            0x00, 0x00, 0x00, 0x00,  // its final zero, padding
            0x06, 0x00, 0x09, 0x00,  // attribute: 6 bytes, type 9
            0x34, 0x12, 0x00, 0x00,  // 0x1234, padding
        ]
        #expect(request.bytes(sequence: 42) == expected)
    }

    @Test func `a dump asks for no acknowledgement: it has an end of its own`() {
        let request = Request(type: 18, isDump: true, fixed: ifinfomsg())
        let expected: [UInt8] = [
            0x20, 0x00, 0x00, 0x00,  // length: 32
            0x12, 0x00,  // type: RTM_GETLINK
            0x01, 0x03,  // flags: NLM_F_REQUEST | NLM_F_DUMP
            0x01, 0x00, 0x00, 0x00,  // sequence: 1
            0x00, 0x00, 0x00, 0x00,  // port
            0x00, 0x00, 0x00, 0x00,  // family, padding, type of device
            0x00, 0x00, 0x00, 0x00,  // interface
            0x00, 0x00, 0x00, 0x00,  // flags
            0x00, 0x00, 0x00, 0x00,  // change mask
        ]
        #expect(request.bytes(sequence: 1) == expected)
    }

    @Test func `an attribute can hold attributes, as a generic family needs`() {
        var request = Request(type: 16, fixed: genlmsghdr(cmd: 3, version: 1, reserved: 0))
        request.nest(5) { outer in
            outer.append(1, integer: UInt8(6))
            outer.nest(2) { $0.append(3, bytes: []) }
        }
        let expected: [UInt8] = [
            0x28, 0x00, 0x00, 0x00,  // length: 40
            0x10, 0x00,  // type: the family's number
            0x05, 0x00,  // flags: NLM_F_REQUEST | NLM_F_ACK
            0x01, 0x00, 0x00, 0x00,  // sequence: 1
            0x00, 0x00, 0x00, 0x00,  // port
            0x03, 0x01, 0x00, 0x00,  // command 3, version 1
            0x14, 0x00, 0x05, 0x80,  // attribute: 20 bytes, NLA_F_NESTED | 5
            0x05, 0x00, 0x01, 0x00,  // attribute: 5 bytes, type 1
            0x06, 0x00, 0x00, 0x00,  // 6, padding
            0x08, 0x00, 0x02, 0x80,  // attribute: 8 bytes, NLA_F_NESTED | 2
            0x04, 0x00, 0x03, 0x00,  // attribute: 4 bytes, type 3
        ]
        #expect(request.bytes(sequence: 1) == expected)
    }

    @Test func `what was built reads back`() throws {
        var request = Request(type: 28, fixed: ndmsg())
        request.append(3, text: "eth1")
        request.append(9, integer: UInt64(1) << 40)
        request.nest(5) { $0.append(1, integer: UInt8(6)) }
        let message = try #require(try Message.split(request.bytes(sequence: 7)).first)
        let attributes = try message.attributes(after: ndmsg.self)
        #expect(message.type == 28)
        #expect(message.sequence == 7)
        #expect(attributes.text(3) == "eth1")
        #expect(try attributes.integer(9) == UInt64(1) << 40)
        #expect(try attributes.nested(5)?.integer(1) == UInt8(6))
        #expect(attributes.bytes(4) == nil)
    }

    /// Two messages: one of 17 bytes with its padding, one without any.
    static let datagram: [UInt8] = [
        0x11, 0x00, 0x00, 0x00,  // length: 17
        0x03, 0x00, 0x02, 0x00,  // type: NLMSG_DONE, flags: NLM_F_MULTI
        0x05, 0x00, 0x00, 0x00,  // sequence: 5
        0x09, 0x00, 0x00, 0x00,  // port: 9
        0xAB, 0x00, 0x00, 0x00,  // body, padding
        0x10, 0x00, 0x00, 0x00,  // length: 16
        0x01, 0x00, 0x00, 0x00,  // type: NLMSG_NOOP
        0x00, 0x00, 0x00, 0x00,  // sequence
        0x00, 0x00, 0x00, 0x00,  // port
    ]

    @Test func `a datagram is split at the lengths, padded to four bytes`() throws {
        #expect(
            try Message.split(Self.datagram) == [
                Message(type: 3, flags: 2, sequence: 5, port: 9, body: [0xAB]),
                Message(type: 1, flags: 0, sequence: 0, port: 0, body: []),
            ])
        #expect(try Message.split([]).isEmpty)
    }

    @Test func `a datagram cut anywhere but between two messages is refused`() throws {
        // The padding of the last message may be missing.
        let whole: Set = [0, 17, 18, 19, 20, 36]
        for size in 0...Self.datagram.count {
            let part = Array(Self.datagram.prefix(size))
            if whole.contains(size) {
                #expect(throws: Never.self) { try Message.split(part) }
            } else {
                #expect(throws: Malformed.self, "\(size) bytes") { try Message.split(part) }
            }
        }
    }

    @Test(arguments: [0, 15, 37, 0xFFFF_FFFF] as [UInt32])
    func `a message's length that lies is refused`(length: UInt32) {
        var datagram = Self.datagram
        datagram.replaceSubrange(0..<4, with: rawBytes(length))
        #expect(throws: Malformed.self) { try Message.split(datagram) }
    }

    @Test(arguments: [(3, false), (4, true), (6, true), (8, true), (9, false), (0xFFFF, false)])
    func `an attribute's length is from four bytes to what is there`(length: Int, isRead: Bool) {
        let bytes = rawBytes(UInt16(length)) + [0x01, 0x00, 0xAA, 0xBB, 0xCC, 0xDD]
        if length == 4 {
            // What then follows reads as one more attribute, whose length lies.
            #expect(throws: Malformed.self) { try Attributes(bytes[...]) }
            #expect(throws: Never.self) { try Attributes(bytes.prefix(4)) }
        } else if isRead {
            #expect(throws: Never.self) { try Attributes(bytes[...]) }
        } else {
            #expect(throws: Malformed.self) { try Attributes(bytes[...]) }
        }
    }

    @Test(arguments: [1, 2, 3])
    func `less than an attribute's header at the end is refused`(rest: Int) {
        let bytes: [UInt8] = [4, 0, 1, 0] + Array(repeating: 0, count: rest)
        #expect(throws: Malformed.self) { try Attributes(bytes[...]) }
    }

    @Test func `an integer of another size is refused`() throws {
        let attributes = try Attributes([7, 0, 1, 0, 0xAA, 0xBB, 0xCC, 0])
        #expect(throws: Malformed.self) { try attributes.integer(1, as: UInt32.self) }
        #expect(throws: Malformed.self) { try attributes.integer(1, as: UInt16.self) }
        #expect(try attributes.integer(2, as: UInt32.self) == nil)
    }

    @Test func `a message too short for its fixed part is refused`() throws {
        let size = MemoryLayout<ndmsg>.size
        let body = [UInt8](repeating: 0, count: size)
        let whole = Message(type: 28, flags: 0, sequence: 0, port: 0, body: body[...])
        let short = Message(type: 28, flags: 0, sequence: 0, port: 0, body: body.dropLast())
        #expect(throws: Never.self) { try whole.fixed(ndmsg.self) }
        #expect(throws: Malformed.self) { try short.fixed(ndmsg.self) }
        #expect(try short.attributes(after: ndmsg.self).bytes(1) == nil)
    }

    @Test func `the flags in an attribute's type are not part of it, and the last one counts`()
        throws
    {
        let attributes = try Attributes([
            0x05, 0x00, 0x02, 0x80, 0x01, 0x00, 0x00, 0x00,  // NLA_F_NESTED | 2: 1
            0x05, 0x00, 0x02, 0x40, 0x07, 0x00, 0x00, 0x00,  // NLA_F_NET_BYTEORDER | 2: 7
        ])
        #expect(try attributes.integer(2) == UInt8(7))
    }

    @Test func `no bytes, whatever they are, stop the reader`() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<20_000 {
            let count = Int.random(in: 0...80, using: &generator)
            var bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
            // Small numbers where lengths and types are, so that some get past the first check.
            for index in bytes.indices where index % 4 != 0 { bytes[index] &= 0x01 }
            guard let messages = try? Message.split(bytes + rawBytes(UInt32(16))) else { continue }
            for message in messages { _ = try? message.attributes(after: 4) }
        }
        for type in [RTM_NEWLINK, RTM_NEWADDR, RTM_NEWROUTE, RTM_NEWNEIGH] {
            for _ in 0..<5_000 {
                let count = Int.random(in: 0...60, using: &generator)
                var body = (0..<count).map { _ in UInt8.random(in: 0...40, using: &generator) }
                for index in body.indices where index % 4 == 1 { body[index] = 0 }
                let message = Message(
                    type: Int(type), flags: 0, sequence: 0, port: 0, body: body[...])
                _ = try? LinkState(message)
                _ = try? InterfaceAddress(message)
                _ = try? Route(message)
                _ = try? Neighbour(message)
            }
        }
    }
}
