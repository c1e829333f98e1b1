import Balancing
import FoundationEssentials
import Testing

@testable import Control
@testable import martlet

struct TopTests {
    private func lines(
        _ model: TopModel, columns: Int = 110, rows: Int = 24, _ paper: Paper = Paper()
    ) -> [String] {
        TopScreen(model, TerminalSize(columns: columns, rows: rows), on: paper).lines
            .map(\.string)
    }

    private var model: TopModel { TopModel(Samples.status, Samples.counters) }

    /// The names of services and backends, in the order of the screen.
    private func names(_ model: TopModel, rows: Int = 24) -> [String] {
        let all = lines(model, rows: rows)
        let heading = all.firstIndex { $0.hasPrefix("SERVICE ") } ?? all.endIndex
        return all[(heading + 1)...].dropLast().compactMap {
            $0.split(separator: " ").first.map(String.init)
        }
    }

    @Test func `the screen says what becomes of packets, and how everything is`() {
        var shown = lines(model, columns: 80, rows: 18)
        // The clock is that of whoever runs the test.
        shown[0] = String(shown[0].dropLast(8)) + "12:00:00"
        #expect(
            shown.joined(separator: "\n") == """
                martlet  generation 7, applied 12 min ago: martlet.yaml                 12:00:00

                              RECEIVED     FORWARDED     TO KERNEL       REPLIED       DROPPED
                packets           1160          1000           100             0            60
                packet/s           116           100          10.0             -           6.0
                bit/s           92.8 k        80.0 k         8.0 k             -         4.8 k

                dropped        50       5.0/s  DROP_NO_BACKEND: nobody serves
                dropped        10       1.0/s  DROP_TRUNCATED: header cut short

                SERVICE     STATE         PKT/S   BIT/S  NEW/S  FLOWS   SHARE  LAST MINUTE
                web         2 of 2 serve    200   160 k      -      -                          █
                  server-a  up              100  80.0 k      -      -  50.0 %                  █
                  server-b  up              300   240 k      -      -  50.0 %                  █
                dns         0 of 1 serve      0       0      -      -                          ▁
                      NOBODY SERVES
                  ns1       down            100  80.0 k      -      -   0.0 %                  █
                q quit   s sort: as configured   p pause   ↑↓ jk scroll                 1-6 of 7
                """)
    }

    @Test func `new flows are told from the second reading on`() {
        var status = Samples.status
        var model = model
        status.taken += 2
        status.services[0].traffic = Samples.traffic(3000, rate: 500, flows: 40)
        model.take(status, Samples.counters)
        let course = model.shown.course(of: status.services[0])
        #expect(course.newFlows == 20)
        #expect(course.rates == [200, 500])
        // Counters that begin anew say nothing of the time before.
        status.taken += 2
        status.services[0].traffic = Samples.traffic(3000, rate: 500, flows: 3)
        model.take(status, Samples.counters)
        #expect(model.shown.course(of: status.services[0]).newFlows == nil)
    }

    @Test func `no more than a minute is remembered`() {
        var model = TopModel(Samples.status, Samples.counters, interval: 10)
        for _ in 0..<20 { model.take(Samples.status, Samples.counters) }
        #expect(model.shown.course(of: Samples.status.services[0]).rates.count == 6)
    }

    @Test func `sorting puts the busiest first, in each service too`() {
        var model = model
        #expect(names(model) == ["web", "server-a", "server-b", "dns", "NOBODY", "ns1", "no"])
        model.press(.sort, page: 5)
        #expect(
            names(model) == ["web", "server-b", "server-a", "dns", "NOBODY", "ns1", "no"])
        for _ in 0..<3 { model.press(.sort, page: 5) }
        #expect(model.order == .configured)
    }

    @Test func `a pause holds the picture, and what came meanwhile is there after it`() {
        var model = model
        var status = Samples.status
        model.press(.pause, page: 5)
        status.configuration.generation = 8
        model.take(status, Samples.counters)
        #expect(lines(model)[0].contains("generation 7,"))
        #expect(lines(model)[0].contains("PAUSED"))
        model.press(.pause, page: 5)
        #expect(lines(model)[0].contains("generation 8,"))
    }

    @Test func `scrolling stops at both ends`() {
        var model = model
        let size = TerminalSize(columns: 110, rows: 15)
        let screen = TopScreen(model, size)
        #expect(screen.lastOffset == 4)
        #expect(names(model, rows: 15) == ["web", "server-a", "server-b"])
        model.press(.up, page: screen.page)
        #expect(model.offset == 0)
        for _ in 0..<3 { model.press(.down, page: screen.page) }
        #expect(names(model, rows: 15) == ["dns", "NOBODY", "ns1"])
        for _ in 0..<3 { model.press(.pageDown, page: screen.page) }
        #expect(names(model, rows: 15) == ["NOBODY", "ns1", "no"])
        #expect(lines(model, rows: 15).last?.hasSuffix("5-7 of 7") == true)
    }

    @Test func `who gets nothing new says why, and keeps what was`() {
        var model = model
        model.trouble = "cannot connect to martlet.sock: Connection refused (111)\n  start it"
        let shown = lines(model)
        #expect(
            shown[1] == "NOTHING NEW: cannot connect to martlet.sock: Connection refused (111)")
        #expect(shown.contains { $0.contains("server-a") })
        model.take(Samples.status, Samples.counters)
        #expect(!lines(model).contains { $0.hasPrefix("NOTHING NEW") })
    }

    @Test(
        arguments: [1, 10, 40, 60, 80, 110, 200], [1, 2, 10, 24, 60])
    func `the screen fits every terminal`(columns: Int, rows: Int) {
        var status = Samples.status
        status.services[0].name = String(repeating: "long", count: 16)
        status.interfaces.append(.init(name: "eth2", obstacle: "interface does not exist"))
        let model = TopModel(status, Samples.counters)
        let shown = lines(model, columns: columns, rows: rows)
        #expect(shown.count == rows)
        #expect(shown.allSatisfy { $0.count <= columns }, "\(shown)")
    }

    @Test func `a locale without Unicode gets a screen without it`() {
        let shown = lines(model, Paper(hasUnicode: false)).joined()
        #expect(shown.utf8.allSatisfy { $0 < 0x80 })
    }

    @Test(
        arguments: [
            ("q", [.quit]), ("s", [.sort]), ("jj", [.down, .down]), ("x", []),
            ("\u{1B}[A", [.up]), ("\u{1B}OB", [.down]), ("\u{1B}[5~p", [.pageUp, .pause]),
            ("\u{1B}[Z", []), ("", []),
        ] as [(String, [TopKey])])
    func `keys are found in what is typed`(typed: String, keys: [TopKey]) {
        #expect(TopKey.keys(in: Array(typed.utf8)) == keys)
    }

    @Test(
        arguments: [
            ([], 4, "    "), ([1, 2, 7, 0], 4, "▃▄█▁"), ([5], 4, "   █"), ([0, 0], 3, " ▁▁"),
            ([1, 1, 7, 7], 2, "▃█"), ([1, 2], 0, ""),
        ] as [([Double], Int, String)])
    func `bars are as high as values, the newest at the right`(
        values: [Double], width: Int, shown: String
    ) {
        #expect(sparkline(values, width: width) == shown)
    }

    @Test func `bars of ASCII grow, too`() {
        #expect(sparkline([0, 1, 4, 7], width: 4, hasUnicode: false) == "_:+#")
    }
}
