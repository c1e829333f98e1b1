/// How much one configuration can hold.
public enum Limits {
    /// Bytes of a file: 100 for each of the most backends, and room to spare.
    public static let fileSize = 4 << 20
    /// The data path numbers services with 12 bits; 0 is none.
    public static let services = 4095
    /// Backends of one service: with 65,536 slots each still gets 16.
    public static let backendsOfService = 4096
    /// A slot word names a backend with 15 bits; half of the numbers are left free, so that a
    /// configuration that replaces every backend finds records for the new ones.
    public static let backends = 16383
}
