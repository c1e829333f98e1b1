public import Balancing

/// Has the data path on the interfaces of the configuration.
public protocol InterfaceKeeper: Sendable {
    /// Puts it where it is missing, and leaves all others; or throws with nothing changed.
    func widen(to interfaces: [String], mode: AttachMode) throws
    /// Takes it from all others.
    func narrow(to interfaces: [String], mode: AttachMode)
}
