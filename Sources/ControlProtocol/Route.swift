// What a request to the control socket asks for. The same enum is parsed by the daemon and composed by the client.

/// Which of a program's outputs.
public enum LogStream: String, CaseIterable, Sendable {
  /// Standard output.
  case stdout
  /// Standard error.
  case stderr
  /// Both, in the order in which they came.
  case both
}

/// How long a request may wait for its effect.
public struct WaitOptions: Equatable, Sendable {
  /// Answer when it is done; false: as soon as it is accepted.
  public var wait: Bool
  /// Answer TIMED_OUT after so many seconds (the action goes on). nil: as long as it takes.
  public var timeout: Double?

  /// Options.
  public init(wait: Bool = true, timeout: Double? = nil) {
    self.wait = wait
    self.timeout = timeout
  }
}

/// A request to the control API. `target` is `name`, `group:name`, `group:*` or `all`.
public enum Route: Equatable, Sendable {
  /// `GET /v1/status`: a `StatusDocument`.
  case status
  /// `GET /v1/programs/NAME`: a `ProgramDocument`.
  case program(target: String)
  /// `POST /v1/programs/NAME/start`: a `ResultsDocument`.
  case start(target: String, WaitOptions)
  /// `POST /v1/programs/NAME/stop`: a `ResultsDocument`. `now`: one that is stopping already goes to the next step of its stop plan.
  case stop(target: String, WaitOptions, now: Bool)
  /// `POST /v1/programs/NAME/restart`: a `ResultsDocument`.
  case restart(target: String, WaitOptions)
  /// `POST /v1/programs/NAME/signal`: a `ResultsDocument`. The signal is a name or a number, as the client wrote it.
  case signal(target: String, signal: String)
  /// `POST /v1/programs/NAME/pin`: a `ResultsDocument`, when every thread has been moved.
  case pin(target: String, PinRequest)
  /// `GET /v1/events`: an `EventsDocument` with what came after `since`; with `follow` an `EventDocument` per line, without end.
  case events(since: UInt64, follow: Bool)
  /// `GET /v1/logs/NAME`: the last `bytes` bytes as they are; with `follow` also what comes, without end.
  case logs(target: String, stream: LogStream, bytes: Int, follow: Bool)
  /// `GET /v1/health`: a `HealthDocument`; 200 when healthy, else 503.
  case health
  /// `GET /livez`: 200 or 503, text.
  case livez
  /// `GET /readyz`: 200 or 503, text.
  case readyz
  /// `GET /startupz`: 200 or 503, text.
  case startupz
  /// `GET /metrics`: Prometheus text.
  case metrics
  /// `GET /v1/version`: a `VersionDocument`.
  case version
  /// `GET /v1/thermal`: how hot the machine is.
  case thermal
  /// `POST /v1/thermal`: a report of it.
  case thermalReport(ThermalDocument)
  /// `POST /v1/reload`: a `ReloadDocument`.
  case reload
  /// `POST /v1/shutdown`: 202, and everything is stopped.
  case shutdown
  /// `POST /v1/checks/PROGRAM`: 204, and the result counts for the program's health.
  case check(target: String, ReportDocument)

  /// How many bytes of a log are sent unless the client says so (supervisorctl's tail).
  public static let defaultLogBytes = 1600
  /// The most bytes that a client may ask for; what is kept may be less.
  public static let mostLogBytes = 16 << 20
  /// The longest time that a client may wait, in seconds: a day.
  public static let longestTimeout = 86_400.0

  /// Reads a request.
  /// - Throws: UNKNOWN_METHOD for a path that does not exist, METHOD_NOT_ALLOWED, INCORRECT_PARAMETERS and BAD_ARGUMENTS for what
  ///   is wrong with the parameters; whether the target exists is for the daemon to say.
  public init(_ request: HTTPRequest) throws(ControlFault) {
    let path = request.segments
    switch (path.first, path.count) {
    case ("livez", 1): self = try Self.get(request, .livez)
    case ("readyz", 1): self = try Self.get(request, .readyz)
    case ("startupz", 1): self = try Self.get(request, .startupz)
    case ("metrics", 1): self = try Self.get(request, .metrics)
    case ("v1", 2...4): self = try Self.versioned(path.dropFirst(), request)
    default: throw Self.unknown(request)
    }
  }

  private static func versioned(_ path: ArraySlice<String>, _ request: HTTPRequest) throws(ControlFault) -> Route {
    let words = Array(path)
    switch (words[0], words.count) {
    case ("status", 1): return try get(request, .status)
    case ("health", 1): return try get(request, .health)
    case ("version", 1): return try get(request, .version)
    case ("thermal", 1):
      if request.method == "POST" {
        let parameters = try Parameters(request, method: "POST")
        return .thermalReport(try ThermalDocument(json: parameters.document))
      }
      return try get(request, .thermal)
    case ("events", 1):
      var parameters = try Parameters(request, method: "GET")
      let route = Route.events(
        since: try parameters.whole("since", 0...Int64.max).map(UInt64.init) ?? 0,
        follow: try parameters.flag("follow") ?? false)
      try parameters.finish()
      return route
    case ("reload", 1): return try post(request, .reload)
    case ("shutdown", 1): return try post(request, .shutdown)
    case ("programs", 2): return try get(request, .program(target: try target(words[1])))
    case ("programs", 3): return try action(words[2], on: try target(words[1]), request)
    case ("logs", 2):
      var parameters = try Parameters(request, method: "GET")
      let route = Route.logs(
        target: try target(words[1]), stream: try parameters.choice("stream") ?? .both,
        bytes: try parameters.whole("bytes", 0...Int64(mostLogBytes)).map(Int.init) ?? defaultLogBytes,
        follow: try parameters.flag("follow") ?? false)
      try parameters.finish()
      return route
    case ("checks", 2):
      let parameters = try Parameters(request, method: "POST")
      return .check(target: try target(words[1]), try ReportDocument(json: parameters.document))
    default: throw unknown(request)
    }
  }

