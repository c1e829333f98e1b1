import ArgumentParser
import Control
import Testing

@testable import martlet

/// What people type by hand, and the exit statuses that scripts look at.
struct CommandLineTests {
    private static let nobody = "/nonexistent/martlet.sock"

    private func said(_ line: String) async -> (text: String, code: ExitCode)? {
        let words = line.split(separator: " ").map(String.init)
        do {
            _ = try await Martlet.asyncParseAsRoot(words)
            return nil
        } catch {
            return (Martlet.usageText(of: error, words), Martlet.exitCode(for: error))
        }
    }

    @Test(
        arguments: [
            "nonsense", "--bogus", "plan", "apply a b", "apply a --if-generation x", "check",
            "reload --force", "history x", "rollback 0", "rollback x", "services extra",
            "backends a b", "weight", "weight web 3", "weight web/a", "weight web/a x",
            "weight web/a 65536", "weight web/a -1", "weight web/a 3 --reset",
            "maintenance web/a", "maintenance web/a maybe", "maintenance web/a off --force",
            "flows --state odd", "flows --limit 0", "flows --backend web",
            "flows --service a --backend b/c", "explain", "explain --from 1.2.3.4:5",
            "explain --from 1.2.3.4 --to 1.2.3.4:80", "explain --why-not a --syn",
            "explain --from 1.2.3.4:5 --to 1.2.3.4:80 --syn --protocol udp",
            "explain --from 1.2.3.4:5 --to 1.2.3.4:80 --protocol icmp", "events --after x",
            "top --interval 0", "status --color blue", "status --interval 0", "counters x",
            "flows --all --watch", "drain web/a --deadline never", "undrain", "attach",
            "decapsulate",
        ])
    func `nonsense gets one line, the place of help, and 64`(line: String) async throws {
        let (text, code) = try #require(await said(line))
        #expect(code == .validationFailure)
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines.count == 2, "\(text)")
        #expect(!lines[0].isEmpty && !lines[0].contains("rror"), "\(text)")
        let command = line.split(separator: " ")[0]
        let isOfCommand = lines[1] == "  see martlet \(command) --help"
        #expect(isOfCommand || lines[1] == "  see martlet --help", "\(text)")
    }

    @Test func `where we know what is wrong nothing else is said`() async throws {
        #expect(
            await said("weight web 3")?.text
                == "\"web\" is no backend: SERVICE/BACKEND, like web/server-a\n"
                + "  see martlet weight --help")
        #expect(
            await said("nonsense")?.text
                == "\"nonsense\" is no command of martlet\n  see martlet --help")
    }

    @Test(
        arguments: [
            (["status"], 1), (["services"], 1), (["backends", "web"], 1), (["reload"], 1),
            (["history"], 1), (["rollback"], 1), (["rollback", "--plan"], 1), (["flows"], 1),
            (["weight", "web/a", "1"], 1), (["maintenance", "web/a", "on"], 1),
            (["explain", "--why-not", "a"], 1), (["events"], 1), (["undrain", "web/a"], 1),
            (["plan", "/dev/null"], 1), (["apply", "/dev/null"], 1), (["plan", "/nonexistent"], 3),
            (["apply", "/nonexistent"], 2),
        ] as [([String], Int32)])
    func `a command that can't do it ends as it is documented`(
        words: [String], status: Int32
    ) async throws {
        let parsed = try await Martlet.asyncParseAsRoot(words + ["--socket", Self.nobody])
        await #expect(throws: ExitCode(status)) {
            if var command = parsed as? any AsyncParsableCommand {
                try await command.run()
            } else {
                var command = parsed
                try command.run()
            }
        }
    }

    @Test(
        arguments: [
            ("192.0.2.1:80", "192.0.2.1:80"), ("[2001:db8::1]:80", "[2001:db8::1]:80"),
            ("192.0.2.1", nil), ("2001:db8::1:80", nil), ("[192.0.2.1]:80", nil),
            ("192.0.2.1:65536", nil), ("192.0.2.1:", nil), (":80", nil), ("", nil),
        ] as [(String, String?)])
    func `an address has its port, and IPv6 its brackets`(text: String, shown: String?) {
        #expect((try? endpoint(text)).map { "\($0)" } == shown)
    }

    @Test func `every command says what it is for and how it ends`() {
        let commands: [any ParsableCommand.Type] = Martlet.configuration.groupedSubcommands
            .flatMap(\.subcommands)
        #expect(commands.count >= 22)
        for command in commands {
            let configuration = command.configuration
            #expect(configuration.abstract.hasSuffix("."), "\(command)")
            #expect(configuration.discussion.contains("Exit status: "), "\(command)")
        }
    }

    @Test func `completions of a shell ask for names, and get none without a controller`()
        async throws
    {
        for shell in ["bash", "zsh", "fish"] {
            let script = try #require(
                CompletionShell(rawValue: shell).map { Martlet.completionScript(for: $0) })
            #expect(script.contains("maintenance"))
        }
        let words = ["martlet", "drain", "--socket", Self.nobody, ""]
        #expect(await completions(words) { [$0.name] } == [])
    }
}
