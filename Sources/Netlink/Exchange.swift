import CLinux
import Glibc

/// One request on its way to its last answer: what to make of all that arrives meanwhile.
struct Exchange {
    /// How a request ends.
    enum End: Equatable {
        case complete
        /// The table changed while it was read, or part of it was lost.
        case incomplete
        case refused(Int32, String?)
        case unreadable(String)
    }

    private let sequence: UInt32
    private let port: UInt32
    private let isDump: Bool
    private var isConsistent = true
    private var flaw: Malformed?
    private(set) var answers: [Message] = []
    /// Nil: more is to come.
    private(set) var end: End?

    /// The exchange that the request with this number, sent from this port, begins.
    init(request sequence: UInt32, port: UInt32, isDump: Bool) {
        self.sequence = sequence
        self.port = port
        self.isDump = isDump
    }

    /// Takes into account what was received.
    mutating func take(_ reception: NetlinkSocket.Reception) {
        switch reception {
        case .messages(let messages):
            // What is left of an earlier request that was given up has another number.
            for message in messages where message.sequence == sequence && message.port == port {
                take(message)
            }
        case .malformed(let malformed):
            // Read to the end all the same: the kernel refuses a dump while another is under way.
            flaw = malformed
        case .refused(ENOBUFS) where isDump:
            isConsistent = false
        case .refused(EAGAIN):
            end = .unreadable(
                flaw?.reason ?? "the kernel gave no answer within \(patience) seconds")
        case .refused(let code):
            end = .refused(code, nil)
        }
    }

    private mutating func take(_ message: Message) {
        guard end == nil else { return }
        if message.flags & NLM_F_DUMP_INTR != 0 { isConsistent = false }
        switch message.type {
        case Int(NLMSG_NOOP): break
        case Int(NLMSG_ERROR), Int(NLMSG_DONE):
            do throws(Malformed) { end = try lastWord(message) } catch {
                end = .unreadable(error.reason)
            }
        default: answers.append(message)
        }
    }

    /// An error's code is `-errno`, or 0 for an acknowledgement; a dump's end is the same.
    private func lastWord(_ message: Message) throws(Malformed) -> End {
        let code = try message.fixed(Int32.self)
        if code < 0 { return .refused(0 &- code, try kernelText(message)) }
        if let flaw { return .unreadable(flaw.reason) }
        return isConsistent ? .complete : .incomplete
    }

    /// The text behind the code and, in an error, the header of the request.
    private func kernelText(_ message: Message) throws(Malformed) -> String? {
        guard message.flags & NLM_F_ACK_TLVS != 0 else { return nil }
        let code = MemoryLayout<Int32>.size
        guard message.type == Int(NLMSG_ERROR) else {
            return try message.attributes(after: code).text(Int(NLMSGERR_ATTR_MSG.rawValue))
        }
        let request = try message.fixed(nlmsgerr.self).msg
        let isCapped = message.flags & NLM_F_CAPPED != 0
        let size = isCapped ? MemoryLayout<nlmsghdr>.size : Int(request.nlmsg_len)
        return try message.attributes(after: code + size).text(Int(NLMSGERR_ATTR_MSG.rawValue))
    }
}
