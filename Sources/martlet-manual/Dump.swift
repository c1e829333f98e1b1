/// What `martlet --experimental-dump-help` prints, as far as a page needs it.
struct Dump: Decodable {
    var command: Command

    struct Command: Decodable {
        var commandName: String
        var abstract: String?
        var discussion: String?
        var arguments: [Argument]?
        var subcommands: [Command]?
        var shouldDisplay: Bool?
    }

    struct Argument: Decodable {
        var kind: Kind
        var names: [Name]?
        var valueName: String?
        var abstract: String?
        var discussion: String?
        var defaultValue: String?
        var allValues: [String]?
        var isOptional: Bool
        var isRepeating: Bool
        var shouldDisplay: Bool
    }

    enum Kind: String, Decodable { case positional, option, flag }

    struct Name: Decodable {
        var kind: String
        var name: String
    }
}

extension Dump.Name {
    /// `--json`, `-h`
    var text: String { (kind == "long" ? "--" : "-") + name }
}

extension Dump.Command {
    /// What people see, without what every command has.
    var visible: [Dump.Argument] {
        (arguments ?? []).filter { argument in
            argument.shouldDisplay
                && argument.names?.contains { ["help", "version"].contains($0.name) } != true
        }
    }

    var visibleCommands: [Dump.Command] {
        (subcommands ?? []).filter { $0.shouldDisplay != false && $0.commandName != "help" }
    }
}
