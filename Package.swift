// swift-tools-version: 6.2
// hivesup: PID 1 of a unified PostgreSQL + API container. The rooms and what each may import: docs/architecture.md.
import PackageDescription

/// Every target of ours: Swift 6 language mode, warnings are errors.
let strict: [SwiftSetting] = [.swiftLanguageMode(.v6), .treatAllWarnings(as: .error)]

/// What PID 1 is made of has neither regular expressions nor concurrency: their modules would be linked in for nothing.
let bare: [SwiftSetting] =
  strict + [
    .unsafeFlags([
      "-Xfrontend", "-disable-implicit-string-processing-module-import",
      "-Xfrontend", "-disable-implicit-concurrency-module-import",
    ])
  ]

/// PID 1 needs nothing from the image but the kernel: one static, non-PIE executable.
let staticExecutableSwift: [SwiftSetting] = bare + [.unsafeFlags(["-static-stdlib"])]
let staticExecutable: [LinkerSetting] = [
  .unsafeFlags(["-static-executable", "-use-ld=lld", "-Xlinker", "--gc-sections", "-Xlinker", "--icf=safe"]),
  .unsafeFlags(["-Xlinker", "-s"], .when(configuration: .release)),
]

/// The other executables carry the Swift runtime and take libc (and libpq) from the image.
let staticStdlibSwift: [SwiftSetting] = strict + [.unsafeFlags(["-static-stdlib"])]
let staticStdlib: [LinkerSetting] = [.unsafeFlags(["-static-stdlib"])]

/// Hummingbird imports FoundationEssentials (without its trait FullFoundation, which would bring 30 MB of ICU data). Its
/// objects ask for the dynamic one, which brings its own parts along; the static one does not.
let staticFoundation: [LinkerSetting] = [.unsafeFlags(["-l_FoundationCollections", "-l_FoundationCShims"])]

/// ArgumentParser imports FoundationEssentials too, and alone needs one part more of the static one. What nobody calls is dropped:
/// `hivesup healthcheck` starts every few seconds.
let staticArgumentParser: [LinkerSetting] =
  staticFoundation + [.unsafeFlags(["-lswiftSynchronization", "-Xlinker", "--gc-sections"])]