  private static func action(
    _ verb: String, on target: String, _ request: HTTPRequest
  ) throws(ControlFault) -> Route {
    guard ["start", "stop", "restart", "signal", "pin"].contains(verb) else { throw unknown(request) }
    var parameters = try Parameters(request, method: "POST")
    let route: Route
    if verb == "signal" {
      guard let signal = try parameters.text("signal") else {
        throw ControlFault(.incorrectParameters, "cannot signal \(target): name the signal, e.g. ?signal=HUP")
      }
      route = .signal(target: target, signal: signal)
    } else if verb == "pin" {
      route = .pin(target: target, try PinRequest(&parameters, target: printable(target)))
    } else {
      let options = WaitOptions(
        wait: try parameters.flag("wait") ?? true, timeout: try parameters.number("timeout", 0...longestTimeout))
      switch verb {
      case "start": route = .start(target: target, options)
      case "stop": route = .stop(target: target, options, now: try parameters.flag("now") ?? false)
      default: route = .restart(target: target, options)
      }
    }
    try parameters.finish()
    return route
  }

  private static func get(_ request: HTTPRequest, _ route: Route) throws(ControlFault) -> Route {
    let parameters = try Parameters(request, method: "GET")
    try parameters.finish()
    return route
  }

  private static func post(_ request: HTTPRequest, _ route: Route) throws(ControlFault) -> Route {
    let parameters = try Parameters(request, method: "POST")
    try parameters.finish()
    return route
  }

  private static func unknown(_ request: HTTPRequest) -> ControlFault {
    ControlFault(
      .unknownMethod, "cannot answer \(printable(request.path)): there is no such path, see docs/control-api.md")
  }

  private static func target(_ name: String) throws(ControlFault) -> String {
    guard !name.isEmpty, name.utf8.count <= 512, name.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else {
      throw ControlFault(.badName, "cannot find the program: its name is empty, too long or unprintable")
    }
    return name
  }

  /// A client's text as part of a message: bounded, without control characters.
  static func printable(_ text: String) -> String {
    String(
      String.UnicodeScalarView(text.unicodeScalars.prefix(120).map { $0.value < 0x20 || $0.value == 0x7F ? "?" : $0 }))
  }
}

extension Route {
  /// The method, the target and the content of the request that asks for this.
  public var message: (method: String, target: String, body: [UInt8]) {
    switch self {
    case .status: ("GET", "/v1/status", [])
    case .program(let target): ("GET", Self.path("programs", target), [])
    case .start(let target, let options): ("POST", Self.path("programs", target, "start") + Self.query(options), [])
    case .stop(let target, let options, let now):
      ("POST", Self.path("programs", target, "stop") + Self.query(options, now ? [("now", "true")] : []), [])
    case .restart(let target, let options): ("POST", Self.path("programs", target, "restart") + Self.query(options), [])
    case .signal(let target, let signal):
      ("POST", Self.path("programs", target, "signal") + Self.query([("signal", signal)]), [])
    case .pin(let target, let request):
      ("POST", Self.path("programs", target, "pin") + Self.query(request.query), [])
    case .events(let since, let follow):
      ("GET", "/v1/events" + Self.query([("since", String(since))] + (follow ? [("follow", "true")] : [])), [])
    case .logs(let target, let stream, let bytes, let follow):
      (
        "GET",
        Self.path("logs", target)
          + Self.query(
            [("stream", stream.rawValue), ("bytes", String(bytes))] + (follow ? [("follow", "true")] : [])), []
      )
    case .health: ("GET", "/v1/health", [])
    case .livez: ("GET", "/livez", [])
    case .readyz: ("GET", "/readyz", [])
    case .startupz: ("GET", "/startupz", [])
    case .metrics: ("GET", "/metrics", [])
    case .version: ("GET", "/v1/version", [])
    case .thermal: ("GET", "/v1/thermal", [])
    case .thermalReport(let document): ("POST", "/v1/thermal", document.json)
    case .reload: ("POST", "/v1/reload", [])
    case .shutdown: ("POST", "/v1/shutdown", [])
    case .check(let target, let report): ("POST", Self.path("checks", target), report.json)
    }
  }

  /// The whole request.
  /// - Parameter keepAlive: whether another request follows on the same connection.
  public func request(keepAlive: Bool = false) -> [UInt8] {
    let (method, target, body) = message
    var bytes = Array("\(method) \(target) HTTP/1.1\r\nHost: localhost\r\n".utf8)
    if !keepAlive { bytes.append(contentsOf: "Connection: close\r\n".utf8) }
    if !body.isEmpty { bytes.append(contentsOf: "Content-Type: application/json\r\n".utf8) }
    if method == "POST" { bytes.append(contentsOf: "Content-Length: \(body.count)\r\n".utf8) }
    bytes.append(contentsOf: "\r\n".utf8)
    bytes.append(contentsOf: body)
    return bytes
  }

  private static func path(_ words: String...) -> String {
    words.reduce("/v1") { "\($0)/\(PercentEncoding.encode($1))" }
  }

  private static func query(_ options: WaitOptions, _ more: [(String, String)] = []) -> String {
    var items: [(String, String)] = []
    if !options.wait { items.append(("wait", "false")) }
    if let timeout = options.timeout { items.append(("timeout", timeout.description)) }
    return query(items + more)
  }

  private static func query(_ items: [(String, String)]) -> String {
    items.isEmpty ? "" : "?" + items.map { "\($0.0)=\(PercentEncoding.encode($0.1))" }.joined(separator: "&")
  }
}
