import BPF
import Balancing
import Synchronization

/// Slot tables in our memory that have been written: to map one takes longer than to write it, and
/// a backend that a thousand services share is written to a thousand.
final class WrittenSlots: Sendable {
    /// A class, for dictionaries hold nothing that can't be copied.
    final class Table: Sendable {
        let words: MappedArray<UInt32>

        init(_ words: consuming MappedArray<UInt32>) { self.words = words }
    }

    private let tables = Mutex<[ServiceID: Table]>([:])

    /// The table of `service`, made if it is not known.
    func table(
        of service: ServiceID, orMake make: () throws(Failure) -> Table
    ) throws(Failure) -> Table {
        if let known = tables.withLock({ $0[service] }) { return known }
        let made = try make()
        tables.withLock { $0[service] = made }
        return made
    }

    /// The service has another table from now on, or none.
    func forget(_ service: ServiceID) { tables.withLock { $0[service] = nil } }
}
