public import Balancing
import ConfigurationFile
import FoundationEssentials
import Logging

// From one configuration to the next, without a hole in between.

extension Controller {
    /// Every configuration that is applied from now on.
    public nonisolated func appliedConfigurations() -> AsyncStream<DesiredState> {
        configurations.stream()
    }

    public var generation: Generation { configuration.generation }

    /// What is desired now.
    public var desired: DesiredState { known.desired }

    /// The newest first, without what they are made of.
    public func history() throws -> [Generation] {
        guard let store = configuration.store else { return [] }
        return try store.list().reversed()
    }

    public func generation(_ number: Int) throws -> Generation {
        if number == configuration.generation.number { return configuration.generation }
        guard let store = configuration.store,
            var found = try store.list().first(where: { $0.number == number })
        else {
            throw Refusal(
                .unknown,
                "there is no generation \(number); `martlet history` shows those that are kept")
        }
        found.layers = try store.layers(of: number)
        return found
    }

    /// What a change would do, without doing it.
    public func plan(_ proposal: Proposal) async throws -> PlanReport {
        try await oneAtATime {
            let draft = try await draft(of: proposal)
            defer { tables.forget() }
            return try report(on: draft)
        }
    }

    /// Carries a change out, and returns what counts then: the present generation if nothing
    /// changes.
    ///
    /// - Throws: ``Refusal``, or what the file system says; with nothing changed.
    public func apply(_ proposal: Proposal, _ order: ChangeOrder) async throws -> Generation {
        try await oneAtATime {
            do {
                try check(order)
                let draft = try await draft(of: proposal)
                defer { tables.forget() }
                return try commit(draft, order)
            } catch {
                note(error, of: proposal)
                throw error
            }
        }
    }

    /// Lets nobody else work on the configuration meanwhile: large texts take long to read, and are
    /// read for nothing if another one is applied in between.
    private func oneAtATime<Result>(
        _ body: () async throws -> Result
    ) async throws -> Result {
        if isChanging {
            await withCheckedContinuation { changesWaiting.append($0) }
        }
        isChanging = true
        defer {
            // Who comes next has the turn at once: nobody gets in between.
            if changesWaiting.isEmpty {
                isChanging = false
            } else {
                changesWaiting.removeFirst().resume()
            }
        }
        return try await body()
    }

    /// Whether `order` may still be followed.
    public func check(_ order: ChangeOrder) throws(Refusal) {
        let present = configuration.generation.number
        guard let wanted = order.generation, wanted != present else { return }
        throw Refusal(
            .stale,
            "generation \(wanted) does not count any more: it is \(present) now; "
                + "look at what has changed, and order again")
    }

    private func commit(_ draft: Draft, _ order: ChangeOrder) throws -> Generation {
        let report = try report(on: draft)
        if let plan = order.plan, plan != report.token {
            throw Refusal(
                .stale,
                "the plan \(plan) does not hold any more: something has changed since, and it is "
                    + "\(report.token) now; look at it with `martlet plan`, and apply that")
        }
        let before = configuration.generation
        guard draft.state != known.desired else {
            // The file may say the same in other words.
            var generation = before
            (generation.layers, generation.ownFile) = (draft.layers, draft.ownFile)
            try configuration.store?.prepare(generation.number, draft.layers)
            try configuration.store?.commit(generation)
            take(generation, draft)
            return generation
        }
        let generation = draft.generation(
            before.number + 1, by: order.requester.name, summary: summary(of: report), at: now())
        try configuration.store?.prepare(generation.number, draft.layers)
        let earlier = known.desired
        do {
            try reconfigure(to: draft.state)
        } catch {
            throw Refusal(
                .conflict,
                "cannot apply generation \(generation.number): \(error); what counted before "
                    + "goes on")
        }
        do {
            try configuration.store?.commit(generation)
        } catch {
            try reconfigure(to: earlier)
            throw error
        }
        take(generation, draft)
        tell(
            .notice, .generation,
            "generation \(generation.number): \(generation.summary) (\(draft.cause), by "
                + "\(generation.by))")
        configurations.tell(draft.state)
        return generation
    }

    private func take(_ generation: Generation, _ draft: Draft) {
        configuration.generation = generation
        configuration.weightsOfFile = draft.weightsOfFile
        configuration.refusal = nil
        events.enter(generation: generation.number)
        for text in draft.dropped { tell(.warning, .generation, text) }
    }

    /// Has another configuration count, with all that is known of what stays; or throws, and the
    /// one before counts.
    package func reconfigure(to desired: DesiredState) throws {
        let earlier = known
        do {
            try interfaces?.widen(to: desired.interfaces, mode: desired.attachMode)
            known = Knowledge(
                desired, slotCount: slotCount, in: contents, after: earlier, at: now(), &tables)
            knownPlaces = nil
            // What is known of who leaves is to outlive us before it counts.
            try save()
            try bringUpToDate()
            try setLatencies()
        } catch {
            known = earlier
            interfaces?.narrow(to: earlier.desired.interfaces, mode: earlier.desired.attachMode)
            try? save()
            isInDoubt = true
            removeLeftovers()
            throw error
        }
        interfaces?.narrow(to: desired.interfaces, mode: desired.attachMode)
        lastResults = lastResults.filter { known.probed[$0.key] != nil }
        let addresses = addresses
        reachability = reachability.filter { addresses.contains($0.key) }
        for drain in known.drains.values.sorted(by: { $0.reference < $1.reference })
        where drain.isForLeaving && earlier.drains[drain.reference]?.isForLeaving != true {
            tellLeaving(drain)
        }
    }

