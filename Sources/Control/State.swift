import FoundationEssentials
import Glibc

/// What a controller leaves to the next one, beside what the plane holds.
public struct State: Hashable, Sendable, Codable {
    /// How a backend was called, so that one that is not in the configuration any more still has
    /// a name.
    public struct Known: Hashable, Sendable, Codable {
        public var service: String
        public var backend: String
        public var address: String

        public init(service: String, backend: String, address: String) {
            self.service = service
            self.backend = backend
            self.address = address
        }
    }

    public var drains: [Drain]
    public var known: [Known]
    public var maintenances: [Maintenance]
    /// How services were called, by what clients address: `192.168.1.100:80/tcp`. So one that is
    /// called otherwise is known.
    public var services: [String: String]

    public init(
        drains: [Drain] = [], known: [Known] = [], maintenances: [Maintenance] = [],
        services: [String: String] = [:]
    ) {
        self.drains = drains
        self.known = known
        self.maintenances = maintenances
        self.services = services
    }

    /// One that was saved before there was any maintenance has none.
    public init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: CodingKeys.self)
        drains = try fields.decode([Drain].self, forKey: .drains)
        known = try fields.decode([Known].self, forKey: .known)
        maintenances =
            try fields.decodeIfPresent([Maintenance].self, forKey: .maintenances) ?? []
        services = try fields.decodeIfPresent([String: String].self, forKey: .services) ?? [:]
    }
}

/// Where a ``State`` outlives its controller.
public protocol StateStore: Sendable {
    /// What was saved last; nil: nothing was.
    func load() throws -> State?
    func save(_ state: State) throws
}

/// A file that holds a ``State``, in JSON.
public struct StateFile: StateStore {
    private let path: String

    public init(_ path: String) { self.path = path }

    /// What keeps a state from being read or written.
    public struct Failure: Error, Hashable, Sendable, CustomStringConvertible {
        public let description: String
    }

    public func load() throws -> State? {
        guard FileManager.default.fileExists(atPath: path) else { return nil }
        let cure = "\n  mend it, or remove it to forget what is being drained"
        let data: Data
        do {
            data = try Data(contentsOf: URL(filePath: path))
        } catch {
            throw Failure(description: "cannot read \(path): \(reason(error))\(cure)")
        }
        do {
            let decoder = JSONDecoder()
            decoder.dateDecodingStrategy = .iso8601
            return try decoder.decode(State.self, from: data)
        } catch {
            throw Failure(
                description: "cannot read \(path): it is not the state of a controller\(cure)")
        }
    }

    /// Whole or not at all: what is there is replaced by a file that is complete.
    public func save(_ state: State) throws {
        do {
            let encoder = JSONEncoder()
            encoder.dateEncodingStrategy = .iso8601
            encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
            let url = URL(filePath: path)
            try FileManager.default.createDirectory(
                at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
            try encoder.encode(state).write(to: url, options: .atomic)
            try restrict(url)
        } catch {
            throw Failure(
                description: "cannot write \(path), in which drains outlive the controller: "
                    + "\(reason(error))\n  make room for it there, or name another with --state")
        }
    }
}

/// Leaves a file to its owner.
func restrict(_ file: URL) throws {
    try FileManager.default.setAttributes(
        [.posixPermissions: 0o600], ofItemAtPath: file.path(percentEncoded: false))
}

/// As the kernel says it, where it does.
func reason(_ error: any Error) -> String {
    guard let code = ((error as? CocoaError)?.underlying as? POSIXError)?.code.rawValue else {
        return "\(error)"
    }
    return unsafe "\(String(cString: strerror(code))) (\(code))"
}
