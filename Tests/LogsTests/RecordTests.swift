import Foundation
import Logging
import Testing

@testable import Logs

struct RecordTests {
    private struct Parsed: Decodable, Equatable {
        var time: String
        var level: String
        var message: String
        var service: String?
        var generation: Int?
    }

    private func record(
        _ message: String, _ level: Logger.Level = .warning, _ metadata: Logger.Metadata = [:]
    ) -> Record {
        Record(
            time: Date(timeIntervalSince1970: 1_800_000_000.125), level: level, message: message,
            metadata: metadata)
    }

    private let incident: Logger.Metadata = [
        "event": "health", "generation": .stringConvertible(7), "service": "web",
        "backend": "server-a", "attempt": .stringConvertible(2),
    ]

    @Test func `a line for people has time, level, message, and what the incident is about`() {
        #expect(
            record("server-a is down: connection refused", .warning, incident).line(.text) == """
                2027-01-15T08:00:00.125Z warning: server-a is down: connection refused  \
                service=web backend=server-a generation=7 event=health attempt=2

                """)
        #expect(
            record("stopped", .notice).line(.text) == "2027-01-15T08:00:00.125Z notice: stopped\n")
    }

    @Test func `a line for programs is a flat object, and numbers are such`() throws {
        let line = record(
            "down", .error, incident.merging(["http": ["status": "500"]]) { $1 }
        ).line(.json)
        #expect(
            line == """
                {"time":"2027-01-15T08:00:00.125Z","level":"error","message":"down",\
                "service":"web","backend":"server-a","generation":7,"event":"health",\
                "attempt":2,"http.status":"500"}

                """)
        let parsed = try JSONDecoder().decode(Parsed.self, from: Data(line.utf8))
        #expect(parsed.generation == 7)
    }

    @Test func `a cure stands behind its reason, on the same line`() {
        let message =
            "cannot attach program martlet to eth1: Device or resource busy (16)\n  detach it"
        #expect(
            record(message).line(.text)
                == "2027-01-15T08:00:00.125Z warning: cannot attach program martlet to eth1: "
                + "Device or resource busy (16); detach it\n")
    }

    @Test(arguments: [
        "HTTP 500\n2027-01-15T08:00:00.125Z info: all is well", "a\r\nb", "\u{1B}[2J\u{1B}[H",
        "\u{0}\u{7}\u{8}", "\u{85}next", "\u{9b}2J", "para\u{2029}graph", "line\u{2028}",
        "right\u{202E}to left", "{\"level\":\"info\"}\n{}", "\n\n\n",
    ])
    func `no text of others forges a line or speaks to a terminal`(text: String) throws {
        let metadata: Logger.Metadata = ["service": .string(text), "x": [.string(text)]]
        for format in LogFormat.allCases {
            let line = record(text, .info, metadata).line(format)
            #expect(line.hasSuffix("\n"))
            let inside = line.dropLast().unicodeScalars
            #expect(
                inside.allSatisfy { scalar in
                    scalar.value >= 0x20 && !(0x7f..<0xa0).contains(scalar.value)
                        && !(0x2028...0x202e).contains(scalar.value)
                }, "\(line.debugDescription)")
        }
        let line = record(text, .info, metadata).line(.json)
        let parsed = try JSONDecoder().decode(Parsed.self, from: Data(line.utf8))
        #expect(parsed.message == text)
        #expect(parsed.service == text)
        #expect(parsed.level == "info")
    }

    @Test func `a value with blanks is quoted, so that it is no second field`() {
        let line = record("down", .info, ["service": "web backend=x", "a": ""]).line(.text)
        #expect(line.hasSuffix("down  service=\"web backend=x\" a=\"\"\n"))
    }

    @Test func `metadata can't take the place of time, level and message`() throws {
        let line = record("down", .error, ["level": "info", "time": "never"]).line(.json)
        let parsed = try JSONDecoder().decode(Parsed.self, from: Data(line.utf8))
        #expect(parsed.level == "error")
        #expect(line.contains(#","level_":"info","time_":"never"}"#))
    }

    @Test func `the journal gets the priority, and its own time`() {
        let levels = Logger.Level.allCases.map { record("x", $0).line(.text, forJournal: true) }
        #expect(levels == ["<7>x\n", "<7>x\n", "<6>x\n", "<5>x\n", "<4>x\n", "<3>x\n", "<2>x\n"])
        #expect(
            record("x", .info).line(.json, forJournal: true).hasPrefix(#"<6>{"time":"2027-"#))
    }
}
