import ControlProtocol
import Testing

private let at = Timestamp(nanoseconds: 1_795_168_800_000_000_000)

private func program(_ random: inout SeededGenerator) -> ProgramDocument {
  func time(_ random: inout SeededGenerator) -> Timestamp? {
    random.chance(50) ? nil : Timestamp(nanoseconds: Int64(random.below(1 << 40)) * 1_000_000)
  }
  var program = ProgramDocument(
    name: random.text(most: 6), group: random.text(most: 6), program: random.text(most: 6),
    type: random.pick(["service", "oneshot"]),
    state: random.pick(["RUNNING", "FATAL"]), stateCode: random.pick([20, 200]), since: at)
  program.pid = random.chance(50) ? random.below(1 << 22) : nil
  program.uptimeSeconds = random.chance(50) ? Double(random.below(1 << 30)) / 1000 : nil
  program.startedAt = time(&random)
  program.stoppedAt = time(&random)
  program.ready = random.chance(50)
  program.completed = random.chance(50)
  program.restarts = random.below(1000)
  program.failedStarts = random.below(10)
  program.lastExit =
    random.chance(50)
    ? nil
    : ExitDocument(
      exitStatus: random.chance(50) ? random.below(256) : nil, signal: random.chance(50) ? "SIGKILL" : nil,
      coreDumped: random.chance(50),
      oomKilled: random.chance(50), expected: random.chance(50), at: at)
  program.spawnError = random.text(most: 20)
  program.waitingFor = (0..<random.below(3)).map { _ in random.text(most: 8) }
  program.nextStartAt = time(&random)
  program.statusText = random.text(most: 8)
  program.pinning = random.chance(10) ? nil : pinning(&random)
  return program
}

private func pinning(_ random: inout SeededGenerator) -> PinningDocument {
  func text(_ random: inout SeededGenerator) -> String? { random.chance(50) ? nil : random.text(most: 8) }
  var pinning = PinningDocument()
  pinning.requested = text(&random)
  pinning.isLive = random.chance(50)
  pinning.threads = text(&random)
  pinning.cpus = text(&random)
  pinning.coreClass = text(&random)
  pinning.explanation = random.text(most: 8)
  pinning.isFallback = random.chance(50)
  pinning.policyRequested = text(&random)
  pinning.policy = text(&random)
  pinning.niceRequested = random.chance(50) ? nil : random.below(40) - 20
  pinning.nice = random.chance(50) ? nil : random.below(40) - 20
  pinning.ioniceRequested = text(&random)
  pinning.ionice = text(&random)
  pinning.memoryPolicy = text(&random)
  pinning.refused = (0..<random.below(3)).map { _ in
    RefusalDocument(
      setting: random.text(most: 8), requested: random.text(most: 8), message: random.text(most: 8),
      remedy: text(&random))
  }
  return pinning
}

@Suite struct DocumentTests {
  @Test func healthIsWrittenExactly() {
    let ready = CheckDocument(
      name: "ready", type: "postgres", status: "passing", latencyMilliseconds: 0.4, observedAt: at, detail: "")
    let document = HealthDocument(
      status: "healthy", container: "genie", version: "0.1.0", timestamp: at, uptimeSeconds: 12.345,
      database: "connected", reasons: [],
      services: [
        ServiceDocument(
          name: "postgresql", status: "healthy", state: "RUNNING", pid: 12, uptimeSeconds: 11.9, restarts: 0,
          lastExit: nil, checks: [ready]),
        ServiceDocument(
          name: "api", status: "unhealthy", state: "EXITED", pid: nil, uptimeSeconds: nil, restarts: 3,
          lastExit: ExitDocument(exitStatus: nil, signal: "SIGKILL", oomKilled: true, expected: false, at: at),
          checks: []),
      ])
    let expected =
      #"{"status":"healthy","container":"genie","version":"0.1.0","timestamp":"2026-11-20T10:00:00.000Z","uptime_seconds":12.345,"#
      + #""database":"connected","reasons":[],"services":{"postgresql":{"status":"healthy","state":"RUNNING","pid":12,"uptime_seconds":11.9,"#
      + #""restarts":0,"last_exit":null,"checks":[{"name":"ready","type":"postgres","status":"passing","latency_ms":0.4,"#
      + #""observed_at":"2026-11-20T10:00:00.000Z","detail":""}]},"api":{"status":"unhealthy","state":"EXITED","pid":null,"uptime_seconds":null,"#
      + #""restarts":3,"last_exit":{"exit_status":null,"signal":"SIGKILL","core_dumped":false,"oom_killed":true,"expected":false,"#
      + #""at":"2026-11-20T10:00:00.000Z"},"checks":[]}}}"#
    #expect(String(decoding: document.json, as: UTF8.self) == expected)
    #expect((try? JSONValue(parsing: document.json)).flatMap(HealthDocument.init(json:)) == document)
    #expect(document.response.status == 200)
    #expect(document.response.headers.first("cache-control") == "no-store")
  }

