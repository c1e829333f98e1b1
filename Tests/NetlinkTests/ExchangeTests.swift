import CLinux
import Glibc
import Testing

@testable import Netlink

/// How a request ends, whatever arrives meanwhile.
///
/// Every request here has number 5 and comes from port 9.
struct ExchangeTests {
    private func message(
        _ type: Int, _ body: [UInt8] = [], flags: Int32 = 0, sequence: UInt32 = 5, port: UInt32 = 9
    ) -> Message {
        Message(type: type, flags: flags, sequence: sequence, port: port, body: body[...])
    }

    private func end(
        isDump: Bool = true, _ receptions: NetlinkSocket.Reception...
    ) -> (end: Exchange.End?, answers: Int) {
        var exchange = Exchange(request: 5, port: 9, isDump: isDump)
        for reception in receptions { exchange.take(reception) }
        return (exchange.end, exchange.answers.count)
    }

    private let link = Int(RTM_NEWLINK)
    private let done = [UInt8](repeating: 0, count: 4)

    @Test func `a dump ends with its end mark and not before`() {
        let first = NetlinkSocket.Reception.messages([message(link), message(link)])
        #expect(end(first) == (nil, 2))
        #expect(
            end(first, .messages([message(link), message(Int(NLMSG_DONE), done)]))
                == (.complete, 3))
    }

    @Test func `answers to another request or for another socket are left out`() {
        let end = end(
            .messages([
                message(link, sequence: 4), message(link, port: 8), message(link),
                message(Int(NLMSG_DONE), done, sequence: 4),
            ]))
        #expect(end == (nil, 1))
    }

    @Test func `a table that changed meanwhile, or was lost in part, is incomplete`() {
        let last = NetlinkSocket.Reception.messages([message(Int(NLMSG_DONE), done)])
        let changed = message(link, flags: NLM_F_DUMP_INTR)
        #expect(end(.messages([changed]), last).end == .incomplete)
        #expect(
            end(.messages([message(Int(NLMSG_DONE), done, flags: NLM_F_DUMP_INTR)])).end
                == .incomplete)
        #expect(end(.refused(ENOBUFS), last).end == .incomplete)
        // The answer to an order is not asked for again: it may have been carried out.
        #expect(end(isDump: false, .refused(ENOBUFS)).end == .refused(ENOBUFS, nil))
    }

    @Test func `a malformed answer is told once the dump is read to its end`() {
        let malformed = NetlinkSocket.Reception.malformed(Malformed(reason: "it lies"))
        #expect(end(malformed).end == nil)
        #expect(
            end(malformed, .messages([message(Int(NLMSG_DONE), done)])).end
                == .unreadable("it lies"))
        #expect(end(malformed, .refused(EAGAIN)).end == .unreadable("it lies"))
    }

    @Test func `no answer is an end, too`() {
        #expect(
            end(.refused(EAGAIN)).end
                == .unreadable("the kernel gave no answer within 5 seconds"))
    }

    @Test func `an error message of code 0 is the acknowledgement`() {
        let bytes = [UInt8](repeating: 0, count: 20)
        #expect(
            end(isDump: false, .messages([message(link), message(Int(NLMSG_ERROR), bytes)]))
                == (.complete, 1))
    }

    @Test func `a refusal carries the kernel's text`() {
        let error: [UInt8] = [
            0xED, 0xFF, 0xFF, 0xFF,  // code: -ENODEV (19)
            0x24, 0x00, 0x00, 0x00,  // length of the request: 36
            0x12, 0x00, 0x05, 0x00,  // its type: RTM_GETLINK, its flags
            0x05, 0x00, 0x00, 0x00,  // its sequence: 5
            0x00, 0x00, 0x00, 0x00,  // its port
        ]
        let text: [UInt8] = [
            0x08, 0x00, 0x01, 0x00,  // attribute: 8 bytes, NLMSGERR_ATTR_MSG
            0x47, 0x6F, 0x6E, 0x00,  // "Gon"
        ]
        let payload = [UInt8](repeating: 0xEE, count: 20)
        let answer = { (body: [UInt8], flags: Int32) in
            self.end(.messages([self.message(Int(NLMSG_ERROR), body, flags: flags)])).end
        }
        #expect(answer(error, 0) == .refused(ENODEV, nil))
        #expect(answer(error + text, NLM_F_CAPPED | NLM_F_ACK_TLVS) == .refused(ENODEV, "Gon"))
        #expect(answer(error + payload + text, NLM_F_ACK_TLVS) == .refused(ENODEV, "Gon"))
        // The kernel ends a dump that fails on the way with a code in its end mark.
        let end = end(
            .messages([
                message(Int(NLMSG_DONE), error.prefix(4) + text, flags: NLM_F_ACK_TLVS)
            ]))
        #expect(end.end == .refused(ENODEV, "Gon"))
    }

    @Test func `a last word that is cut short, or holds a text that lies, is unreadable`() {
        for body in [[], [0xED, 0xFF, 0xFF]] as [[UInt8]] {
            let end = end(.messages([message(Int(NLMSG_ERROR), body)])).end
            #expect(end == .unreadable("a message of type 2 has only \(body.count) bytes"))
        }
        let lying: [UInt8] = [0xED, 0xFF, 0xFF, 0xFF, 0xFF, 0x00, 0x01, 0x00]
        let end = end(
            .messages([message(Int(NLMSG_DONE), lying, flags: NLM_F_ACK_TLVS)])
        ).end
        #expect(end == .unreadable("an attribute in 4 bytes says it has 255"))
    }
}
