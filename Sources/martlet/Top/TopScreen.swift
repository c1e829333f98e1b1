import Control

/// What `martlet top` shows: a pure function of what it knows and of the terminal's size.
struct TopScreen {
    /// As many as the terminal has rows, or fewer; none is wider than it.
    let lines: [StyledText]
    /// How many rows of services and backends are seen at a time.
    let page: Int
    /// How far they can be scrolled.
    let lastOffset: Int

    init(_ model: TopModel, _ size: TerminalSize, on paper: Paper = Paper()) {
        let picture = model.shown
        let head = header(model, size) + totals(picture.counters, size)
        let most = max(1, size.rows / 8)
        var alarms = obstacles(picture.status) + drops(picture.counters, most: most)
        if !alarms.isEmpty { alarms.append("") }
        let table = TopTable(picture, order: model.order, width: size.columns, paper)
        // The headings of the table and the last line stay where they are.
        page = max(1, size.rows - head.count - alarms.count - 2)
        lastOffset = max(0, table.rows.count - page)
        let offset = min(model.offset, lastOffset)
        let body = table.rows.dropFirst(offset).prefix(page)
        var lines = head + alarms + [table.heading] + body
        lines += Array(
            repeating: "", count: max(0, size.rows - 1 - lines.count))
        lines = Array(lines.prefix(max(0, size.rows - 1)))
        let seen = "\(offset + 1)-\(offset + body.count) of \(table.rows.count)"
        lines.append(footer(model, seen: lastOffset > 0 ? seen : "", size, paper))
        self.lines = lines.map { $0.cut(to: size.columns).withoutBlanksAtEnd }
    }
}

/// Which configuration counts, and when this was so; below it why nothing newer is seen.
private func header(_ model: TopModel, _ size: TerminalSize) -> [StyledText] {
    let status = model.shown.status
    let configuration = status.configuration
    var text = "martlet"
    if configuration.generation > 0 { text += "  generation \(configuration.generation)" }
    if let applied = configuration.applied {
        text += ", applied \(age(from: applied, to: status.taken)) ago"
    }
    if let cause = configuration.cause { text += ": \(cause)" }
    let now = clock(status.taken).suffix(8)
    let state = model.isPaused ? StyledText("PAUSED ", .caution) : ""
    let right = state + StyledText(String(now), .heading)
    let left = StyledText(text, .heading).cut(to: size.columns - right.count - 2)
    var lines = [left.padded(to: size.columns - right.count) + right]
    if configuration.refusal != nil {
        lines.append(
            StyledText("A CHANGE WAS REFUSED, and nothing changed: see martlet status", .bad))
    }
    if let trouble = model.trouble {
        let reason = trouble.split(separator: "\n").first.map(String.init) ?? trouble
        lines.append(StyledText("NOTHING NEW: \(reason)", .bad))
    }
    return lines
}

/// What became of all packets.
private func totals(_ counters: CountersReport, _ size: TerminalSize) -> [StyledText] {
    let kinds = ["FORWARD_", "PASS_", "REPLY_", "DROP_"]
    let parts = kinds.map { kind in
        let traffic = counters.verdicts.filter { $0.name.hasPrefix(kind) }.map(\.traffic)
        let rates = traffic.compactMap(\.packetsPerSecond)
        let bits = traffic.compactMap(\.bitsPerSecond)
        return (
            packets: traffic.reduce(0) { $0 + $1.packets },
            rate: rates.isEmpty ? nil : rates.reduce(0, +),
            bits: bits.isEmpty ? nil : bits.reduce(0, +)
        )
    }
    let all = counters.received
    let width = max(9, min(13, (size.columns - 8) / 5 - 1))
    func line(_ name: String, _ cells: [String], _ styles: [Style] = []) -> StyledText {
        zip(cells, styles + Array(repeating: .plain, count: cells.count))
            .reduce(StyledText(name).padded(to: 8)) { line, cell in
                line + " " + StyledText(cell.0, cell.1).padded(to: width, .right)
            }
    }
    let drops: Style = (parts[3].rate ?? 0) > 0 ? .bad : .plain
    return [
        "",
        line(
            "", ["RECEIVED", "FORWARDED", "TO KERNEL", "REPLIED", "DROPPED"],
            Array(repeating: .heading, count: 5)),
        line("packets", (["\(all.packets)"] + parts.map { "\($0.packets)" })),
        line(
            "packet/s", [rate(all.packetsPerSecond)] + parts.map { rate($0.rate) },
            [.plain, .plain, .plain, .plain, drops]),
        line("bit/s", [rate(all.bitsPerSecond)] + parts.map { rate($0.bits) }),
        "",
    ]
}

/// Where the program should run and does not, and a flow table that has no room.
private func obstacles(_ status: Status) -> [StyledText] {
    var lines = status.interfaces.filter { $0.program == nil }.map {
        let reason = $0.obstacle?.split(separator: "\n").first ?? "not known why"
        return StyledText("\($0.name): NOT ATTACHED: \(reason)", .bad)
    }
    if status.interfaces.isEmpty {
        lines.append(StyledText("the program runs on no interface", .bad))
    }
    if status.flowTable.isFrozen { lines.append(StyledText("FLOW TABLE NEARLY FULL", .bad)) }
    return lines
}

/// Why packets are dropped: what is dropped now first, then what was.
private func drops(_ counters: CountersReport, most: Int) -> [StyledText] {
    let reasons = counters.verdicts.filter {
        $0.name.hasPrefix("DROP_") && $0.traffic.packets > 0
    }.sorted {
        ($0.traffic.packetsPerSecond ?? 0, $0.traffic.packets)
            > ($1.traffic.packetsPerSecond ?? 0, $1.traffic.packets)
    }
    var lines = reasons.prefix(most).map { reason in
        let isNow = (reason.traffic.packetsPerSecond ?? 0) > 0
        let numbers = StyledText("\(reason.traffic.packets)").padded(to: 10, .right)
            + StyledText("\(rate(reason.traffic.packetsPerSecond))/s").padded(to: 12, .right)
        return "dropped" + numbers + "  "
            + StyledText("\(reason.name): \(reason.text)", isNow ? .bad : .plain)
    }
    if reasons.count > most {
        lines.append(StyledText("and for \(count(reasons.count - most, "other reason"))"))
    }
    return lines
}

private func footer(
    _ model: TopModel, seen: String, _ size: TerminalSize, _ paper: Paper
) -> StyledText {
    let arrows = paper.hasUnicode ? "↑↓" : "arrows"
    let pause = model.isPaused ? "go on" : "pause"
    let keys = "q quit   s sort: \(model.order.rawValue)   p \(pause)   \(arrows) jk scroll"
    let left = StyledText(keys, .faint).cut(to: size.columns)
    return left.padded(to: size.columns - seen.count) + StyledText(seen, .faint)
}