  @Test func onlyHealthyIs200() {
    for status in ["starting", "healthy", "unhealthy", "stopped"] {
      var document = HealthDocument(
        status: status, container: "", version: "", timestamp: at, uptimeSeconds: 0, database: nil, reasons: [],
        services: [])
      #expect(document.response.status == (status == "healthy" ? 200 : 503))
      #expect(!String(decoding: document.json, as: UTF8.self).contains("database"))
      document.database = "unknown"
      #expect(String(decoding: document.json, as: UTF8.self).contains("\"database\":\"unknown\""))
    }
  }

  @Test func statusIsReadAsItWasWritten() throws {
    for seed in 0..<(fuzzCases / 8) {
      var random = SeededGenerator(seed: seed)
      let document = StatusDocument(
        container: random.text(most: 5), identifier: "supervisor", version: "1", pid: 1, state: "RUNNING",
        health: "healthy", reasons: [random.text(most: 9)],
        timestamp: at, uptimeSeconds: 1.5, configuration: "/etc/x",
        programs: (0..<random.below(4)).map { _ in program(&random) })
      #expect(StatusDocument(json: try JSONValue(parsing: document.json)) == document, "seed \(seed)")
    }
  }

  @Test func otherDocumentsAreReadAsTheyWereWritten() throws {
    let event = EventDocument(
      seq: 7, timestamp: at, program: "g:a", from: "STARTING", to: "RUNNING", pid: 3, tries: 1, cause: "is ready")
    let note = EventDocument(seq: 8, timestamp: at, program: "", cause: "asked by client (pid 7, uid 0)")
    let events = EventsDocument(events: [event, note], newest: 8, missed: 6)
    #expect(EventsDocument(json: try JSONValue(parsing: events.json)) == events)
    #expect(event.line.last == 0x0A && event.line.filter { $0 == 0x0A }.count == 1)
    #expect(EventDocument(json: try JSONValue(parsing: event.line)) == event)
    let results = ResultsDocument(
      action: "start",
      results: [
        ResultDocument(name: "a", group: "g"),
        ResultDocument(name: "b", group: "b", code: .spawnError, message: "cannot x: y"),
      ])
    #expect(ResultsDocument(json: try JSONValue(parsing: results.response.body)) == results)
    let reload = ReloadDocument(added: ["a"], changed: ["b"], adjusted: ["c"], removed: ["d"], warnings: ["e"])
    #expect(ReloadDocument(json: try JSONValue(parsing: reload.json)) == reload)
    let version = VersionDocument(version: "1.2.3", pid: 1)
    #expect(VersionDocument(json: try JSONValue(parsing: version.json)) == version)
  }

  @Test func aSingleResultDecidesTheStatus() {
    for code in ControlFault.Code.allCases {
      let one = ResultDocument(name: "a", group: "a", code: code)
      #expect(ResultsDocument(action: "start", results: [one]).response.status == code.httpStatus)
      #expect(ResultsDocument(action: "start", results: [one, one]).response.status == 200)
    }
    #expect(ResultsDocument(action: "stop", results: []).response.status == 200)
  }

  @Test func mutatedDocumentsAreReadOrRefused() {
    var random = SeededGenerator(seed: 1)
    let status = StatusDocument(
      container: "c", identifier: "s", version: "1", pid: 1, state: "RUNNING", health: "healthy", reasons: [],
      timestamp: at, uptimeSeconds: 1,
      configuration: "", programs: [program(&random)])
    for _ in 0..<fuzzCases {
      guard let json = try? JSONValue(parsing: random.mutated(status.json)), let read = StatusDocument(json: json)
      else { continue }
      // What is written is read as it was written; a mutated number may have had more digits than are written.
      let written = read.json
      let again = (try? JSONValue(parsing: written)).flatMap(StatusDocument.init(json:))
      #expect(again?.json == written, "\(String(decoding: written, as: UTF8.self))")
    }
  }
}

