import SeededRandom

/// The same seed, the same packets.
typealias Random = SeededRandom

extension SeededRandom {
    /// True once in `times`.
    mutating func once(in times: UInt64) -> Bool { next() % times == 0 }

    mutating func number(_ range: ClosedRange<Int>) -> Int {
        range.lowerBound + Int(next() % UInt64(range.count))
    }

    mutating func pick<Element>(_ elements: [Element]) -> Element {
        elements[Int(next() % UInt64(elements.count))]
    }

    mutating func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) }
    }

    mutating func number16() -> UInt16 { UInt16(truncatingIfNeeded: next()) }
}
