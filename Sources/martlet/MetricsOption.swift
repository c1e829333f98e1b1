import ArgumentParser
import Logging
import PrometheusMetrics
import Scraping

/// Whether and where metrics can be read over TCP; on the socket of the API they always can.
struct MetricsOption: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Serve GET /metrics over TCP too, in plain HTTP, to be read only.",
            discussion: "A port alone is on 127.0.0.1. Whoever reaches another address can read "
                + "the names and addresses of all backends.",
            valueName: "[address:]port"))
    var metricsListen: MetricsAddress?

    /// Nil: it was not asked for.
    func server(
        logger: Logger, metrics: @escaping @Sendable () async throws -> String
    ) -> MetricsServer? {
        metricsListen.map { address in
            MetricsServer(
                at: address, contentType: prometheusContentType, logger: logger,
                whenServing: { logger.info("metrics at http://\($0)/metrics") },
                metrics: metrics)
        }
    }
}