@Suite struct PublicResponderTests {
  private static func answer(_ method: String, _ target: String, healthy: Bool = true) -> HTTPResponse? {
    guard case .request(let request)? = outcomes([Array("\(method) \(target) HTTP/1.1\r\nHost: h\r\n\r\n".utf8)]).first
    else { return nil }
    return PublicResponder.respond(to: request, retryAfter: 2) { page in
      guard page == .health else {
        return .text("\(page)\n", status: healthy || page == .metrics ? 200 : 503)
      }
      return HealthDocument(
        status: healthy ? "healthy" : "starting", container: "", version: "", timestamp: at, uptimeSeconds: 0,
        database: nil,
        reasons: healthy ? [] : ["x: starting"], services: []
      ).response
    }
  }

  @Test func probesAndMetricsAreAnsweredOnTheirPaths() {
    for (path, page) in [("/livez", "livez"), ("/readyz", "readyz"), ("/startupz?verbose", "startupz")] {
      #expect(Self.answer("GET", path)?.status == 200)
      let response = Self.answer("GET", path, healthy: false)
      #expect(response?.status == 503 && response?.headers.first("retry-after") == "2")
      #expect(response.map { String(decoding: $0.body, as: UTF8.self) } == "\(page)\n")
      #expect(Self.answer("POST", path)?.status == 405)
    }
    let metrics = Self.answer("GET", "/metrics", healthy: false)
    #expect(metrics?.status == 200 && metrics?.headers.first("retry-after") == nil)
  }

  @Test func eachPageIsWhereTheControlSocketHasIt() throws {
    for page in PublicPage.allCases {
      guard
        case .request(let request)? = outcomes([Array("GET \(page.controlPath) HTTP/1.1\r\nHost: h\r\n\r\n".utf8)])
          .first
      else {
        Issue.record("\(page) cannot be asked for")
        continue
      }
      _ = try Route(request)
      for path in page.paths { #expect(PublicPage(path: path) == page) }
    }
    #expect(PublicPage(path: "/livez/") == nil && PublicPage(path: "/v1/health") == nil)
  }

  @Test func healthIsAnsweredOnBothPaths() {
    for path in ["/health", "/api/v1/health", "/health?x=y"] {
      for method in ["GET", "HEAD"] {
        #expect(Self.answer(method, path)?.status == 200)
        let response = Self.answer(method, path, healthy: false)
        #expect(response?.status == 503 && response?.headers.first("Retry-After") == "2")
        #expect(response?.headers.first("cache-control") == "no-store")
      }
      for method in ["POST", "PUT", "OPTIONS"] {
        let response = Self.answer(method, path)
        #expect(response?.status == 405 && response?.headers.first("allow") == "GET, HEAD")
      }
    }
  }

  @Test func everythingElseIsToldToComeBack() {
    for (method, path) in [
      ("GET", "/"), ("POST", "/api/v1/sessions"), ("GET", "/health/"), ("OPTIONS", "*"), ("GET", "/HEALTH"),
    ] {
      let response = Self.answer(method, path)
      #expect(response?.status == 503 && response?.headers.first("retry-after") == "2", "\(path)")
      #expect(response?.headers.first("content-type") == "application/json")
    }
  }
}

@Suite struct PrometheusWriterTests {
  @Test func escapesAndNumbers() {
    var writer = PrometheusWriter()
    writer.metric("hivesup_up", .gauge, help: "a \\ \"b\"\nc")
    writer.sample("hivesup_up", [], 1)
    writer.sample("hivesup_up", [("program", "a\"b\\c\nd"), ("x", "é")], 0.25)
    writer.sample("hivesup_up", [], Double.infinity)
    writer.sample("hivesup_up", [], -Double.infinity)
    writer.sample("hivesup_up", [], Double.nan)
    writer.sample("hivesup_up", [], 1e18)
    let expected =
      "# HELP hivesup_up a \\\\ \"b\"\\nc\n# TYPE hivesup_up gauge\nhivesup_up 1\nhivesup_up{program=\"a\\\"b\\\\c\\nd\",x=\"é\"} 0.25\n"
      + "hivesup_up +Inf\nhivesup_up -Inf\nhivesup_up NaN\nhivesup_up 1e+18\n"
    #expect(String(decoding: writer.bytes, as: UTF8.self) == expected)
  }
}
