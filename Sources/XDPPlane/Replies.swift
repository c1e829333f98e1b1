import BPF
import CDatapath
import Netlink

/// Whether one of the interfaces is a veth, which sleeps through frames returned with `XDP_TX`
/// unless its peer runs an XDP program too.
func includeVeth(_ hooks: [XDPHook]) throws(BPF.Failure) -> Bool {
    do throws(Netlink.Failure) {
        var routes = try RouteSocket()
        let veths = Set(try routes.links().filter { $0.kind == "veth" }.map(\.index))
        return hooks.contains { veths.contains($0.index) }
    } catch {
        throw BPF.Failure(
            error.operation, error.subject, because: error.reason, cure: error.cure)
    }
}

/// Says how answers of the data path leave; what else the settings say stays.
func redirectReplies(
    _ isRedirected: Bool, by settings: borrowing Map<UInt32, martlet_settings>
) throws(BPF.Failure) {
    try setFlag(MARTLET_SETTING_REDIRECT_REPLIES, isRedirected, in: settings)
}

/// Sets a flag of the settings, or clears it; what else they say stays.
func setFlag(
    _ setting: martlet_setting, _ isSet: Bool, in settings: borrowing Map<UInt32, martlet_settings>
) throws(BPF.Failure) {
    guard var value = try settings.value(for: 0) else { return }
    let before = value.flags
    value.flags = isSet ? before | setting.rawValue : before & ~setting.rawValue
    if value.flags != before { try settings.set(value, for: 0) }
}
