public import Balancing
public import ConfigurationFile
public import FoundationEssentials

/// Which configuration counts, what it was made of, and where a newer one may come from.
public struct Configuration: Sendable {
    /// With all that it is made of, as far as that is known.
    public internal(set) var generation: Generation
    let store: (any GenerationStore)?
    /// The controller's own file as it is now.
    let file: (@Sendable () throws(ConfigurationErrors) -> (text: String, name: String))?
    /// Of the backends that have another one over the API; by service and backend.
    var weightsOfFile: [BackendReference: UInt16] = [:]
    /// Why the own file was refused last, and when; nil: it was not, or another one was taken
    /// since.
    var refusal: (reason: String, at: Date)?
    /// Changes that were refused since the start.
    var refusals = 0

    /// One that came from nowhere, and can't be changed.
    init() {
        generation = Generation(
            number: 0, applied: .distantPast, by: "", cause: "", summary: "")
        store = nil
        file = nil
    }

    init(
        _ generation: Generation, store: (any GenerationStore)?,
        file: @escaping @Sendable () throws(ConfigurationErrors) -> (text: String, name: String)
    ) {
        self.generation = generation
        self.store = store
        self.file = file
    }

    func weightOfFile(of backend: BackendReference, now weight: UInt16) -> UInt16? {
        weightsOfFile[backend].flatMap { $0 == weight ? nil : $0 }
    }
}

extension Configuration {
    /// What a controller starts with.
    public struct Opening: Sendable {
        public var desired: DesiredState
        public var configuration: Configuration
        /// What there is to say about it, such as which orders over the API have no object any
        /// more.
        public var remarks: [String]
        /// Whether it is another one than an earlier controller had.
        public let isNew: Bool

        /// Has it outlive the controller, once it counts.
        public func keep() throws {
            guard isNew, let store = configuration.store else { return }
            let generation = configuration.generation
            if let layers = generation.layers { try store.prepare(generation.number, layers) }
            try store.commit(generation)
        }
    }

    /// The configuration with which a controller starts: the last one, if its own file is as it was
    /// then, or else the file with what had been ordered over the API. So a restart undoes neither
    /// an order nor a rollback, and a file that has changed counts.
    ///
    /// A file that is wrong keeps a controller from starting only if none with this file was there
    /// before: to go on with what counted is better than to go without health checks.
    public static func opening(
        _ file: @escaping @Sendable () throws(ConfigurationErrors) -> (text: String, name: String),
        called name: String, store: (any GenerationStore)?, at moment: Date
    ) throws -> Opening {
        let past = Past(in: store)
        do throws(ConfigurationErrors) {
            let (text, name) = try file()
            let ownFile = Generation.OwnFile(name, text)
            if past.latest?.ownFile == ownFile, let opening = past.opening(store, file) {
                return opening
            }
            var layers = past.layers ?? Layers(text: text, file: name)
            (layers.text, layers.file) = (text, name)
            let draft = try Draft(layers, cause: "read from \(name)", ownFile: ownFile)
            let generation = draft.generation(
                (past.latest?.number ?? 0) + 1, by: "the start", summary: counts(of: draft.state),
                at: moment)
            return Opening(
                draft, Configuration(generation, store: store, file: file),
                remarks: past.remarks + draft.dropped, isNew: true)
        } catch {
            guard past.latest?.ownFile?.name == name, var opening = past.opening(store, file) else {
                throw error
            }
            opening.configuration.refuse("\(error)", at: moment)
            opening.remarks.append(
                "the file is not applied, and generation \(opening.configuration.generation.number)"
                    + " goes on: \(error)")
            return opening
        }
    }

    /// The own file can't be what counts.
    mutating func refuse(_ reason: String, at moment: Date) {
        refusals += 1
        refusal = (reason, moment)
    }

    private static func counts(of state: DesiredState) -> String {
        let backends = state.services.reduce(0) { $0 + $1.backends.count }
        return "services: \(state.services.count), backends: \(backends)"
    }
}

extension Configuration.Opening {
    fileprivate init(
        _ draft: Draft, _ configuration: Configuration, remarks: [String], isNew: Bool
    ) {
        var configuration = configuration
        configuration.weightsOfFile = draft.weightsOfFile
        self.init(
            desired: draft.state, configuration: configuration, remarks: remarks, isNew: isNew)
    }
}

/// What an earlier controller has left.
private struct Past {
    var latest: Generation?
    var layers: Layers?
    var remarks: [String] = []

    init(in store: (any GenerationStore)?) {
        do {
            latest = try store?.list().last
            layers = try latest.flatMap { try store?.layers(of: $0.number) }
        } catch {
            remarks.append("\(error)")
        }
    }

    /// That counts on; nil: nothing does that can be read.
    func opening(
        _ store: (any GenerationStore)?,
        _ file: @escaping @Sendable () throws(ConfigurationErrors) -> (text: String, name: String)
    ) -> Configuration.Opening? {
        guard var latest, let layers,
            let draft = try? Draft(layers, cause: latest.cause, ownFile: latest.ownFile)
        else { return nil }
        latest.layers = draft.layers
        return Configuration.Opening(
            draft, Configuration(latest, store: store, file: file), remarks: remarks, isNew: false)
    }
}

/// A configuration that is whole, and does not count yet.
struct Draft: Sendable {
    let state: DesiredState
    let layers: Layers
    let dropped: [String]
    let cause: String
    let ownFile: Generation.OwnFile?
    let weightsOfFile: [BackendReference: UInt16]

    /// From a file below what was ordered over the API, which gives way to it.
    init(_ layers: Layers, cause: String, ownFile: Generation.OwnFile?) throws(ConfigurationErrors)
    {
        let merged = try layers.merged()
        try self.init(
            merged.state, merged.layers, dropped: merged.dropped, cause: cause, ownFile: ownFile)
    }

    /// From an order over the API, which gives way to nothing: it may be wrong.
    init(ordered layers: Layers, cause: String, ownFile: Generation.OwnFile?)
        throws(ConfigurationErrors)
    {
        try self.init(
            layers.desiredState(), layers, dropped: [], cause: cause, ownFile: ownFile)
    }

    private init(
        _ state: DesiredState, _ layers: Layers, dropped: [String], cause: String,
        ownFile: Generation.OwnFile?
    ) throws(ConfigurationErrors) {
        self.state = state
        self.layers = layers
        self.dropped = dropped
        self.cause = cause
        self.ownFile = ownFile
        weightsOfFile = try Self.weightsOfFile(below: layers)
    }

    private static func weightsOfFile(
        below layers: Layers
    ) throws(ConfigurationErrors) -> [BackendReference: UInt16] {
        guard !layers.weights.isEmpty else { return [:] }
        var plain = layers
        plain.weights = [:]
        var weights: [BackendReference: UInt16] = [:]
        for service in try plain.merged().state.services {
            guard let changed = layers.weights[service.name] else { continue }
            for backend in service.backends where changed[backend.name] != nil {
                weights[BackendReference(service.name, backend.name)] = backend.weight
            }
        }
        return weights
    }

    func generation(_ number: Int, by: String, summary: String, at moment: Date) -> Generation {
        var generation = Generation(
            number: number, applied: moment, by: by, cause: cause, summary: summary,
            layers: layers)
        generation.ownFile = ownFile
        return generation
    }
}