let package = Package(
  name: "hivesup",
  products: [
    .executable(name: "hivesupd", targets: ["hivesupd"]),
    .executable(name: "hivesup", targets: ["hivesup"]),
    .executable(name: "hive-postgres", targets: ["hive-postgres"]),
    .executable(name: "hive-service", targets: ["hive-service"]),
    .executable(name: "hive", targets: ["hive"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
    .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
    .package(url: "https://github.com/apple/swift-nio", exact: "2.101.2"),
    .package(url: "https://github.com/hummingbird-project/hummingbird", exact: "2.28.1", traits: []),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", exact: "2.13.0"),
    .package(url: "https://github.com/swiftlang/swift-subprocess", exact: "1.0.2", traits: []),
  ],
  targets: [
    // What PID 1 is made of: libc and the Swift standard library, nothing else.
    .target(name: "SupervisorCore", swiftSettings: bare),
    .target(name: "SupervisorConfig", dependencies: ["SupervisorCore"], swiftSettings: bare),
    .testTarget(name: "SupervisorCoreTests", dependencies: ["SupervisorCore"], swiftSettings: strict),
    .testTarget(
      name: "SupervisorConfigTests", dependencies: ["SupervisorConfig", "SupervisorCore"], exclude: ["Fixtures"],
      swiftSettings: strict),
    .target(name: "ControlProtocol", swiftSettings: bare),
    .testTarget(name: "ControlProtocolTests", dependencies: ["ControlProtocol"], swiftSettings: strict),
    .target(
      name: "CCPUTopology", cSettings: [.unsafeFlags(["-Wall", "-Wextra", "-Werror", "-O2"])]),
    .target(name: "CPUTopology", dependencies: ["CCPUTopology", "ControlProtocol"], swiftSettings: bare),
    .testTarget(
      name: "CPUTopologyTests", dependencies: ["CPUTopology", "ControlProtocol"], exclude: ["Trees"],
      swiftSettings: strict),
    .target(
      name: "CHiveSys", cSettings: [.unsafeFlags(["-Wall", "-Wextra", "-Werror", "-O2"])]),
    .target(
      name: "SupervisorRuntime",
      dependencies: ["SupervisorCore", "SupervisorConfig", "ControlProtocol", "CPUTopology", "CHiveSys"],
      swiftSettings: bare),
    .executableTarget(
      name: "RuntimeFixture", dependencies: ["SupervisorRuntime", "SupervisorCore", "CHiveSys"],
      path: "Tests/Fixtures/RuntimeFixture", swiftSettings: strict),
    .testTarget(
      name: "SupervisorRuntimeTests",
      dependencies: [
        "RuntimeFixture", "SupervisorRuntime", "SupervisorCore", "ControlProtocol", "CPUTopology", "CHiveSys",
      ],
      swiftSettings: strict),
    .executableTarget(
      name: "hivesupd",
      dependencies: ["SupervisorCore", "SupervisorConfig", "SupervisorRuntime", "ControlProtocol"],
      swiftSettings: staticExecutableSwift, linkerSettings: staticExecutable),

    // What people type.
    .target(name: "CommandOutput", swiftSettings: bare),
    .target(
      name: "HivesupCommand",
      dependencies: [
        "SupervisorCore", "SupervisorConfig", "ControlProtocol", "CPUTopology", "CommandOutput",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: strict),
    .executableTarget(
      name: "hivesup", dependencies: ["HivesupCommand"],
      swiftSettings: staticStdlibSwift, linkerSettings: staticStdlib + staticArgumentParser),
    // Its tests also run the built hivesup; a dependency on it would link the tests as it is linked.
    .testTarget(
      name: "HivesupCommandTests", dependencies: ["HivesupCommand", "ControlProtocol"], swiftSettings: strict),

    // What people type on the host: the containers, over the command lines of docker and compose.
    .target(
      name: "HiveCommand",
      dependencies: [
        "CommandOutput", "ControlProtocol",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Subprocess", package: "swift-subprocess"),
      ],
      swiftSettings: strict),
    .executableTarget(
      name: "hive", dependencies: ["HiveCommand"],
      swiftSettings: staticStdlibSwift, linkerSettings: staticStdlib + staticArgumentParser),
    .testTarget(
      name: "HiveCommandTests", dependencies: ["HiveCommand", "CommandOutput", "ControlProtocol"], swiftSettings: strict
    ),

    // Postgres and the API.
    .systemLibrary(name: "CLibPQ", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
    .target(name: "PostgresClient", dependencies: ["CLibPQ"], swiftSettings: strict),
    .target(name: "PostgresTestSupport", path: "Tests/PostgresTestSupport", swiftSettings: strict),
    .testTarget(
      name: "PostgresClientTests", dependencies: ["PostgresClient", "PostgresTestSupport"], swiftSettings: strict),
    .target(
      name: "CHivePostgres", cSettings: [.unsafeFlags(["-Wall", "-Wextra", "-Werror", "-O2"])]),
    .target(
      name: "HivePostgresCore", dependencies: ["CLibPQ", "CHivePostgres", "ControlProtocol", "CPUTopology"],
      swiftSettings: strict),
    .executableTarget(
      name: "hive-postgres", dependencies: ["HivePostgresCore"],
      swiftSettings: staticStdlibSwift, linkerSettings: staticStdlib),
    .testTarget(
      name: "HivePostgresTests", dependencies: ["HivePostgresCore", "ControlProtocol", "CPUTopology"],
      swiftSettings: strict),
    .target(
      name: "HiveServiceCore",
      dependencies: [
        "PostgresClient", "ControlProtocol",
        .product(name: "Hummingbird", package: "hummingbird"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
      ],
      swiftSettings: strict),
    .testTarget(
      name: "HiveServiceTests", dependencies: ["HiveServiceCore", "PostgresClient", "PostgresTestSupport"],
      exclude: ["Fixtures"], swiftSettings: strict),
    .executableTarget(
      name: "hive-service", dependencies: ["HiveServiceCore"],
      swiftSettings: staticStdlibSwift, linkerSettings: staticStdlib + staticFoundation),
  ]
)
