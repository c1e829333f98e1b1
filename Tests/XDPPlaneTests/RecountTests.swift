import Testing

@testable import XDPPlane

/// The numbers of open flows, which the program counts and the sweep sets right.
struct RecountTests {
    private func correction(
        _ recount: inout Recount, _ before: UInt32, _ after: UInt32, counted: UInt32
    ) -> Recount.Correction {
        recount.correction(of: 1, before: before, after: after, counted: counted)
    }

    @Test func `a number that stood still becomes what was counted`() {
        var recount = Recount()
        #expect(correction(&recount, 5, 5, counted: 5) == .none)
        #expect(correction(&recount, 5, 5, counted: 3) == .replace(5, with: 3))
        #expect(correction(&recount, 5, 5, counted: 0) == .replace(5, with: 0))
        #expect(correction(&recount, .max, .max, counted: 1) == .replace(.max, with: 1))
    }

    @Test func `one that moved is left alone twice, and then gets the least difference`() {
        var recount = Recount()
        #expect(correction(&recount, 100, 110, counted: 150) == .none)
        #expect(correction(&recount, 110, 120, counted: 150) == .none)
        #expect(correction(&recount, 120, 110, counted: 155) == .add(30))
        // And then begins anew.
        #expect(correction(&recount, 140, 141, counted: 150) == .none)
        #expect(correction(&recount, 140, 141, counted: 150) == .none)
        #expect(correction(&recount, 140, 141, counted: 150) == .add(9))
    }

    @Test func `too many are taken away the same way`() {
        var recount = Recount()
        for _ in 0..<2 { #expect(correction(&recount, 50, 40, counted: 20) == .none) }
        #expect(correction(&recount, 60, 70, counted: 55) == .add(-5))
    }

    @Test func `what lies within its moves is no difference`() {
        var recount = Recount()
        for counted: UInt32 in [100, 105, 110] {
            #expect(correction(&recount, 100, 110, counted: 120) == .none)
            #expect(correction(&recount, 100, 110, counted: 120) == .none)
            #expect(correction(&recount, 100, 110, counted: counted) == .none)
        }
    }

    @Test func `a difference the other way begins anew, and so does a number that stands still`() {
        var recount = Recount()
        for _ in 0..<5 {
            #expect(correction(&recount, 100, 101, counted: 120) == .none)
            #expect(correction(&recount, 100, 101, counted: 120) == .none)
            #expect(correction(&recount, 100, 101, counted: 90) == .none)
            #expect(correction(&recount, 100, 101, counted: 90) == .none)
            #expect(correction(&recount, 100, 100, counted: 100) == .none)
        }
    }

    @Test func `less than nothing, as a sum modulo 2^32 has it, is set right, too`() {
        var recount = Recount()
        for _ in 0..<2 {
            #expect(correction(&recount, 0 &- 4, 0 &- 3, counted: 2) == .none)
        }
        #expect(correction(&recount, 0 &- 4, 0 &- 3, counted: 2) == .add(5))
    }

    @Test func `each backend has a trend of its own, until it is gone`() {
        var recount = Recount()
        for backend in 1...2 {
            for _ in 0..<2 {
                let correction = recount.correction(
                    of: backend, before: 1, after: 2, counted: 9)
                #expect(correction == .none)
            }
        }
        recount.keep { $0 == 2 }
        #expect(recount.correction(of: 1, before: 1, after: 2, counted: 9) == .none)
        #expect(recount.correction(of: 2, before: 1, after: 2, counted: 9) == .add(7))
    }
}
