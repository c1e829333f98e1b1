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

let package = Package(
    name: "martlet",
    products: [.executable(name: "martlet", targets: ["martlet"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
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
            name: "Configuration",
            dependencies: ["Balancing", "Packets", .product(name: "Yams", package: "Yams")],
            swiftSettings: safe),

        // Edges of the product.
        .target(
            name: "XDPPlane", dependencies: ["BPF", "Balancing", "CDatapath", "Packets"],
            swiftSettings: safe, plugins: ["BPFCompile"]),

        .executableTarget(
            name: "martlet",
            dependencies: [
                "BPF", "Balancing", "Configuration", "Netlink", "Packets", "XDPPlane",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: safe),

        .testTarget(name: "PacketsTests", dependencies: ["Packets"], swiftSettings: common),
        .testTarget(
            name: "BalancingTests", dependencies: ["Balancing", "Packets"], swiftSettings: common),
        .testTarget(
            name: "BPFTests", dependencies: ["BPF", "CLinux", "XDPPlane"], swiftSettings: common),
        .testTarget(
            name: "NetlinkTests", dependencies: ["CLinux", "Netlink", "Packets"],
            swiftSettings: common),
        .testTarget(
            name: "ConfigurationTests", dependencies: ["Balancing", "Configuration", "Packets"],
            swiftSettings: common),
        .testTarget(
            name: "XDPPlaneTests",
            dependencies: ["BPF", "Balancing", "CDatapath", "Packets", "XDPPlane"],
            swiftSettings: common),
        .testTarget(name: "TidyTests", swiftSettings: common),
    ],
    swiftLanguageModes: [.v6]
)
