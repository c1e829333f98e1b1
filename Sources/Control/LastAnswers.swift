import Packets

/// Who has answered lately. If nobody but the one in question has, it may be this node that can't
/// be heard, and the others are not dead for being silent.
struct LastAnswers {
    private var latest: (address: IPAddress, time: Duration)?
    /// The last answer of anybody else.
    private var other: (address: IPAddress, time: Duration)?

    mutating func note(_ address: IPAddress, at time: Duration) {
        if let latest, latest.address != address { other = latest }
        latest = (address, time)
    }

    /// Whether anybody but `address` has answered since then.
    func hasOther(than address: IPAddress, since time: Duration) -> Bool {
        guard let last = latest?.address == address ? other : latest else { return false }
        return last.time >= time
    }
}
