/// A line of bars, as high as their values: the greatest is the highest, zero has none.
///
/// - Parameters:
///   - values: The oldest first; the newest stands at the right.
///   - width: In columns; where there are more values, a column has the mean of several.
func sparkline(_ values: [Double], width: Int, hasUnicode: Bool = true) -> String {
    guard width > 0 else { return "" }
    let columns = means(values, at: width)
    let bars = Array(hasUnicode ? "▂▃▄▅▆▇█" : ".:-=+*#")
    let highest = columns.max() ?? 0
    let drawn = columns.map { value -> Character in
        guard value > 0, highest > 0 else { return hasUnicode ? "▁" : "_" }
        return bars[min(bars.count - 1, Int(value / highest * Double(bars.count)))]
    }
    return String(repeating: " ", count: width - drawn.count) + String(drawn)
}

/// At most `width` values.
private func means(_ values: [Double], at width: Int) -> [Double] {
    guard values.count > width else { return values }
    return (0..<width).map { column in
        let part = values[values.count * column / width..<values.count * (column + 1) / width]
        return part.reduce(0, +) / Double(part.count)
    }
}
