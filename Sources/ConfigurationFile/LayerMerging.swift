public import Balancing

extension Layers {
    /// What they ask for together after the file was written anew, and what of the orders is left.
    ///
    /// The file wins: whoever reads it in the middle of the night must not be refused because of an
    /// order that everybody has forgotten. An order falls away if its service or backend is gone,
    /// if the file now has that name itself, or if it does not fit to the file any more: the same
    /// VIP and port, the same address. Only what is wrong with the file itself is an error.
    ///
    /// - Returns: `dropped` says which orders fell away and why, as in `service api: martlet.yaml
    ///   has a service of this name`; `layers` is without them.
    public func merged() throws(ConfigurationErrors) -> (
        state: DesiredState, layers: Layers, dropped: [String]
    ) {
        var merging = LayerMerging(try LayerParts(self))
        let state = try merging.run()
        return (state, keeping(merging.kept), merging.reasons)
    }
}

/// Finds out which orders a file leaves room for.
private struct LayerMerging {
    private let parts: LayerParts
    private(set) var kept: [LayerPart]
    private var dropped: [LayerPart: String] = [:]
    private var readings = 0

    /// So often all is read at most, for it can be much: what is undecided then falls away.
    private static let readingLimit = 40
    /// So often orders that show an error are taken out, before all are tried by halves: of those
    /// that are too many together only one shows it at a time.
    private static let roundLimit = 8

    init(_ parts: LayerParts) {
        self.parts = parts
        kept = parts.orders
    }

    /// In the order of the services, backends and weights.
    var reasons: [String] { dropped.sorted { $0.key < $1.key }.map(\.value) }

    mutating func run() throws(ConfigurationErrors) -> DesiredState {
        for order in kept {
            if let error = parts.errors[order]?.first { drop(order, for: error) }
        }
        // Services first: a backend of the name may be in the file's service, not in the other.
        for isService in [true, false] {
            for order in parts.shadowed(among: kept) where isService == order.isService {
                let reason =
                    order.isService
                    ? "\(parts.sources[0]) has a service of this name"
                    : "its service has a backend of this name"
                drop(order, for: reason)
            }
        }
        dropOrphans()
        while true {
            switch read(kept) {
            case .state(let state): return state
            case .wrong(let errors):
                let culprits = errors.compactMap { error in
                    parts.order(at: error).map { (order: $0, error: error) }
                }
                if culprits.isEmpty || readings >= Self.roundLimit {
                    return try search(after: errors)
                }
                for culprit in culprits { drop(culprit.order, for: culprit.error) }
                dropOrphans()
            }
        }
    }

    private mutating func read(_ orders: [LayerPart]) -> LayerParts.Reading {
        readings += 1
        return parts.reading(of: orders)
    }

    /// An error that shows in the file may still be due to an order.
    private mutating func search(
        after errors: [ConfigurationError]
    ) throws(ConfigurationErrors) -> DesiredState {
        let units = Dictionary(grouping: kept, by: \.service).sorted { $0.key < $1.key }
            .map { $0.value.sorted() }
        kept = []
        guard case .state(var state) = read([]) else {
            let own = errors.filter { parts.order(at: $0) == nil }
            throw ConfigurationErrors(
                sources: parts.sources, errors: own.isEmpty ? errors : own)
        }
        add(units, to: &state)
        return state
    }

    /// Keeps as many as can be, by halves: few are wrong as a rule, so few readings are needed.
    private mutating func add(_ units: [[LayerPart]], to state: inout DesiredState) {
        let orders = Array(units.joined())
        guard let first = orders.first else { return }
        let more = (kept + orders).sorted()
        if orders.count == 1, !parts.orphans(among: more).isEmpty {
            return drop(first, for: parts.orphanReason(first, among: more))
        }
        guard readings < Self.readingLimit else {
            for order in orders {
                drop(order, for: "too many orders don't fit to \(parts.sources[0]) any more")
            }
            return
        }
        switch read(more) {
        case .state(let larger): (kept, state) = (more, larger)
        case .wrong(let errors):
            if orders.count == 1 { return drop(first, for: errors[0]) }
            let smaller = units.count == 1 ? orders.map { [$0] } : units
            let half = smaller.count / 2
            add(Array(smaller[..<half]), to: &state)
            add(Array(smaller[half...]), to: &state)
        }
    }

    private mutating func dropOrphans() {
        // A backend that goes may leave a weight behind.
        while true {
            let orphans = parts.orphans(among: kept)
            guard !orphans.isEmpty else { return }
            let known = kept
            for order in orphans { drop(order, for: parts.orphanReason(order, among: known)) }
        }
    }

    private mutating func drop(_ order: LayerPart, for error: ConfigurationError) {
        let named = error.named(parts.sources)
        dropped[order] = named.file == "\(order)" ? named.line : "\(order): \(named.line)"
        kept.removeAll { $0 == order }
    }

    private mutating func drop(_ order: LayerPart, for reason: String) {
        dropped[order] = "\(order): \(reason)"
        kept.removeAll { $0 == order }
    }
}

extension LayerPart {
    fileprivate var isService: Bool {
        if case .service = self { true } else { false }
    }
}
