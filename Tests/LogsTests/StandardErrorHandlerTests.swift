import Foundation
import Logging
import Testing

@testable import Logs

/// In processes of their own: standard error is the process's.
struct StandardErrorHandlerTests {
    @Test func `each event is one line, with the metadata of logger and call`() async throws {
        let result = await #expect(
            processExitsWith: .success, observing: [\.standardErrorContent]
        ) {
            StandardErrorHandler.bootstrap(.text, level: .notice)
            var logger = Logger(label: "test")
            logger[metadataKey: "service"] = "web"
            logger.info("too little to be told")
            logger.notice("two\nlines", metadata: ["backend": "server-a"])
            logger.error("three")
        }
        let lines = try #require(result).standardErrorContent.split(separator: UInt8(ascii: "\n"))
            .map { String(decoding: $0, as: UTF8.self) }
        #expect(lines.count == 2)
        #expect(
            lines.first?.hasSuffix("Z notice: two; lines  service=web backend=server-a") == true)
        #expect(lines.last?.hasSuffix("Z error: three  service=web") == true)
    }

    @Test func `a stream that is not the journal's gets the time, whatever the variable says`()
        async throws
    {
        let result = await #expect(
            processExitsWith: .success, observing: [\.standardErrorContent]
        ) {
            setenv("JOURNAL_STREAM", "1:2", 1)
            Logger(label: "test") { _ in StandardErrorHandler(.text, level: .info) }.info("one")
            var status = stat()
            fstat(2, &status)
            setenv("JOURNAL_STREAM", "\(status.st_dev):\(status.st_ino)", 1)
            Logger(label: "test") { _ in StandardErrorHandler(.text, level: .info) }.info("two")
        }
        let text = String(
            decoding: try #require(result).standardErrorContent, as: UTF8.self)
        #expect(text.contains("Z info: one\n<6>two\n"))
    }
}
