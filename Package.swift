// swift-tools-version: 6.2
import PackageDescription

/// What all of our own Swift is compiled with.
let common: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .treatAllWarnings(as: .error),
]
/// `BPF` and `Netlink` hand memory to the kernel; everything else stays memory-safe.
let safe = common + [.strictMemorySafety()]

let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let nio: [Target.Dependency] = [
    .product(name: "NIOCore", package: "swift-nio"),
    .product(name: "NIOHTTP1", package: "swift-nio"),
    .product(name: "NIOPosix", package: "swift-nio"),
]

let package = Package(
    name: "martlet",
    products: [.executable(name: "martlet", targets: ["martlet"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        // For the API over TCP: TLS, and the names in certificates. For its events: a clock beside.
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-asn1", from: "1.7.4"),
        .package(url: "https://github.com/apple/swift-async-algorithms", from: "1.1.4"),
        // No traits: configuration and all of Foundation are nothing that we use.
        .package(
            url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1", traits: []),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    ],
    targets: [
        // The kernel's side, and what Swift needs of C.
        .target(name: "CDatapath", path: "bpf", exclude: ["src"], publicHeadersPath: "include"),
        .systemLibrary(name: "CLibBPF", pkgConfig: "libbpf", providers: [.apt(["libbpf-dev"])]),
        .target(name: "CLinux"),
        .executableTarget(name: "EmbedObjects", swiftSettings: common),
        .plugin(name: "BPFCompile", capability: .buildTool(), dependencies: ["EmbedObjects"]),

        // Edges of the kernel.
        .target(name: "BPF", dependencies: ["CLibBPF", "CLinux"], swiftSettings: common),
        .target(name: "Netlink", dependencies: ["CLinux", "Packets"], swiftSettings: common),

        // Pure.
        .target(name: "Packets", swiftSettings: safe),
        .target(name: "Balancing", dependencies: ["Packets"], swiftSettings: safe),
        .target(
            name: "ConfigurationFile",
            dependencies: ["Balancing", "Packets", .product(name: "Yams", package: "Yams")],
            swiftSettings: safe),

        .target(name: "Model", dependencies: ["CDatapath", "Packets"], swiftSettings: safe),
        // Flows by the million through the program's own choice of backends, for the tests.
        .target(name: "CSimulation", dependencies: ["CDatapath"]),

        // Edges of the product.
        .target(
            name: "XDPPlane",
            dependencies: ["BPF", "Balancing", "CDatapath", "Netlink", "Packets"],
            swiftSettings: safe, plugins: ["BPFCompile"]),

        .target(
            name: "HealthChecks", dependencies: ["Balancing", "Packets"] + nio,
            swiftSettings: safe),
        .target(
            name: "Control",
            dependencies: [
                "Balancing", "ConfigurationFile", "HealthChecks", "Netlink", "Packets", logging,
            ],
            swiftSettings: safe),
        .target(
            name: "API",
            dependencies: [
                "Balancing", "CLinux", "ConfigurationFile", "Control", "Logs", "Packets",
                "PrometheusMetrics", logging,
                .product(name: "AsyncAlgorithms", package: "swift-async-algorithms"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "HummingbirdTLS", package: "hummingbird"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "SwiftASN1", package: "swift-asn1"),
            ] + nio,
            swiftSettings: safe),
        // The program's tables as the model has them, and back.
        .target(
            name: "ModelMaps",
            dependencies: ["BPF", "Balancing", "CDatapath", "Model", "Packets", "XDPPlane"],
            swiftSettings: safe),
        // What would become of a packet, and why.
        .target(
            name: "Explain",
            dependencies: [
                "BPF", "Balancing", "CDatapath", "Control", "Model", "ModelMaps", "Netlink",
                "Packets", "XDPPlane", .product(name: "NIOPosix", package: "swift-nio"),
            ],
            swiftSettings: safe),
        // Not `Metrics`: a package that Hummingbird needs has a module of that name.
        .target(
            name: "PrometheusMetrics", dependencies: ["Balancing", "Control"],
            swiftSettings: safe),
        .target(
            name: "Scraping",
            dependencies: [
                "Packets", logging,
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ] + nio,
            swiftSettings: safe),
        .target(name: "Logs", dependencies: [logging], swiftSettings: safe),
        .target(
            name: "ServiceManager",
            dependencies: [
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
            ],
            swiftSettings: safe),
        .executableTarget(
            name: "martlet",
            dependencies: [
                "API", "BPF", "Balancing", "ConfigurationFile", "Control", "Explain",
                "HealthChecks", "Logs", "Netlink", "Packets", "PrometheusMetrics", "Scraping",
                "ServiceManager", "XDPPlane", logging,
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ],
            swiftSettings: safe),

        // Packets through the program and through the model, for the tests and `make fuzz`.
        .target(
            name: "Fuzzing",
            dependencies: [
                "BPF", "CDatapath", "CLinux", "Lab", "Model", "ModelMaps", "Packets",
                "SeededRandom", "XDPPlane",
            ],
            swiftSettings: safe),
        .executableTarget(
            name: "martlet-fuzz",
            dependencies: [
                "CDatapath", "Fuzzing",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: common),

        // The pages of the manual, from the commands and from a document: part of `make man`.
        .executableTarget(
            name: "martlet-manual",
            dependencies: [
                .product(name: "ArgumentParser", package: "swift-argument-parser")
            ],
            swiftSettings: safe),

        .executableTarget(
            name: "martlet-bench",
            dependencies: [
                "BPF", "Balancing", "CDatapath", "CLinux", "Control", "HealthChecks", "Model",
                "Packets", "XDPPlane", logging,
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: safe),

        // Networks of namespaces for the tests and the demo; never part of what users deploy.
        .target(name: "Lab", dependencies: ["CLinux"], swiftSettings: common),
        .target(name: "SeededRandom", swiftSettings: safe),
        // A data path as a later version might have it, for tests of upgrade and downgrade.
        .target(name: "OtherBuild", swiftSettings: common),
        .executableTarget(
            name: "martlet-other-build",
            dependencies: [
                "BPF", "XDPPlane",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: common),
        .executableTarget(
            name: "martlet-lab",
            dependencies: [
                "CLinux", "Lab",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ] + nio,
            swiftSettings: common),

        .testTarget(
            name: "APITests",
            dependencies: [
                "API", "Balancing", "ConfigurationFile", "Control", "Lab", "Logs", "Packets",
                logging,
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ] + nio,
            swiftSettings: common),
        .testTarget(
            name: "PrometheusMetricsTests",
            dependencies: [
                "BPF", "Balancing", "Control", "PrometheusMetrics", "Scraping", logging,
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ] + nio,
            swiftSettings: common),
        .testTarget(
            name: "ManualTests", dependencies: ["martlet-manual"], swiftSettings: common),
        .testTarget(
            name: "LogsTests", dependencies: ["Logs", logging], swiftSettings: common),
        .testTarget(
            name: "ServiceManagerTests",
            dependencies: [
                "ServiceManager", logging,
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: common),
        .testTarget(
            name: "ControlTests",
            dependencies: [
                "Balancing", "ConfigurationFile", "Control", "HealthChecks", "Netlink", "Packets",
                "SeededRandom", logging,
            ],
            swiftSettings: common),
        .testTarget(
            name: "ConsistencyTests",
            dependencies: [
                "Balancing", "CDatapath", "CSimulation", "Control", "HealthChecks", "Packets",
                "SeededRandom", "XDPPlane", logging,
            ],
            swiftSettings: common),
        .testTarget(
            name: "ModelTests", dependencies: ["CDatapath", "Fuzzing", "Model", "Packets"],
            swiftSettings: common),
        .testTarget(name: "PacketsTests", dependencies: ["Packets"], swiftSettings: common),
        .testTarget(
            name: "BalancingTests", dependencies: ["Balancing", "Packets"], swiftSettings: common),
        .testTarget(
            name: "BPFTests", dependencies: ["BPF", "CLinux", "XDPPlane"], swiftSettings: common),
        .testTarget(
            name: "NetlinkTests", dependencies: ["CLinux", "Lab", "Netlink", "Packets"],
            swiftSettings: common),
        .testTarget(
            name: "ConfigurationFileTests",
            dependencies: ["Balancing", "ConfigurationFile", "Packets", "SeededRandom"],
            swiftSettings: common),
        .testTarget(
            name: "XDPPlaneTests",
            dependencies: [
                "BPF", "Balancing", "CDatapath", "CLibBPF", "Lab", "OtherBuild", "Packets",
                "XDPPlane",
            ],
            swiftSettings: common),
        .testTarget(
            name: "ExplainTests",
            dependencies: [
                "BPF", "Balancing", "CDatapath", "Control", "Explain", "Model", "ModelMaps",
                "Packets", "XDPPlane",
            ],
            swiftSettings: common),
        .testTarget(
            name: "HealthChecksTests",
            dependencies: ["Balancing", "HealthChecks", "Packets"] + nio,
            swiftSettings: common),
        .testTarget(
            name: "MartletTests",
            dependencies: [
                "Balancing", "Control", "Packets", "martlet",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: common),
        .testTarget(
            name: "MartletLabTests",
            dependencies: ["martlet-lab", .product(name: "NIOCore", package: "swift-nio")],
            swiftSettings: common),
        .testTarget(
            name: "SystemTests",
            dependencies: [
                "API", "Balancing", "ConfigurationFile", "Control", "Lab", "OtherBuild",
                "SeededRandom", "martlet", "martlet-lab", "martlet-other-build",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
            ] + nio,
            swiftSettings: common),
        .testTarget(name: "TidyTests", swiftSettings: common),
    ],
    swiftLanguageModes: [.v6]
)
