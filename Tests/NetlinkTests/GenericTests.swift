import CLinux
import Glibc
import Testing

@testable import Netlink

/// Generic netlink (genetlink) through the same builder, reader and socket as routes.
///
/// Asks the one family that every kernel has, and needs no root.
struct GenericTests {
    private func family(named name: String) throws -> [UInt16] {
        var socket = try RequestSocket(family: NETLINK_GENERIC)
        var request = Request(
            type: Int(GENL_ID_CTRL),
            fixed: genlmsghdr(cmd: UInt8(CTRL_CMD_GETFAMILY), version: 1, reserved: 0))
        request.append(Int(CTRL_ATTR_FAMILY_NAME), text: name)
        return try socket.answers(to: request, "find family", name) {
            (message) throws(Malformed) in
            try message.attributes(after: genlmsghdr.self).integer(Int(CTRL_ATTR_FAMILY_ID))
        }
    }

    @Test func `a family is found by its name`() throws {
        #expect(try family(named: "nlctrl") == [UInt16(GENL_ID_CTRL)])
    }

    @Test func `a family that does not exist is refused`() {
        let failure = #expect(throws: Failure.self) { _ = try family(named: "martlet") }
        #expect(failure?.code == ENOENT)
        #expect(
            failure?.description.hasPrefix("cannot find family martlet: No such file") == true)
    }
}
