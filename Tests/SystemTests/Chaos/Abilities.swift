import ArgumentParser
import ConfigurationFile

@testable import martlet

// What this build can do already: tests of what it can't are skipped.

/// Whether there is `martlet drain`.
let canDrain = Martlet.configuration.subcommands.contains { $0._commandName == "drain" }

/// Whether a configuration is accepted as it is.
func accepts(_ configuration: String) -> Bool {
    (try? parse(configuration, file: "martlet.yaml")) != nil
}

/// Whether a service has a time to hold former owners.
let canHold = accepts(
    """
    interfaces: [eth1]
    services:
      - name: web
        vip: 192.168.1.100
        port: 80
        forwarding: l2-dsr
        hold: 1m
        backends:
          - { name: server-a, address: 192.168.1.101 }
    """)
