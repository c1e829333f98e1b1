import API
public import ArgumentParser
public import Balancing
import Control

/// `martlet explain`
struct ExplainCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain",
        abstract: "Say where a packet would go now and why, or what keeps a backend out.",
        discussion: """
            With --from and --to: each thing that decides about such a packet, in order, up to \
            the frame that leaves. The program itself is asked, too, in a test run that counts \
            and records nothing; if it does something else, that is said.

            With --why-not: what keeps a backend from new flows, and what ends that. It is \
            named with its service, or alone if no other service has one that is called so; \
            --service or --to says which service is meant.

            Examples:
              martlet explain --from 198.51.100.7:41000 --to 192.168.1.100:80 --syn
              martlet explain --from [2001:db8::7]:53000 --to [2001:db8::1]:53 --protocol udp
              martlet explain --why-not server-b

            Exit status: 0 said, whatever becomes of the packet; 1 refused, or no controller \
            answers; 64 wrong usage.
            """)

    @Option(
        help: ArgumentHelp("Where the packet comes from.", valueName: "address:port"),
        transform: endpoint)
    var from: Endpoint?
    @Option(
        help: ArgumentHelp("Where it goes to.", valueName: "address:port"), transform: endpoint)
    var to: Endpoint?
    @Option(name: .customLong("protocol"), help: "Of the packet.")
    var transport = Transport.tcp
    @Flag(help: "It is the first packet of a TCP connection.")
    var syn = false
    @Option(help: "By which it comes; none: the first of the configuration.")
    var interface: String?
    @Flag(help: "Show the frame that leaves, too.")
    var packet = false
    @Option(
        help: ArgumentHelp("The backend that gets less than expected.", valueName: "backend"),
        completion: .backends)
    var whyNot: String?
    @Option(help: "With --why-not: the service that is meant.", completion: .services)
    var service: String?
    @OptionGroup var output: OutputOptions
    @OptionGroup var controller: ControllerOptions

    func validate() throws {
        if whyNot != nil {
            guard from == nil, !syn, !packet, interface == nil else {
                throw ValidationError(
                    "--why-not is about a backend: only --service or --to go with it")
            }
            return
        }
        guard from != nil, to != nil else {
            throw ValidationError("give --from and --to, or --why-not")
        }
        guard service == nil else { throw ValidationError("--service goes with --why-not") }
        if syn, transport != .tcp { throw ValidationError("only TCP has --syn") }
    }

    func run() async throws {
        do {
            if let whyNot { return try await explain(whyNot) }
            guard let from, let to else { return }
            let query = ExplainQuery(
                source: from.address, sourcePort: from.port, destination: to.address,
                destinationPort: to.port, transport: transport,
                isNewFlow: syn || transport == .udp, interface: interface)
            let explanation = try await controller.client.explain(query)
            try output.write(explanation) {
                text(explanation, of: query, withPacket: packet, on: $0)
            }
        } catch {
            throw refused(error)
        }
    }

    private func explain(_ name: String) async throws {
        let client = controller.client
        let place = service ?? to.map { "\($0)" }
        let backend = try resolve(name, service: place, in: try await client.status())
        let exclusion = try await client.exclusion(of: backend)
        try output.write(exclusion) { text(exclusion, on: $0) }
    }
}

extension Transport: ExpressibleByArgument {
    public init?(argument: String) {
        guard let transport = Transport.allCases.first(where: { $0.name == argument }) else {
            return nil
        }
        self = transport
    }

    public static var allValueStrings: [String] { allCases.map(\.name) }
    public var defaultValueDescription: String { name }
}
