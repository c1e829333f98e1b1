import Foundation
import Testing

@testable import Control

/// Real files, each test in a directory of its own.
final class StateFileTests {
    private let directory = FileManager.default.temporaryDirectory
        .appending(path: "martlet-\(UUID().uuidString)")
    private let state = State(
        drains: [
            Drain(
                service: "web", backend: "server-b", address: "192.168.1.102",
                since: Date(timeIntervalSince1970: 1_800_000_000),
                deadline: Date(timeIntervalSince1970: 1_800_000_600), cut: 3)
        ],
        known: [.init(service: "web", backend: "server-b", address: "192.168.1.102")])

    deinit { try? FileManager.default.removeItem(at: directory) }

    private func path(_ name: String) -> String { directory.appending(path: name).path() }

    @Test func `what is saved is loaded, from a directory that it made`() throws {
        let file = StateFile(path("a/b/state.json"))
        #expect(try file.load() == nil)
        try file.save(state)
        #expect(try file.load() == state)
        try file.save(State())
        #expect(try StateFile(path("a/b/state.json")).load() == State())
    }

    @Test func `a file is replaced whole: who reads it has the old one or the new one`() throws {
        let file = StateFile(path("state.json"))
        try file.save(state)
        let reader = try FileHandle(forReadingFrom: directory.appending(path: "state.json"))
        try file.save(State())
        let old = try #require(try reader.readToEnd())
        #expect(String(decoding: old, as: UTF8.self).contains("server-b"))
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path()).count == 1)
    }

    @Test(arguments: ["", "{", #"{"drains": 1, "known": []}"#, "[]"])
    func `a file that is broken is refused with a cure, and left as it is`(text: String) throws {
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        try Data(text.utf8).write(to: directory.appending(path: "state.json"))
        let failure = #expect(throws: StateFile.Failure.self) {
            try StateFile(self.path("state.json")).load()
        }
        #expect(
            failure?.description == """
                cannot read \(path("state.json")): it is not the state of a controller
                  mend it, or remove it to forget what is being drained
                """)
        #expect(try Data(contentsOf: directory.appending(path: "state.json")) == Data(text.utf8))
    }

    @Test func `a place where no file can be is refused with its reason and a cure`() throws {
        let failure = #expect(throws: StateFile.Failure.self) {
            try StateFile("/proc/martlet/state.json").save(self.state)
        }
        #expect(
            failure?.description == """
                cannot write /proc/martlet/state.json, in which drains outlive the controller: \
                No such file or directory (2)
                  make room for it there, or name another with --state
                """)
    }

    @Test func `dates are such that people can read and change them`() throws {
        try StateFile(path("state.json")).save(state)
        let text = try String(contentsOfFile: path("state.json"), encoding: .utf8)
        #expect(text.contains(#""deadline" : "2027-01-15T08:10:00Z""#))
    }
}
