/// The word that `text` is a slip of the pen away from, if there is one.
///
/// Two slips at most, and for words of three letters one: else any short word would be near.
func nearest(to text: String, among words: [String]) -> String? {
    guard (1...32).contains(text.utf8.count) else { return nil }
    let text = Array(text.lowercased())
    return words.map { (word: $0, distance: editDistance(Array($0), text)) }
        .filter { $0.distance <= min(2, $0.word.count / 2) }
        .min { $0.distance < $1.distance }?.word
}

/// How many letters must be added, removed, replaced or swapped with their neighbour
/// (optimal string alignment).
private func editDistance(_ left: [Character], _ right: [Character]) -> Int {
    var beforeLast: [Int] = []
    var last = Array(0...right.count)
    for (row, letter) in left.enumerated() {
        var current = [row + 1]
        for (column, other) in right.enumerated() {
            var cost = min(
                last[column + 1] + 1, current[column] + 1, last[column] + (letter == other ? 0 : 1))
            if row > 0, column > 0, letter == right[column - 1], left[row - 1] == other {
                cost = min(cost, beforeLast[column - 1] + 1)
            }
            current.append(cost)
        }
        (beforeLast, last) = (last, current)
    }
    return last[right.count]
}
