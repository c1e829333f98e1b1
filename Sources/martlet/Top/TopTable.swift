import Control

/// Services and their backends, a row each, as wide as the terminal and no wider.
struct TopTable {
    let heading: StyledText
    let rows: [StyledText]

    /// What a row says, column by column.
    private struct Row {
        var name: StyledText
        var cells: [Column: StyledText] = [:]
        var rates: [Double] = []
        var remark: StyledText = ""
    }

    /// In the order in which they are shown.
    private enum Column: String, CaseIterable {
        case state = "STATE"
        case packets = "PKT/S"
        case bits = "BIT/S"
        case newFlows = "NEW/S"
        case flows = "FLOWS"
        case share = "SHARE"
        case latency = "LATENCY"

        /// A terminal that is too narrow for all loses these, one after the other.
        static let dispensable: [Column] = [.latency, .share, .newFlows, .flows, .bits]

        var alignment: Table.Alignment { self == .state ? .left : .right }
    }

    /// Bars, with fewer of which nobody sees a course.
    private static let leastBars = 16
    private static let mostBars = 60
    /// On a narrower terminal something else is worth more than where a service is.
    private static let widthWithKeys = 100

    init(_ picture: TopModel.Picture, order: TopModel.Order, width: Int, _ paper: Paper) {
        let rows = Self.rows(picture, order, withKeys: width >= Self.widthWithKeys)
        var columns = Column.allCases
        func widest(_ column: Column) -> Int {
            max(column.rawValue.count, rows.map { $0.cells[column]?.count ?? 0 }.max() ?? 0)
        }
        let longest = rows.map(\.name.count).max() ?? 0
        let nameWidth = min(max(longest, 7), max(16, width / 3))
        func fixed() -> Int { nameWidth + columns.reduce(0) { $0 + widest($1) + 2 } }
        for column in Column.dispensable where fixed() + Self.leastBars + 2 > width {
            columns.removeAll { $0 == column }
        }
        let rest = width - fixed() - 2
        let longestRemark = rows.map(\.remark.count).max() ?? 0
        let isRoomy = rest - Self.leastBars - 2 >= longestRemark
        let beside = isRoomy && longestRemark > 0 ? longestRemark + 2 : 0
        let bars = max(0, min(Self.mostBars, rest - beside))

        func line(
            _ name: StyledText, _ cell: (Column) -> StyledText, _ course: StyledText,
            _ remark: StyledText
        ) -> StyledText {
            let isCut = name.count > nameWidth
            let name = isCut ? name.cut(to: nameWidth - paper.dots.count) + paper.dots : name
            let front = columns.reduce(name.padded(to: nameWidth)) {
                $0 + "  " + cell($1).padded(to: widest($1), $1.alignment)
            }
            return front + "  " + course.padded(to: bars) + "  " + remark
        }
        heading = line(
            StyledText("SERVICE", .heading), { StyledText($0.rawValue, .heading) },
            StyledText(bars < 11 ? "MINUTE" : "LAST MINUTE", .heading).cut(to: bars), "")
        self.rows = rows.flatMap { row in
            let bars = sparkline(row.rates, width: bars, hasUnicode: paper.hasUnicode)
            let front = line(
                row.name, { row.cells[$0] ?? "" }, StyledText(bars), isRoomy ? row.remark : "")
            return isRoomy || row.remark.count == 0
                ? [front] : [front, "      " + row.remark]
        }
    }

    /// Every service with its backends below it.
    private static func rows(
        _ picture: TopModel.Picture, _ order: TopModel.Order, withKeys: Bool
    ) -> [Row] {
        let services = picture.status.services.sorted(by: order) {
            ($0.traffic, picture.course(of: $0))
        }
        return services.flatMap { service in
            let backends = service.backends.sorted(by: order) {
                ($0.traffic, picture.course(of: $0, service))
            }
            return [row(service, picture, withKey: withKeys)]
                + backends.map { row($0, service, picture) }
        }
    }

    private static func row(
        _ service: Status.Service, _ picture: TopModel.Picture, withKey: Bool
    ) -> Row {
        let flows = service.backends.compactMap(\.flows)
        let place = withKey ? "  \(service.key)" : ""
        var row = row(
            StyledText(service.name, .heading) + place, service.traffic,
            picture.course(of: service))
        row.cells[.state] = serving(service, " serve")
        row.cells[.flows] = StyledText(flows.isEmpty ? "-" : "\(flows.reduce(0, +))")
        row.remark = remarks(service)
        return row
    }

    private static func row(
        _ backend: Status.Backend, _ service: Status.Service, _ picture: TopModel.Picture
    ) -> Row {
        var row = row(
            StyledText("  \(backend.name)"), backend.traffic,
            picture.course(of: backend, service))
        row.cells[.state] = state(backend)
        row.cells[.flows] = StyledText(backend.flows.map { "\($0)" } ?? "-")
        row.cells[.share] = StyledText(percentage(backend.share))
        row.cells[.latency] = StyledText(latency(backend))
        if let maintenance = backend.maintenance {
            row.remark = StyledText(maintenance.reason ?? "")
        } else if let drain = backend.drain {
            row.remark = StyledText(drainText(drain, at: picture.status.taken))
        } else if state(backend).style == .bad {
            row.remark = StyledText(reason(backend))
        }
        return row
    }

    private static func row(
        _ name: StyledText, _ traffic: Traffic, _ course: TopModel.Course
    ) -> Row {
        Row(
            name: name,
            cells: [
                .packets: StyledText(rate(traffic.packetsPerSecond)),
                .bits: StyledText(rate(traffic.bitsPerSecond)),
                .newFlows: StyledText(rate(course.newFlows)),
            ], rates: course.rates)
    }
}

extension Array {
    /// What has most first; what has the same stays in its order.
    fileprivate func sorted(
        by order: TopModel.Order, _ amounts: (Element) -> (Traffic, TopModel.Course)
    ) -> [Element] {
        guard order != .configured else { return self }
        func amount(_ element: Element) -> Double {
            let (traffic, course) = amounts(element)
            let value =
                switch order {
                case .configured: Double?.none
                case .packets: traffic.packetsPerSecond
                case .bits: traffic.bitsPerSecond
                case .newFlows: course.newFlows
                }
            return value ?? 0
        }
        return enumerated().sorted {
            let (left, right) = (amount($0.element), amount($1.element))
            return left == right ? $0.offset < $1.offset : left > right
        }.map(\.element)
    }
}