    /// Takes back what a refused change may have left in the plane, of which part of a step may
    /// have been done; to be called every second.
    func removeLeftovers() {
        guard isInDoubt else { return }
        do {
            contents = try plane.contents()
            clock = PhaseClock(contents, at: uptime())
            knownPlaces = nil
            try bringUpToDate()
            (isInDoubt, lastDoubt) = (false, nil)
        } catch {
            let reason = "what a refused change left is not removed yet: \(error)"
            if lastDoubt != reason { trouble(reason) }
            lastDoubt = reason
        }
    }

    /// That a change was refused is counted, and that the own file was is shown until another one
    /// is taken.
    private func note(_ error: any Error, of proposal: Proposal) {
        guard case .reload = proposal else {
            configuration.refusals += 1
            return
        }
        configuration.refuse("\(error)", at: now())
        tell(
            .error, .refusal,
            "the file is not applied, and generation \(configuration.generation.number) goes on: "
                + "\(error)")
    }

    func configurationStatus() -> Status.Configuration {
        let generation = configuration.generation
        var status = Status.Configuration(
            generation: generation.number, applied: generation.applied, by: generation.by,
            cause: generation.cause)
        status.refusal = configuration.refusal?.reason
        status.refused = configuration.refusal?.at
        status.refusals = configuration.refusals
        status.applySeconds = applyTime.map { $0 / .seconds(1) }
        status.tablesBuilt = tables.built
        return status
    }
}

// MARK: - What is proposed

extension Controller {
    private func draft(of proposal: Proposal) async throws -> Draft {
        var earlier: Generation?
        if case .rollback(let number) = proposal {
            let number =
                try number ?? previous(before: configuration.generation.number, in: history())
            earlier = try generation(number)
        }
        return try await read(proposal, over: configuration, known.desired, earlier: earlier)
    }

    /// Reads what is proposed: beside the controller, for a large file takes long.
    @concurrent
    private nonisolated func read(
        _ proposal: Proposal, over base: Configuration, _ desired: DesiredState,
        earlier: Generation?
    ) async throws -> Draft {
        guard let present = base.generation.layers else {
            throw Refusal(.conflict, "this controller has no configuration that can be changed")
        }
        do {
            return try Draft.of(proposal, over: base, present, desired, earlier: earlier)
        } catch let errors as ConfigurationErrors {
            throw Refusal(.invalid, "\(errors)", errors: errors)
        } catch let refusal as LayerRefusal {
            throw Refusal(refusal.kind.ofRefusal, "\(refusal)")
        }
    }
}

/// The one before the present one.
private func previous(before number: Int, in history: [Generation]) throws(Refusal) -> Int {
    guard let previous = history.map(\.number).filter({ $0 < number }).max() else {
        throw Refusal(.conflict, "there is no generation before \(number) to go back to")
    }
    return previous
}

extension LayerRefusal.Kind {
    fileprivate var ofRefusal: Refusal.Kind {
        switch self {
        case .unknown: .unknown
        case .conflict: .conflict
        case .invalid: .invalid
        }
    }
}

extension Draft {
    /// - Parameters:
    ///   - present: What the present generation is made of.
    ///   - desired: What that asks for.
    ///   - earlier: The generation to go back to.
    fileprivate static func of(
        _ proposal: Proposal, over base: Configuration, _ present: Layers,
        _ desired: DesiredState, earlier: Generation?
    ) throws -> Draft {
        let ownFile = base.generation.ownFile
        func ordered(_ order: LayerOrder, _ cause: String) throws -> Draft {
            try Draft(
                ordered: present.changed(by: order, over: desired), cause: cause, ownFile: ownFile)
        }
        switch proposal {
        case .file(let text, let name):
            let layers = try present.changed(by: .file(text: text, name: name), over: desired)
            return try Draft(layers, cause: "applied from \(name)", ownFile: ownFile)
        case .reload:
            guard let file = base.file else {
                throw Refusal(.conflict, "this controller has no file to read anew")
            }
            let (text, name) = try file()
            let layers = try present.changed(by: .file(text: text, name: name), over: desired)
            return try Draft(
                layers, cause: "read from \(name)", ownFile: Generation.OwnFile(name, text))
        case .rollback:
            guard let earlier, let layers = earlier.layers else {
                throw Refusal(.conflict, "what that generation was made of is not known")
            }
            return try Draft(
                layers, cause: "back to generation \(earlier.number)", ownFile: ownFile)
        case .setService(let name, let text):
            return try ordered(.setService(name, text: text), "service \(name) set over the API")
        case .removeService(let name):
            return try ordered(.removeService(name), "service \(name) removed over the API")
        case .setBackend(let backend, let text):
            return try ordered(
                .setBackend(service: backend.service, name: backend.backend, text: text),
                "\(backend) set over the API")
        case .removeBackend(let backend):
            return try ordered(
                .removeBackend(service: backend.service, name: backend.backend),
                "\(backend) removed over the API")
        case .setWeight(let backend, let weight):
            return try ordered(
                .setWeight(service: backend.service, backend: backend.backend, weight),
                weight.map { "weight \($0) for \(backend)" } ?? "the file's weight for \(backend)")
        }
    }
}
