import Logging
import ServiceLifecycle
import UnixSignals

/// Goes on after SIGHUP, which has other daemons read their files anew, and says what does that
/// here.
struct HangupService: ServiceLifecycle.Service {
    private let hangups: UnixSignalsSequence
    private let logger: Logger

    /// From here on a hangup ends nothing.
    init(logger: Logger) async {
        hangups = await UnixSignalsSequence(trapping: .sighup)
        self.logger = logger
    }

    func run() async throws {
        await cancelWhenGracefulShutdown {
            for await _ in hangups {
                logger.notice(
                    """
                    SIGHUP changes nothing; to apply a changed file, stop this controller and \
                    start `martlet run` anew: meanwhile everything is forwarded
                    """)
            }
        }
    }
}
