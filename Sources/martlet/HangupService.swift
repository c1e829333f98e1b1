import Control
import Logging
import ServiceLifecycle
import UnixSignals

/// Reads the configuration anew on SIGHUP, as other daemons do.
struct HangupService: ServiceLifecycle.Service {
    private let hangups: UnixSignalsSequence
    private let reload: @Sendable () async throws -> Void

    /// From here on a hangup ends nothing.
    init(reload: @escaping @Sendable () async throws -> Void) async {
        hangups = await UnixSignalsSequence(trapping: .sighup)
        self.reload = reload
    }

    func run() async throws {
        await cancelWhenGracefulShutdown {
            // What is refused is in the log already.
            for await _ in hangups { try? await reload() }
        }
    }
}
