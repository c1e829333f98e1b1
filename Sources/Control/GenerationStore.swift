public import ConfigurationFile
import FoundationEssentials
import Glibc

/// Where generations outlive the controller, with all that they are made of.
///
/// One counts from ``commit(_:)`` on: a controller that is killed before has never had it.
public protocol GenerationStore: Sendable {
    /// Those that are kept, the oldest first, without what they are made of. What can't be read is
    /// not among them.
    func list() throws -> [Generation]
    /// What one is made of; nil: it is not kept.
    func layers(of number: Int) throws -> Layers?
    /// Keeps what one is made of, which does not count yet.
    func prepare(_ number: Int, _ layers: Layers) throws
    /// Has one count that was prepared, and lets the oldest go.
    func commit(_ generation: Generation) throws
}

/// A directory with two files for each generation, in JSON, readable by their owner alone.
public struct GenerationDirectory: GenerationStore {
    private let path: String
    /// So many are kept.
    public static let most = 100

    public init(_ path: String) { self.path = path }

    /// Beside the file of a ``State``.
    public init(besideState file: String) {
        let directory = URL(filePath: file).deletingLastPathComponent()
        self.init(directory.appending(path: "generations").path(percentEncoded: false))
    }

    public func list() throws -> [Generation] {
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .iso8601
        return try numbers().compactMap { number in
            try? decoder.decode(Generation.self, from: try Data(contentsOf: head(number)))
        }
    }

    public func layers(of number: Int) throws -> Layers? {
        let file = body(number)
        guard FileManager.default.fileExists(atPath: file.path(percentEncoded: false)) else {
            return nil
        }
        do {
            return try JSONDecoder().decode(Layers.self, from: try Data(contentsOf: file))
        } catch {
            throw StateFile.Failure(
                description: "cannot read \(file.path(percentEncoded: false)): \(reason(error))\n"
                    + "  remove it to forget this generation")
        }
    }

    public func prepare(_ number: Int, _ layers: Layers) throws {
        try write(layers, to: body(number))
    }

    public func commit(_ generation: Generation) throws {
        var generation = generation
        generation.layers = nil
        try write(generation, to: head(generation.number))
        for number in try numbers().dropLast(Self.most) {
            for file in [head(number), body(number)] {
                try? FileManager.default.removeItem(at: file)
            }
        }
    }

    private func write(_ value: some Encodable, to file: URL) throws {
        do {
            try FileManager.default.createDirectory(
                at: URL(filePath: path), withIntermediateDirectories: true,
                attributes: [.posixPermissions: 0o700])
            let encoder = JSONEncoder()
            encoder.dateEncodingStrategy = .iso8601
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            try encoder.encode(value).write(to: file, options: .atomic)
            try restrict(file)
        } catch {
            throw StateFile.Failure(
                description: "cannot write \(file.path(percentEncoded: false)), in which the "
                    + "configuration outlives the controller: \(reason(error))\n"
                    + "  make room for it there, or name another place with --state")
        }
    }

    private func numbers() throws -> [Int] {
        guard FileManager.default.fileExists(atPath: path) else { return [] }
        return try FileManager.default.contentsOfDirectory(atPath: path)
            .compactMap { name in
                name.hasSuffix(".json") ? Int(name.dropLast(".json".count)) : nil
            }.sorted()
    }

    /// Who, when and why.
    private func head(_ number: Int) -> URL { file("\(number).json") }

    /// All that it is made of.
    private func body(_ number: Int) -> URL { file("\(number)-layers.json") }

    private func file(_ name: String) -> URL { URL(filePath: path).appending(path: name) }
}
