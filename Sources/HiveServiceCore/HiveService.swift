import Glibc
import Logging
import NIOCore
import NIOPosix
import PostgresClient
import ServiceLifecycle
import Synchronization

/// The API of one container, put together from its parts.
public struct HiveService: Sendable {
  private let configuration: ServiceConfiguration
  private let source: HTTPListener.Source
  private let notifier: ServiceNotifier?
  private let watchdogInterval: Duration?
  private let logger: Logger

  /// A service as `environment` describes it; takes over the sockets that the parent left open. Throws
  /// `InvalidEnvironment` or `ConfigurationError`.
  public init(environment: [String: String]) throws {
    let configuration = try ServiceConfiguration(environment: environment)
    self.configuration = configuration
    let sockets = try ListeningSocket.inherited(environment: environment)
    source = sockets.isEmpty ? .bind(host: configuration.host, port: configuration.port) : .sockets(sockets)
    notifier = ServiceNotifier(environment: environment)
    watchdogInterval = ServiceNotifier.watchdogInterval(environment: environment)
    logger = Logger(label: "hive-service") { _ in
      LineLogHandler(level: configuration.logLevel, format: configuration.logFormat)
    }
  }

  /// How long after the drain's end connections are cut off, whatever is being written on them.
  static let answerTime = Duration.milliseconds(300)

  /// Serves until SIGTERM or SIGINT, then drains: accepts nothing more, finishes what was begun within
  /// `HIVE_DRAIN_SECONDS`, cancels the rest and answers that with 503, and returns, all in all half a second after the drain's end at
  /// the latest. Throws when it cannot listen.
  public func run() async throws {
    // A client that hangs up while it is being answered must not end the process.
    signal(SIGPIPE, SIG_IGN)
    if let warning = configuration.drainWarning { logger.warning("\(warning)") }
    let group = MultiThreadedEventLoopGroup.singleton
    let pool = PostgresPool(configuration.conninfo, options: configuration.poolOptions)
    let health = HealthRoutes(
      container: configuration.role.rawValue, conninfo: configuration.conninfo,
      control: configuration.controlSocket.map { ControlSocketClient(path: $0, eventLoopGroup: group) })
    let reporter = makeReporter(pool, group)
    let background = Mutex<[Task<Void, Never>]>([])
    // PID 1 is to know of a database that is not there before it calls the service ready.
    let listener = makeListener(pool, health, group) {
      await reporter?.look()
    } onReady: {
      background.withLock {
        $0 = [startWatchdog(group), reporter.map { one in Task { await one.run() } }].compactMap(\.self)
      }
    }
    var services = ServiceGroupConfiguration(
      services: [listener], gracefulShutdownSignals: [.sigterm, .sigint], logger: quiet(logger))
    services.maximumGracefulShutdownDuration = configuration.drainTimeout + Self.answerTime
    do {
      try await ServiceGroup(configuration: services).run()
    } catch is CancellationError {
      logger.warning("not every client has taken its answer: the rest was cut off")
    }
    // Statements that were given up are cancelled in the server, where they hold locks; a server that is stopped takes no such request.
    async let closed: Void = pool.close(timeout: .milliseconds(200))
    await health.close()
    await closed
    background.withLock { $0.forEach { $0.cancel() } }
    logger.notice("stopped")
  }

  /// nil where there is no PID 1 that takes reports.
  private func makeReporter(_ pool: PostgresPool, _ group: any EventLoopGroup) -> DatabaseReporter? {
    configuration.controlSocket.map { path in
      DatabaseReporter(
        pool: pool, control: ControlSocketClient(path: path, eventLoopGroup: group), program: configuration.program,
        target: configuration.target,
        remedy: configuration.databaseVariable.map { "\($0) names it: without it the API uses the container's own" },
        logger: logger)
    }
  }

  private func makeListener(
    _ pool: PostgresPool, _ health: HealthRoutes, _ group: any EventLoopGroup,
    beforeAccepting: @escaping @Sendable () async -> Void, onReady: @escaping @Sendable () -> Void
  ) -> HTTPListener {
    var routes = RouteTable()
    health.add(to: &routes)
    let resource = ResourceRoutes(
      definition: configuration.role.resource,
      store: ResourceStore(definition: configuration.role.resource, pool: pool),
      bodies: RequestBodyReader(
        maximumBytes: configuration.maximumBodyBytes, timeout: configuration.requestTimeout),
      availability: DatabaseAvailability(logger: logger),
      admission: HeatAdmission(path: configuration.thermalPath, limit: configuration.hotRequests))
    resource.add(to: &routes)
    let tracker = ConnectionTracker(drainTimeout: configuration.drainTimeout)
    return HTTPListener(
      source: source,
      limits: HTTPListener.Limits(
        maximumConnections: configuration.maximumConnections, idleTimeout: configuration.idleTimeout),
      responder: routes.makeResponder(), tracker: tracker, eventLoopGroup: group, logger: logger,
      beforeAccepting: beforeAccepting,
      onAccepting: { addresses in
        let list = addresses.map { "\($0)" }.joined(separator: ", ")
        logger.notice("\(configuration.role.rawValue) API \(ServiceVersion.current) accepts on \(list)")
        notifier?.send("READY=1\nSTATUS=accepting on \(list)")
        onReady()
      },
      onDraining: {
        logger.notice("draining, at most \(configuration.drainTimeout)")
        notifier?.send("STOPPING=1")
      },
      onOver: { count in
        guard count > 0 else { return }
        logger.warning(
          "cancelled and answered 503, because not done within \(configuration.drainTimeout): \(count) of the requests")
      })
  }

  private func startWatchdog(_ group: any EventLoopGroup) -> Task<Void, Never>? {
    guard let notifier, let watchdogInterval else { return nil }
    let watchdog = Watchdog(notifier: notifier, interval: watchdogInterval, eventLoopGroup: group)
    return Task { await watchdog.run() }
  }

  /// The lifecycle library reports each of its steps; ours are enough.
  private func quiet(_ logger: Logger) -> Logger {
    var logger = logger
    logger.logLevel = max(logger.logLevel, .warning)
    return logger
  }
}
