import BPF

/// Who writes a map while packets pass, and so what must be done when it is replaced by a larger
/// or smaller one.
enum MapWriters {
    /// The controller alone: what has been copied once stays a true copy.
    case controller
    /// Each CPU its own numbers: they are poured over when no packet meets the old map any more.
    case counting
    /// The program, and what it has written is worth nothing a tick later.
    case programForATick
    /// The program makes entries that may go any time.
    case programForAWhile
    case flows
    case natFlows
    /// Fields that are added to, beside fields that the controller sets.
    case loads
    case turns

    /// By the map's name in bpf/src/maps.h.
    init(of map: String) {
        switch map {
        case "flow_counters", "verdict_counters", "service_counters", "backend_counters":
            self = .counting
        case "error_budget": self = .programForATick
        case "fragments": self = .programForAWhile
        case "flows": self = .flows
        case "nat_tables": self = .natFlows
        case "backend_loads": self = .loads
        case "turns": self = .turns
        default: self = .controller
        }
    }
}
