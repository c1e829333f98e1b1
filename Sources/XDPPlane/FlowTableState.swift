import BPF
public import Balancing
import CDatapath

// What the flow table is doing, apart from the flows in it.

extension XDPPlane {
    public func flowEvents() throws -> FlowEvents {
        FlowEvents(
            made: try count(MARTLET_FLOW_MADE), refused: try count(MARTLET_FLOW_REFUSED),
            evicted: try count(MARTLET_FLOW_EVICTED), frozen: try count(MARTLET_FLOW_FROZEN))
    }

    public func freeze(_ isFrozen: Bool) throws {
        try setFlag(MARTLET_SETTING_FROZEN, isFrozen, in: tables.settings)
    }

    private func count(_ event: martlet_flow_event) throws(Failure) -> UInt64 {
        try tables.flowCounters.perCPU(event.rawValue).reduce(0, &+)
    }
}
