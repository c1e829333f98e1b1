import SeededRandom

/// What may happen to the backends of a service without any connection being cut.
enum Change: Hashable, CustomStringConvertible {
    /// It comes into the file, at the end.
    case add(String, weight: Int)
    case weigh(String, Int)
    /// `martlet drain`, and its contrary.
    case drain(String)
    case undrain(String)
    /// A drained backend goes out of the file, when its flows have ended.
    case remove(String)
    /// A backend goes out of the file with all its flows.
    case abandon(String)
    case reorder([String])
    /// It fails its checks, with status 503 or because nobody listens for them.
    case sicken(String, isClosed: Bool)
    case heal(String)
    /// The controller is stopped and started again.
    case restart

    enum Kind: CaseIterable {
        case add, weigh, drain, undrain, remove, abandon, reorder, sicken, heal, restart
    }

    var kind: Kind {
        switch self {
        case .add: .add
        case .weigh: .weigh
        case .drain: .drain
        case .undrain: .undrain
        case .remove: .remove
        case .abandon: .abandon
        case .reorder: .reorder
        case .sicken: .sicken
        case .heal: .heal
        case .restart: .restart
        }
    }

    /// The backend that it is about; nil: it is about all.
    var backend: String? {
        switch self {
        case .add(let name, _), .weigh(let name, _), .drain(let name), .undrain(let name),
            .remove(let name), .abandon(let name), .sicken(let name, _), .heal(let name):
            name
        case .reorder, .restart: nil
        }
    }

    var description: String {
        switch self {
        case .add(let name, let weight): "add \(name) with weight \(weight)"
        case .weigh(let name, let weight): "give \(name) weight \(weight)"
        case .drain(let name): "drain \(name)"
        case .undrain(let name): "undrain \(name)"
        case .remove(let name): "end all flows of \(name), which is drained, and remove it"
        case .abandon(let name): "remove \(name) with its flows"
        case .reorder(let names): "order as \(names.joined(separator: ", "))"
        case .sicken(let name, let isClosed): "\(name) fails with \(isClosed ? "RST" : "503")"
        case .heal(let name): "\(name) is well again"
        case .restart: "restart the controller"
        }
    }
}

/// The backends as a sequence of changes has left them. Pure.
struct Backends: Hashable {
    struct Member: Hashable {
        let name: String
        var weight: Int
        var isDrained = false

        init(_ name: String, weight: Int) {
            self.name = name
            self.weight = weight
        }
    }

    /// All that exist, in the file or not.
    let names: [String]
    /// Those in the file, in its order.
    private(set) var members: [Member]
    private(set) var sick: Set<String> = []

    /// All of `names` but the last are in the file.
    init(_ names: [String]) {
        self.names = names
        members = names.dropLast().map { Member($0, weight: 1) }
    }

    /// Those that new flows come to; there are always two.
    var serving: Set<String> { Set(members.filter(serves).map(\.name)) }

    private func serves(_ member: Member) -> Bool {
        member.weight > 0 && !member.isDrained && !sick.contains(member.name)
    }

    mutating func apply(_ change: Change) {
        switch change {
        case .add(let name, let weight): members.append(Member(name, weight: weight))
        case .weigh(let name, let weight): update(name) { $0.weight = weight }
        case .drain(let name): update(name) { $0.isDrained = true }
        case .undrain(let name): update(name) { $0.isDrained = false }
        case .remove(let name), .abandon(let name): members.removeAll { $0.name == name }
        case .reorder(let order):
            members.sort { order.firstIndex(of: $0.name)! < order.firstIndex(of: $1.name)! }
        case .sicken(let name, _): sick.insert(name)
        case .heal(let name): sick.remove(name)
        case .restart: break
        }
    }

    private mutating func update(_ name: String, _ body: (inout Member) -> Void) {
        for index in members.indices where members[index].name == name { body(&members[index]) }
    }

    /// A change of that kind which is possible now and leaves two that serve; nil: there is none.
    ///
    /// - Parameter others: Backends that something else happens to at the same time.
    func change(
        _ kind: Change.Kind, sparing others: Set<String>, _ random: inout SeededRandom
    ) -> Change? {
        let present = members.filter { !others.contains($0.name) }
        func pick(_ condition: (Member) -> Bool = { _ in true }) -> Member? {
            present.filter(condition).randomElement(using: &random)
        }
        let change: Change? =
            switch kind {
            case .add:
                names.filter { name in
                    !others.contains(name) && !members.contains { $0.name == name }
                }.randomElement(using: &random)
                    .map { .add($0, weight: .random(in: 1...3, using: &random)) }
            case .weigh:
                pick().flatMap { member in
                    (0...4).filter { $0 != member.weight }.randomElement(using: &random)
                        .map { .weigh(member.name, $0) }
                }
            case .drain: pick { !$0.isDrained }.map { .drain($0.name) }
            case .undrain: pick(\.isDrained).map { .undrain($0.name) }
            case .remove: pick(\.isDrained).map { .remove($0.name) }
            case .abandon: pick { !$0.isDrained }.map { .abandon($0.name) }
            case .reorder: .reorder(members.map(\.name).shuffled(using: &random))
            case .sicken:
                pick { !sick.contains($0.name) }
                    .map { .sicken($0.name, isClosed: .random(using: &random)) }
            case .heal: pick { sick.contains($0.name) }.map { .heal($0.name) }
            case .restart: .restart
            }
        guard let change else { return nil }
        var after = self
        after.apply(change)
        return after.serving.count >= 2 ? change : nil
    }
}
