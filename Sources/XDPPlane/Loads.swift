import BPF
public import Balancing
import CDatapath

// What backends can bear, and what they bear: `backend_loads`. Every field is written by a store of
// its own, for the program counts and measures in those beside it.

extension XDPPlane {
    public func setLatency(_ latency: [BackendID: UInt32]) throws {
        for (id, latency) in latency {
            loadWords[LoadWord.latency.index(of: Int(id.number))] = max(1, latency)
        }
    }

    public func loads() throws -> [BackendID: MeasuredLoad] {
        var measured: [BackendID: MeasuredLoad] = [:]
        for index in takenRecords {
            let flows = loadWords[LoadWord.flows.index(of: index)]
            let latency = loadWords[LoadWord.latency.index(of: index)]
            measured[BackendID(UInt16(index))] = MeasuredLoad(
                // For a moment it may be below 0: see choose.h.
                flows: flows >> 31 == 0 ? flows : 0, latency: max(1, latency))
        }
        return measured
    }

    /// Of a backend that has no flows yet.
    func addLoad(_ load: PlaneContents.Load, to index: Int) {
        loadWords[LoadWord.flows.index(of: index)] = 0
        loadWords[LoadWord.latency.index(of: index)] = 1
        setLoad(load, of: index)
    }

    func setLoad(_ load: PlaneContents.Load, of index: Int) {
        let flags =
            (load.isClosed ? MARTLET_LOAD_CLOSED.rawValue : 0)
            | (load.isLost ? MARTLET_LOAD_LOST.rawValue : 0)
        loadWords[LoadWord.limit.index(of: index)] = load.limit
        loadWords[LoadWord.weightAndFlags.index(of: index)] = UInt32(load.weight) | flags << 16
    }

    func load(of index: Int) -> PlaneContents.Load {
        let word = loadWords[LoadWord.weightAndFlags.index(of: index)]
        return PlaneContents.Load(
            limit: loadWords[LoadWord.limit.index(of: index)],
            weight: UInt16(truncatingIfNeeded: word),
            isClosed: word >> 16 & MARTLET_LOAD_CLOSED.rawValue != 0,
            isLost: word >> 16 & MARTLET_LOAD_LOST.rawValue != 0)
    }
}

/// `struct martlet_load` as words of 32 bits.
enum LoadWord: Int, CaseIterable {
    case flows
    case limit
    case latency
    /// The weight in the lower half.
    case weightAndFlags

    func index(of backend: Int) -> Int { backend * Self.allCases.count + rawValue }
}
