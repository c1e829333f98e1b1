import CLinux

/// A message to the kernel: header, fixed part, attributes (RFC 3549 §2.2, netlink(7)).
///
/// Serves every family of netlink: for a generic one (genetlink) `fixed` is `genlmsghdr`.
package struct Request: Sendable {
    /// Whether it asks for a whole table (`NLM_F_DUMP`) and not for one thing.
    let isDump: Bool
    private let type: UInt16
    private let flags: UInt16
    private var body: [UInt8]

    /// A request of `type` (`RTM_GETLINK`) whose fixed part is the C struct `fixed`.
    ///
    /// `flags` come on top of those that every request has: `NLM_F_REQUEST`, and `NLM_F_DUMP` or
    /// `NLM_F_ACK`.
    package init(type: Int, isDump: Bool = false, flags: Int32 = 0, fixed: some BitwiseCopyable) {
        self.isDump = isDump
        self.type = UInt16(type)
        // Without a dump's end mark it is the acknowledgement that tells the end of the answers.
        self.flags = UInt16(NLM_F_REQUEST | (isDump ? NLM_F_DUMP : NLM_F_ACK) | flags)
        body = rawBytes(fixed)
        pad()
    }

    /// Appends an attribute with this payload.
    package mutating func append(_ attribute: Int, bytes payload: some Collection<UInt8>) {
        let length = MemoryLayout<nlattr>.size + payload.count
        precondition(length <= maximumLength, "an attribute's length is a number of 16 bits")
        body += rawBytes(nlattr(nla_len: UInt16(length), nla_type: UInt16(attribute)))
        body += payload
        pad()
    }

    /// Appends an attribute that is an integer in the order of this machine.
    package mutating func append<Integer: FixedWidthInteger & BitwiseCopyable>(
        _ attribute: Int, integer: Integer
    ) {
        append(attribute, bytes: rawBytes(integer))
    }

    /// Appends an attribute that is text, with the final zero that the kernel expects.
    package mutating func append(_ attribute: Int, text: String) {
        append(attribute, bytes: Array(text.utf8) + [0])
    }

    /// Appends an attribute that holds those which `content` appends.
    package mutating func nest(_ attribute: Int, _ content: (inout Request) -> Void) {
        let start = body.count
        append(attribute | Int(NLA_F_NESTED), bytes: [])
        content(&self)
        let length = body.count - start
        precondition(length <= maximumLength, "an attribute's length is a number of 16 bits")
        body.replaceSubrange(start..<start + 2, with: rawBytes(UInt16(length)))
    }

    /// The whole message as it is sent.
    package func bytes(sequence: UInt32) -> [UInt8] {
        let header = nlmsghdr(
            nlmsg_len: UInt32(MemoryLayout<nlmsghdr>.size + body.count), nlmsg_type: type,
            nlmsg_flags: flags, nlmsg_seq: sequence, nlmsg_pid: 0)
        return rawBytes(header) + body
    }

    private mutating func pad() {
        body += Array(repeating: 0, count: aligned(body.count) - body.count)
    }
}

private let maximumLength = Int(UInt16.max)
