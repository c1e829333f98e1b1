/// A line of the input of `martlet-lab hold`.
enum HoldOrder: Hashable, Sendable {
    /// Opens so many flows more.
    case open(Int)
    /// Has every open flow carry a record, and waits for those that are on their way to begin.
    case check
    /// Closes so many flows, or all; of this backend, or of any.
    case close(Int?, of: String?)
    /// Opens and closes so many flows a second from now on.
    case churn(Int)

    /// Reads `open 100`, `check`, `close 10`, `close all server-b`, `churn 50`.
    init?(_ line: String) {
        let words = line.split(separator: " ").map(String.init)
        let number = words.dropFirst().first.flatMap { UInt32($0) }.map(Int.init)
        switch (words.first, words.count, number) {
        case ("open", 2, let number?): self = .open(number)
        case ("check", 1, _): self = .check
        case ("close", 2...3, let number)
        where number != nil || words[1] == "all":
            self = .close(number, of: words.count == 3 ? words[2] : nil)
        case ("churn", 2, let number?): self = .churn(number)
        default: return nil
        }
    }
}
