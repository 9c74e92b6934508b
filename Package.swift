// swift-tools-version: 6.2
// hivesup: PID 1 of a unified PostgreSQL + API container. The rooms and what each may import: docs/architecture.md.
import PackageDescription

/// Every target of ours: Swift 6 language mode, warnings are errors.
let strict: [SwiftSetting] = [.swiftLanguageMode(.v6), .treatAllWarnings(as: .error)]

/// PID 1 needs nothing from the image but the kernel: one static, non-PIE executable.
let staticExecutableSwift: [SwiftSetting] = strict + [.unsafeFlags(["-static-stdlib"])]
let staticExecutable: [LinkerSetting] = [
  .unsafeFlags(["-static-executable", "-Xlinker", "--gc-sections"])
]

/// The other executables carry the Swift runtime and take libc (and libpq) from the image.
let staticStdlibSwift: [SwiftSetting] = strict + [.unsafeFlags(["-static-stdlib"])]
let staticStdlib: [LinkerSetting] = [.unsafeFlags(["-static-stdlib"])]

/// Hummingbird imports FoundationEssentials (without its trait FullFoundation, which would bring 30 MB of ICU data). Its
/// objects ask for the dynamic one, which brings its own parts along; the static one does not.
let staticFoundation: [LinkerSetting] = [.unsafeFlags(["-l_FoundationCollections", "-l_FoundationCShims"])]

let package = Package(
  name: "hivesup",
  products: [
    .executable(name: "hivesupd", targets: ["hivesupd"]),
    .executable(name: "hivesup", targets: ["hivesup"]),
    .executable(name: "hive-postgres", targets: ["hive-postgres"]),
    .executable(name: "hive-service", targets: ["hive-service"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
    .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
    .package(url: "https://github.com/apple/swift-nio", exact: "2.101.2"),
    .package(url: "https://github.com/hummingbird-project/hummingbird", exact: "2.28.1", traits: []),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", exact: "2.13.0"),
  ],
  targets: [
    // What PID 1 is made of: libc and the Swift standard library, nothing else.
    .target(name: "SupervisorCore", swiftSettings: strict),
    .target(name: "SupervisorConfig", dependencies: ["SupervisorCore"], swiftSettings: strict),
    .testTarget(name: "SupervisorCoreTests", dependencies: ["SupervisorCore"], swiftSettings: strict),
    .testTarget(
      name: "SupervisorConfigTests", dependencies: ["SupervisorConfig", "SupervisorCore"], exclude: ["Fixtures"],
      swiftSettings: strict),
    .target(name: "ControlProtocol", swiftSettings: strict),
    .target(
      name: "CHiveSys", cSettings: [.unsafeFlags(["-Wall", "-Wextra", "-Werror", "-O2"])]),
    .target(
      name: "SupervisorRuntime", dependencies: ["SupervisorCore", "SupervisorConfig", "ControlProtocol", "CHiveSys"],
      swiftSettings: strict),
    .executableTarget(
      name: "RuntimeFixture", dependencies: ["SupervisorRuntime", "SupervisorCore", "CHiveSys"],
      path: "Tests/Fixtures/RuntimeFixture", swiftSettings: strict),
    .testTarget(
      name: "SupervisorRuntimeTests",
      dependencies: ["RuntimeFixture", "SupervisorRuntime", "SupervisorCore", "CHiveSys"], swiftSettings: strict),
    .executableTarget(
      name: "hivesupd",
      dependencies: ["SupervisorCore", "SupervisorConfig", "SupervisorRuntime", "ControlProtocol"],
      swiftSettings: staticExecutableSwift, linkerSettings: staticExecutable),

    // What people type.
    .executableTarget(
      name: "hivesup",
      dependencies: [
        "SupervisorCore", "SupervisorConfig", "ControlProtocol",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: staticStdlibSwift, linkerSettings: staticStdlib),

    // Postgres and the API.
    .systemLibrary(name: "CLibPQ", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
    .target(name: "PostgresClient", dependencies: ["CLibPQ"], swiftSettings: strict),
    .target(name: "PostgresTestSupport", path: "Tests/PostgresTestSupport", swiftSettings: strict),
    .testTarget(
      name: "PostgresClientTests", dependencies: ["PostgresClient", "PostgresTestSupport"], swiftSettings: strict),
    .target(
      name: "CHivePostgres", cSettings: [.unsafeFlags(["-Wall", "-Wextra", "-Werror", "-O2"])]),
    .target(
      name: "HivePostgresCore", dependencies: ["CLibPQ", "CHivePostgres", "ControlProtocol"], swiftSettings: strict),
    .executableTarget(
      name: "hive-postgres", dependencies: ["HivePostgresCore"],
      swiftSettings: staticStdlibSwift, linkerSettings: staticStdlib),
    .testTarget(name: "HivePostgresTests", dependencies: ["HivePostgresCore", "ControlProtocol"], swiftSettings: strict),
    .target(
      name: "HiveServiceCore",
      dependencies: [
        "PostgresClient",
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
