import ConfigurationFile
import Foundation
import Testing

@testable import Control

/// Generations on disk.
struct GenerationDirectoryTests {
    private static let layers = Layers(text: "interfaces: [eth1]", file: "martlet.yaml")

    private static func generation(_ number: Int) -> Generation {
        var generation = Generation(
            number: number, applied: Date(timeIntervalSince1970: 1_800_000_000), by: "uid 0",
            cause: "read from martlet.yaml", summary: "1 service added")
        generation.ownFile = Generation.OwnFile("martlet.yaml", "interfaces: [eth1]")
        return generation
    }

    /// In a directory with a name that an address would have to escape.
    private func withStore(_ body: (GenerationDirectory, URL) throws -> Void) throws {
        let parent = FileManager.default.temporaryDirectory
            .appending(path: "martlet é 100%-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: parent) }
        let state = parent.appending(path: "state.json").path(percentEncoded: false)
        try body(
            GenerationDirectory(besideState: state), parent.appending(path: "generations"))
    }

    private func save(_ number: Int, in store: GenerationDirectory) throws {
        try store.prepare(number, Self.layers)
        try store.commit(Self.generation(number))
    }

    @Test func `what is kept is there again, whole, and in a list without what it is made of`()
        throws
    {
        try withStore { store, _ in
            #expect(try store.list().isEmpty)
            #expect(try store.layers(of: 1) == nil)
            for number in [2, 10, 1] { try save(number, in: store) }
            #expect(try store.layers(of: 10) == Self.layers)
            #expect(try store.list() == [1, 2, 10].map(Self.generation))
        }
    }

    @Test func `what is prepared does not count before it is committed`() throws {
        try withStore { store, _ in
            try save(1, in: store)
            try store.prepare(2, Self.layers)
            #expect(try store.list().map(\.number) == [1])
        }
    }

    @Test func `nobody else can read it, and only the last hundred are kept`() throws {
        try withStore { store, directory in
            for number in 1...103 { try save(number, in: store) }
            #expect(try store.list().map(\.number) == Array(4...103))
            #expect(try store.layers(of: 3) == nil)
            let names = try FileManager.default.contentsOfDirectory(
                atPath: directory.path(percentEncoded: false))
            #expect(names.count == 200)
            for (file, mode) in [(directory, 0o700)]
                + names.map({ (directory.appending(path: $0), 0o600) })
            {
                let attributes = try FileManager.default.attributesOfItem(
                    atPath: file.path(percentEncoded: false))
                #expect(attributes[.posixPermissions] as? Int == mode)
            }
        }
    }

    @Test func `one that can't be read keeps no other from being listed, and is named`() throws {
        try withStore { store, directory in
            try save(1, in: store)
            try save(2, in: store)
            try Data("{}".utf8).write(to: directory.appending(path: "1.json"))
            try Data("{}".utf8).write(to: directory.appending(path: "2-layers.json"))
            #expect(try store.list().map(\.number) == [2])
            let failure = #expect(throws: StateFile.Failure.self) { try store.layers(of: 2) }
            #expect(failure?.description.contains("2-layers.json") == true)
            #expect(failure?.description.contains("\n  remove it") == true)
        }
    }

    @Test func `a state that was saved before there was maintenance has none`() throws {
        let state = try JSONDecoder().decode(
            State.self, from: Data(#"{"drains": [], "known": []}"#.utf8))
        #expect(state == State())
    }

    @Test func `a listener who falls behind is let go, and others hear on`() async {
        let broadcast = Broadcast<Int>(.bufferingOldest(2))
        let slow = broadcast.stream()
        var quick = broadcast.stream().makeAsyncIterator()
        for number in 1...4 {
            broadcast.tell(number)
            #expect(await quick.next() == number)
        }
        var heard: [Int] = []
        for await number in slow { heard.append(number) }
        #expect(heard == [1, 2])
    }
}
