import SeededRandom

/// What is to happen in a run, all of it by its seed.
struct ChaosPlan: Hashable {
    let seed: UInt64
    let family: Family
    /// Keys of the services: with a short hold all phases of a slot are seen, with a long one
    /// all changes overlap.
    let times: [String]
    let steps: [Step]
    let ending: Ending

    /// Changes that come together, and whether the controller is killed in the middle of them.
    struct Step: Hashable, CustomStringConvertible {
        let changes: [Change]
        /// Whether the controller that there is reads a changed file, instead of a new one.
        let isReload: Bool
        /// After so many milliseconds; nil: it isn't.
        let kill: Int?

        var description: String {
            changes.map(\.description).joined(separator: "; ") + (isReload ? " (reload)" : "")
                + (kill.map { "; kill the controller after \($0) ms" } ?? "")
        }
    }

    /// How a backend dies in the end.
    enum Ending: CaseIterable {
        /// Its process is killed, and the kernel ends its connections.
        case killed
        /// Its process stops: its kernel takes what comes, and nobody answers.
        case stopped
    }

    /// - Parameters:
    ///   - names: The backends; all but the last are there at the beginning.
    ///   - salt: Makes runs of the same seed differ, as those of different modes.
    init(seed: UInt64, salt: Int, steps count: Int, names: [String]) {
        self.seed = seed
        var random = SeededRandom(seed: seed &+ UInt64(salt) &* 0x9e37_79b9)
        family = Family.allCases.randomElement(using: &random) ?? .v4
        times = Bool.random(using: &random) ? ["hold: 2s", "keep-alive: 4s"] : []
        ending = Ending.allCases.randomElement(using: &random) ?? .killed
        // Each kind comes once before any comes twice, as far as it is possible.
        var kinds = Change.Kind.allCases.shuffled(using: &random)
        var backends = Backends(names)
        var steps: [Step] = []
        for _ in 0..<count {
            var changes: [Change] = []
            for _ in 0..<Int.random(in: 1...2, using: &random) {
                let others = Set(changes.compactMap(\.backend))
                for (index, kind) in kinds.enumerated() {
                    guard let change = backends.change(kind, sparing: others, &random)
                    else { continue }
                    kinds.append(kinds.remove(at: index))
                    backends.apply(change)
                    changes.append(change)
                    break
                }
            }
            let kill =
                Int.random(in: 0...2, using: &random) == 0
                ? Int.random(in: 0...400, using: &random) : nil
            let isReload =
                !changes.contains(.restart) && Bool.random(using: &random)
            steps.append(Step(changes: changes, isReload: isReload, kill: kill))
        }
        self.steps = steps
    }

    /// Which kinds of changes there are.
    var kinds: Set<Change.Kind> { Set(steps.flatMap(\.changes).map(\.kind)) }
}
