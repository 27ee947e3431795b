// swift-tools-version:6.2
import PackageDescription

// Arrows point down only: a facade cannot see a driver, a driver cannot see the store, and only the
// executable knows everyone. docs/architecture.md has the picture.

let strict: [SwiftSetting] = [.treatAllWarnings(as: .error)]
let lld: [LinkerSetting] = [.unsafeFlags(["-use-ld=lld"])]

let hummingbird: Target.Dependency = .product(name: "Hummingbird", package: "hummingbird")
let hummingbirdTesting: Target.Dependency = .product(name: "HummingbirdTesting", package: "hummingbird")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let lifecycle: Target.Dependency = .product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let arguments: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")
let nio: [Target.Dependency] = [
  .product(name: "NIOCore", package: "swift-nio"),
  .product(name: "NIOPosix", package: "swift-nio"),
]

func library(_ name: String, _ dependencies: [Target.Dependency] = [], exclude: [String] = []) -> Target {
  .target(name: name, dependencies: dependencies, exclude: exclude, swiftSettings: strict)
}
func tests(_ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
  .testTarget(
    name: name, dependencies: dependencies, exclude: exclude, swiftSettings: strict, linkerSettings: lld)
}
func facade(_ name: String) -> Target {
  library(name, ["APISupport", "Conductor", "Store", "Domain", "Wire", hummingbird])
}

/// Names of test targets to build, separated by commas; all of them when unset. `scripts/test-only` sets it, so that
/// one part can be tested while another does not compile.
let onlyTests = Context.environment["STEELYARD_TESTS"].map { Set($0.split(separator: ",").map { String($0) }) }

let package = Package(
  name: "steelyard",
  dependencies: [
    .package(url: "https://github.com/hummingbird-project/hummingbird.git", exact: "2.28.1", traits: []),
    .package(url: "https://github.com/apple/swift-nio.git", exact: "2.101.2"),
    .package(url: "https://github.com/apple/swift-nio-extras.git", exact: "1.35.2"),
    .package(url: "https://github.com/apple/swift-nio-ssl.git", exact: "2.37.6"),
    .package(url: "https://github.com/swift-server/async-http-client.git", exact: "1.37.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", exact: "2.13.0"),
    .package(url: "https://github.com/apple/swift-log.git", exact: "1.16.2"),
    .package(url: "https://github.com/apple/swift-argument-parser.git", exact: "1.8.2"),
    .package(url: "https://github.com/jpsim/Yams.git", exact: "6.2.2"),
  ],
  targets: [
    // Words and bytes: no I/O.
    library("Wire"),
    library("Domain", ["Wire"]),
    library("DriverInterfaces", ["Domain", "Wire", "BlockMaps"]),

    // What everything below the facades stands on.
    .systemLibrary(name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
    .systemLibrary(name: "COpenSSL", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
    .systemLibrary(name: "CCrypt", pkgConfig: "libcrypt", providers: [.apt(["libcrypt-dev"])]),
    .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
    .target(name: "CLinux"),
    // Disks as blocks with a digest each: the agent and the server speak of them in one form.
    library("BlockMaps", ["CZstd"]),
    library("Cryptography", ["COpenSSL", "CCrypt", "Wire"]),
    library("Processes", ["CLinux"]),
    library("Store", ["CSQLite", "Cryptography", "Domain", "Wire"]),
    library("Workflows", ["Store", "Wire", logging]),
    library(
      "Conductor",
      [
        "Workflows", "Store", "DriverInterfaces", "BlockMaps", "Domain", "Wire", "Cryptography", "Processes", "CLinux",
        logging, lifecycle,
      ]),

    // Drivers: the only targets that touch hardware.
    library(
      "PinnedTLS",
      [
        "Cryptography", .product(name: "AsyncHTTPClient", package: "async-http-client"),
        .product(name: "NIOSSL", package: "swift-nio-ssl"),
      ] + nio),
    library(
      "RedfishDriver",
      [
        "DriverInterfaces", "Domain", "Wire", "Cryptography", "PinnedTLS", logging,
        .product(name: "AsyncHTTPClient", package: "async-http-client"),
        .product(name: "NIOSSL", package: "swift-nio-ssl"),
      ] + nio),
    library("IPMIDriver", ["DriverInterfaces", "Domain", "Wire", "Processes", "CLinux", logging]),
    library("FakeDriver", ["DriverInterfaces", "Domain", "Wire", "Processes"]),
    library(
      "SwitchDrivers",
      [
        "DriverInterfaces", "Domain", "Wire", "Cryptography", "PinnedTLS", "Processes", "CLinux", logging,
        .product(name: "AsyncHTTPClient", package: "async-http-client"),
        .product(name: "NIOSSL", package: "swift-nio-ssl"),
      ] + nio),
    library(
      "VolumeDrivers",
      [
        "DriverInterfaces", "BlockMaps", "Cryptography", "Domain", "Wire", "Processes", "CLinux", logging,
        .product(name: "AsyncHTTPClient", package: "async-http-client"),
      ]),
    library("BootServices", ["DriverInterfaces", "Domain", "Wire", "Processes", logging, lifecycle]),

    // What others' URLs lead to: those who are told what happens, and images from the web.
    library(
      "OutboundHTTP",
      [
        "DriverInterfaces", "Domain", "Processes", "CLinux",
        .product(name: "AsyncHTTPClient", package: "async-http-client"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
      ] + nio),
    library(
      "Webhooks",
      [
        "OutboundHTTP", "DriverInterfaces", "Processes", logging,
        .product(name: "AsyncHTTPClient", package: "async-http-client"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
      ] + nio),

    // Facades: one per upstream API.
    library(
      "APISupport",
      [
        "Conductor", "DriverInterfaces", "Store", "Domain", "Wire", "Cryptography", "CLinux", hummingbird, logging,
        lifecycle,
        .product(name: "HummingbirdTLS", package: "hummingbird"),
        .product(name: "HummingbirdCore", package: "hummingbird"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "NIOHTTPTypesHTTP1", package: "swift-nio-extras"),
        .product(name: "NIOSSL", package: "swift-nio-ssl"),
      ] + nio),
    library(
      "KeystoneAPI",
      ["APISupport", "Conductor", "Store", "Domain", "Wire", "Cryptography", "Processes", hummingbird, logging]),
    facade("IronicAPI"),
    facade("NeutronAPI"),
    facade("GlanceAPI"),
    library("CinderAPI", ["APISupport", "Conductor", "Cryptography", "Store", "Domain", "Wire", hummingbird]),
    library("NovaAPI", ["APISupport", "Conductor", "Store", "Cryptography", "Domain", "Wire", hummingbird]),
    library(
      "LeapAPI",
      [
        "APISupport", "Conductor", "Store", "Cryptography", "Domain", "Wire", hummingbird, logging, lifecycle,
        .product(name: "NIOHTTP1", package: "swift-nio"), .product(name: "NIOWebSocket", package: "swift-nio"),
        .product(name: "NIOSSL", package: "swift-nio-ssl"),
      ] + nio),
    library("AgentAPI", ["APISupport", "BlockMaps", "Conductor", "Store", "Domain", "Wire", hummingbird] + nio),

    // The virtual machine room and the servers that stand in for hardware. They never link the product.
    library("Lab", ["Wire", "Processes", "CLinux", logging]),
    library(
      "Simulators",
      [
        "Wire", "Processes", "Cryptography", hummingbird, logging, lifecycle,
        .product(name: "HummingbirdTLS", package: "hummingbird"),
        .product(name: "HummingbirdCore", package: "hummingbird"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "NIOHTTPTypesHTTP1", package: "swift-nio-extras"),
        .product(name: "NIOSSL", package: "swift-nio-ssl"),
      ] + nio),
    .executableTarget(
      name: "steelyard-simulator",
      dependencies: ["Simulators", "Wire", arguments],
      swiftSettings: strict, linkerSettings: lld),

    // The program, and the agent that runs in the ramdisk.
    .executableTarget(
      name: "steelyard",
      dependencies: [
        "KeystoneAPI", "IronicAPI", "NeutronAPI", "GlanceAPI", "CinderAPI", "NovaAPI", "LeapAPI", "AgentAPI",
        "APISupport",
        "Conductor", "Workflows", "Store", "Webhooks", "OutboundHTTP", "RedfishDriver", "IPMIDriver", "FakeDriver",
        "SwitchDrivers",
        "VolumeDrivers",
        "BootServices",
        "DriverInterfaces", "Domain", "Wire", "Lab", "Processes", "Cryptography", "CLinux", arguments, logging,
        lifecycle,
        .product(name: "Yams", package: "Yams"),
        .product(name: "AsyncHTTPClient", package: "async-http-client"),
        .product(name: "NIOSSL", package: "swift-nio-ssl"),
      ] + nio,
      swiftSettings: strict, linkerSettings: lld),
    library("Agent", ["Wire", "BlockMaps", "CLinux"]),
    .executableTarget(
      name: "steelyard-agent", dependencies: ["Agent"], swiftSettings: strict, linkerSettings: lld),

    library(
      "TestSupport",
      [
        "CSQLite", "Cryptography", "BlockMaps", "Store", "Conductor", "Workflows", "DriverInterfaces", "Domain", "Wire",
        "Processes",
        logging, lifecycle, hummingbird,
      ]),
    .executableTarget(
      name: "crash-worker",
      dependencies: ["TestSupport", "Conductor", "Cryptography", "Store", "Workflows", "Domain", "Wire", logging],
      path: "Tests/CrashWorker", swiftSettings: strict, linkerSettings: lld),
    tests("CrashTests", ["TestSupport", "Store", "Processes", "Wire", "crash-worker"]),
    tests(
      "ServerTests",
      [
        "TestSupport", "Processes", "Cryptography", "Wire", "steelyard",
        .product(name: "AsyncHTTPClient", package: "async-http-client"),
      ] + nio, exclude: ["recorded_ironic.py"]),
    tests("WireTests", ["Wire"]),
    tests("DomainTests", ["Domain", "Wire"]),
    tests("ProcessesTests", ["Processes"]),
    tests("StoreTests", ["Store", "TestSupport", "Cryptography", "Domain", "Wire"]),
    tests("WorkflowsTests", ["Workflows", "TestSupport", "Store", "Cryptography", "Wire", logging]),
    tests(
      "ConductorTests",
      [
        "Conductor", "BlockMaps", "Cryptography", "FakeDriver", "Workflows", "TestSupport", "Store", "DriverInterfaces",
        "Processes", "Domain", "Wire",
      ]),
    tests(
      "SwitchDriversTests",
      [
        "SwitchDrivers", "Simulators", "steelyard-simulator", "TestSupport", "DriverInterfaces", "Domain", "Wire",
        "Processes", "CLinux",
      ], exclude: ["Recordings"]),
    tests(
      "RedfishDriverTests",
      [
        "RedfishDriver", "TestSupport", "Simulators", "steelyard-simulator", "Processes", "Cryptography",
        "DriverInterfaces",
        "Wire",
      ],
      exclude: ["sushy_check.py"]),
    tests(
      "VolumeDriversTests",
      [
        "VolumeDrivers", "TestSupport", "Conductor", "BlockMaps", "Cryptography", "DriverInterfaces", "Domain", "Wire",
        "Processes",
      ]),
    tests("FakeDriverTests", ["FakeDriver", "DriverInterfaces", "Domain", "Wire"]),
    tests("IPMIDriverTests", ["IPMIDriver", "Conductor", "TestSupport", "Processes"]),
    tests("BootServicesTests", ["BootServices", "TestSupport", "DriverInterfaces", "Domain", "Processes", "CLinux"]),
    tests("AgentTests", ["Agent", "BlockMaps", "Wire"]),
    tests("BlockMapsTests", ["BlockMaps"]),
    tests(
      "APISupportTests",
      ["APISupport", "TestSupport", "Store", "Domain", "Wire", "Cryptography", hummingbird, logging] + nio),
    tests(
      "KeystoneAPITests",
      [
        "KeystoneAPI", "APISupport", "TestSupport", "Store", "Domain", "Wire", "Cryptography", logging,
        hummingbirdTesting,
      ]),
    tests(
      "LeapAPITests",
      [
        "LeapAPI", "APISupport", "BlockMaps", "Conductor", "FakeDriver", "TestSupport", "Store", "Workflows", "Domain",
        "Wire", "Cryptography", "Processes", hummingbirdTesting,
      ]),
    tests(
      "IronicAPITests",
      [
        "IronicAPI", "AgentAPI", "APISupport", "BlockMaps", "Conductor", "FakeDriver", "Store", "Domain", "Wire",
        "Cryptography", "Processes",
        "TestSupport",
        hummingbirdTesting,
      ]),
    tests(
      "PolicyTests",
      [
        "KeystoneAPI", "IronicAPI", "NeutronAPI", "GlanceAPI", "CinderAPI", "NovaAPI", "LeapAPI", "AgentAPI",
        "APISupport",
        "Conductor", "Store", "Domain", "Wire",
        "Cryptography", "TestSupport", "Processes", hummingbirdTesting,
      ], exclude: ["roles.txt", "uncovered.txt"]),
    tests("OutboundHTTPTests", ["OutboundHTTP", "TestSupport", "DriverInterfaces", "Processes", "Domain", "Wire"]),
    tests(
      "WebhooksTests",
      [
        "Webhooks", "TestSupport", "Conductor", "DriverInterfaces", "Store", "Domain", "Wire", "Cryptography", logging,
        lifecycle,
      ]),
    tests("LabTests", ["Lab", "Processes", "Wire", "steelyard", "steelyard-simulator"]),
    tests("NeutronAPITests", ["NeutronAPI", "TestSupport", hummingbirdTesting]),
    tests(
      "CinderAPITests",
      ["CinderAPI", "GlanceAPI", "TestSupport", "Conductor", "Cryptography", hummingbirdTesting, logging]),
    tests(
      "NovaAPITests",
      [
        "NovaAPI", "NeutronAPI", "CinderAPI", "GlanceAPI", "APISupport", "Conductor", "FakeDriver", "TestSupport",
        "Store",
        "Workflows", "Domain",
        "Wire", "Cryptography", hummingbirdTesting,
      ]),
    tests(
      "GlanceAPITests",
      ["GlanceAPI", "BlockMaps", "OutboundHTTP", "TestSupport", "Processes", "Cryptography", hummingbirdTesting]),
  ]
)
if let onlyTests { package.targets.removeAll { $0.type == .test && !onlyTests.contains($0.name) } }
