import Foundation
import Glibc
import PostgresTestSupport
import Testing

@testable import HiveServiceCore

/// What PID 1 relies on: sockets, notifications, the end.
@Suite(.serialized, .enabled(if: Requirements.areMet, Requirements.reason))
struct ServingTests {
  @Test func acceptsOnTheInheritedSocketAndTellsWhenItIsReady() async throws {
    let server = try await PostgresServer.withSchema("genie")
    let service = try ServiceProcess(conninfo: server.conninfo(), abstractNotify: true)
    #expect(try HTTPConnection.request(service.port, "GET", "/health").status == 200)
    service.signal(SIGTERM)
    #expect(try service.nextNotification(within: .seconds(10)) == "STOPPING=1")
    #expect(service.waitForExit() == 0)
  }

  @Test func bindsItselfWithoutAnInheritedSocket() async throws {
    let server = try await PostgresServer.withSchema("genie")
    let service = try ServiceProcess(conninfo: server.conninfo(), inheritsSocket: false)
    #expect(try HTTPConnection.request(service.port, "GET", "/health").status == 200)
    service.signal(SIGINT)
    #expect(service.waitForExit() == 0)
  }

  @Test func saysWhoseFaultItIsWhenThePortIsTaken() async throws {
    let server = try await PostgresServer.withSchema("genie")
    let first = try ServiceProcess(conninfo: server.conninfo(), inheritsSocket: false)
    let second = try ServiceProcess(
      conninfo: server.conninfo(), environment: ["HIVE_PORT": String(first.port)], inheritsSocket: false,
      waitsUntilReady: false)
    #expect(second.waitForExit() == 1)
    #expect(second.output.contains("cannot listen on 127.0.0.1:\(first.port): Address already in use; another process"))
    let confused = try ServiceProcess(role: "king", conninfo: "", waitsUntilReady: false)
    #expect(confused.waitForExit() == 2)
    #expect(confused.output.contains("HIVE_ROLE=king is not one of genie, agent"))
  }

  @Test func ignoresSocketsThatAreMeantForAnother() async throws {
    let listener = try ListeningDescriptor()
    let environment = ["LISTEN_FDS": "1", "LISTEN_PID": String(getpid() + 1)]
    #expect(try ListeningSocket.inherited(environment: environment, firstDescriptor: listener.descriptor).isEmpty)
    let mine = ["LISTEN_FDS": "1", "LISTEN_PID": String(getpid()), "LISTEN_FDNAMES": "api"]
    let sockets = try ListeningSocket.inherited(environment: mine, firstDescriptor: listener.descriptor)
    #expect(sockets.map(\.name) == ["api"])
    #expect(fcntl(listener.descriptor, F_GETFL) & O_NONBLOCK != 0)
    #expect(fcntl(listener.descriptor, F_GETFD) & FD_CLOEXEC != 0)
    let file = open("/dev/null", O_RDONLY)
    defer { close(file) }
    #expect(throws: ConfigurationError.self) {
      try ListeningSocket.inherited(environment: mine, firstDescriptor: file)
    }
    #expect(throws: ConfigurationError.self) {
      try ListeningSocket.inherited(environment: ["LISTEN_FDS": "x", "LISTEN_PID": String(getpid())])
    }
  }

  @Test func feedsTheWatchdogOnlyWhenAsked() async throws {
    let server = try await PostgresServer.withSchema("genie")
    let service = try ServiceProcess(conninfo: server.conninfo(), environment: ["WATCHDOG_USEC": "100000"])
    for _ in 0..<5 { #expect(try service.nextNotification(within: .seconds(10)) == "WATCHDOG=1") }
    let other = try ServiceProcess(
      conninfo: server.conninfo(), environment: ["WATCHDOG_USEC": "100000", "WATCHDOG_PID": "1"])
    #expect(try other.nextNotification(within: .milliseconds(400)) == "")
  }

  @Test func theDrainFinishesWhatWasBegun() async throws {
    let server = try await PostgresServer.withSchema("genie")
    let service = try ServiceProcess(conninfo: server.conninfo(), environment: ["HIVE_DRAIN_SECONDS": "20"])
    let created = try HTTPConnection.json(service.port, "POST", "/api/v1/sessions", #"{"user_id":"a"}"#)
    let location = try #require(created.headers["location"])
    let locker = try await Locker(server, location)
    let idle = try HTTPConnection(port: service.port)
    #expect(try idle.request("GET", "/health").status == 200)
    let busy = try HTTPConnection(port: service.port)
    try busy.send(
      "PATCH", location, headers: ["content-type": "application/json"], body: Array(#"{"user_id":"b"}"#.utf8))
    try await locker.waitForVictim()
    let fresh = try HTTPConnection(port: service.port)
    try await eventually { try Self.connections(of: service) >= 3 }
    service.signal(SIGTERM)
    #expect(try service.nextNotification(within: .seconds(10)) == "STOPPING=1")
    #expect(try idle.isAtEnd())
    // A client that had just connected still gets its answer.
    let late = try fresh.request("GET", "/nope")
    #expect(late.status == 404 && late.headers["connection"] == "close")
    #expect(try fresh.isAtEnd())
    try await locker.release()
    let finished = try busy.receive()
    #expect(finished.status == 200 && finished.headers["connection"] == "close")
    #expect(try finished.json["user_id"] == "b")
    #expect(service.waitForExit() == 0)
  }

  @Test func theDrainEndsAtItsLimit() async throws {
    let server = try await PostgresServer.withSchema("genie")
    let service = try ServiceProcess(conninfo: server.conninfo(), environment: ["HIVE_DRAIN_SECONDS": "0.5"])
    let created = try HTTPConnection.json(service.port, "POST", "/api/v1/sessions", #"{"user_id":"a"}"#)
    let location = try #require(created.headers["location"])
    let locker = try await Locker(server, location)
    let busy = try HTTPConnection(port: service.port)
    try busy.send(
      "PATCH", location, headers: ["content-type": "application/json"], body: Array(#"{"user_id":"b"}"#.utf8))
    try await locker.waitForVictim()
    let begin = ContinuousClock.now
    service.signal(SIGTERM)
    let answer = try busy.receive()
    #expect(answer.status == 503 && answer.headers["retry-after"] == "1" && answer.headers["connection"] == "close")
    #expect(answer.detail == "The service is shutting down")
    #expect(try busy.isAtEnd())
    #expect(service.waitForExit() == 0)
    #expect(ContinuousClock.now - begin < .seconds(5))
    #expect(service.output.contains("because not done within 0.5 seconds: 1 of the requests"), "\(service.output)")
    // The statement was cancelled in the server, too: the row can be locked by others again.
    try await locker.waitForVictim(count: 0)
  }

  /// Requests that wait for a row, for a connection, and for their own body; and a client that takes no answer.
  @Test func atTheEndOfTheDrainEveryRequestIsAnswered() async throws {
    let server = try await PostgresServer.withSchema("genie")
    let service = try ServiceProcess(
      conninfo: server.conninfo(),
      environment: [
        "HIVE_DRAIN_SECONDS": "1", "HIVE_POOL_SIZE": "2", "HIVE_POOL_OVERFLOW": "1", "HIVE_POOL_TIMEOUT": "60",
      ])
    let large = #"{"user_id":"a","session_data":{"x":"\#(String(repeating: "x", count: 1_000_000))"}}"#
    for _ in 0..<8 { #expect(try HTTPConnection.json(service.port, "POST", "/api/v1/sessions", large).status == 201) }
    let created = try HTTPConnection.json(service.port, "POST", "/api/v1/sessions", #"{"user_id":"a"}"#)
    let location = try #require(created.headers["location"])
    let deaf = try HTTPConnection(port: service.port)
    for _ in 0..<5 { try deaf.send("GET", "/api/v1/sessions?limit=8") }
    let locker = try await Locker(server, location)
    var waiting: [HTTPConnection] = []
    for _ in 0..<6 {
      let connection = try HTTPConnection(port: service.port)
      try connection.send(
        "PATCH", location, headers: ["content-type": "application/json"], body: Array(#"{"user_id":"b"}"#.utf8))
      waiting.append(connection)
    }
    try await locker.waitForVictim(count: 3)
    let slow = try HTTPConnection(port: service.port)
    try slow.send(
      "POST", "/api/v1/sessions", headers: ["content-type": "application/json", "content-length": "100"],
      body: Array(#"{"user_id":"#.utf8))
    waiting.append(slow)
    try await eventually { try Self.connections(of: service) == 8 }
    // The slow one's head has been read when a later request on another connection has been answered.
    #expect(try HTTPConnection.request(service.port, "GET", "/nope").status == 404)
    let begin = ContinuousClock.now
    service.signal(SIGTERM)
    for connection in waiting {
      let answer = try connection.receive()
      #expect(answer.status == 503 && answer.headers["retry-after"] == "1" && answer.headers["connection"] == "close")
    }
    #expect(service.waitForExit() == 0)
    #expect(ContinuousClock.now - begin < .seconds(6), "\(service.output)")
    try await locker.waitForVictim(count: 0)
    withExtendedLifetime(deaf) {}
  }

  /// Its request is done: nothing is cancelled, and nobody is told so.
  @Test func aClientThatDoesNotTakeItsAnswerIsNoRequestThatWasCancelled() async throws {
    let server = try await PostgresServer.withSchema("genie")
    let service = try ServiceProcess(
      conninfo: server.conninfo(), environment: ["HIVE_DRAIN_SECONDS": "2", "HIVE_LOG_LEVEL": "debug"])
    let large = #"{"user_id":"a","session_data":{"x":"\#(String(repeating: "x", count: 1_000_000))"}}"#
    for _ in 0..<24 { #expect(try HTTPConnection.json(service.port, "POST", "/api/v1/sessions", large).status == 201) }
    let deaf = try HTTPConnection(port: service.port)
    for _ in 0..<3 { try deaf.send("GET", "/api/v1/sessions?limit=24") }
    // The first answer may be taken by buffers whole; the second one waits for them.
    try await eventually { service.output.components(separatedBy: "GET /api/v1/sessions 200").count > 2 }
    service.signal(SIGTERM)
    #expect(service.waitForExit() == 0)
    #expect(!service.output.contains("of the requests"), "\(service.output)")
    withExtendedLifetime(deaf) {}
  }

  /// A server that answers nothing, not even a request to cancel, keeps nobody.
  @Test func theDrainEndsBesideAServerThatIsStopped() async throws {
    let server = try await PostgresServer.withSchema("genie")
    let service = try ServiceProcess(conninfo: server.conninfo(), environment: ["HIVE_DRAIN_SECONDS": "0.5"])
    #expect(try HTTPConnection.request(service.port, "GET", "/api/v1/sessions").status == 200)
    let stopped = [server.processID] + server.children()
    stopped.forEach { kill($0, SIGSTOP) }
    defer { stopped.forEach { kill($0, SIGCONT) } }
    let busy = try HTTPConnection(port: service.port)
    try busy.send("GET", "/api/v1/sessions")
    let begin = ContinuousClock.now
    service.signal(SIGTERM)
    let answer = try busy.receive()
    #expect(answer.status == 503 && answer.headers["connection"] == "close")
    #expect(service.waitForExit() == 0)
    #expect(ContinuousClock.now - begin < .seconds(5))
  }

  @Test func aClientThatHangsUpDoesNotEndTheService() async throws {
    let server = try await PostgresServer.withSchema("genie")
    let service = try ServiceProcess(conninfo: server.conninfo())
    for _ in 0..<20 {
      let connection = try HTTPConnection(port: service.port)
      for _ in 0..<20 { try connection.send("GET", "/api/v1/sessions") }
    }
    try await eventually { try HTTPConnection.request(service.port, "GET", "/health").status == 200 }
    service.signal(SIGTERM)
    #expect(service.waitForExit() == 0)
  }

  @Test func moreConnectionsThanAllowedWaitInTheQueue() async throws {
    let server = try await PostgresServer.withSchema("genie")
    let service = try ServiceProcess(conninfo: server.conninfo(), environment: ["HIVE_MAX_CONNECTIONS": "2"])
    var holders: [HTTPConnection] = []
    for _ in 0..<2 {
      let holder = try HTTPConnection(port: service.port)
      #expect(try holder.request("GET", "/health").status == 200)
      holders.append(holder)
    }
    let waiting = try HTTPConnection(port: service.port)
    try waiting.send("GET", "/health")
    holders.removeLast()
    #expect(try waiting.receive().status == 200)
  }

  private static func connections(of service: ServiceProcess) throws -> Int {
    let directory = "/proc/\(service.processID)/fd"
    let port = String(format: "%04X", service.port)
    let established = ProcFile.read("/proc/\(service.processID)/net/tcp")
      .split(separator: "\n").compactMap { line -> String? in
        let fields = line.split(separator: " ")
        guard fields.count > 9, fields[1].hasSuffix(":\(port)"), fields[3] == "01" else { return nil }
        return "socket:[\(fields[9])]"
      }
    let open = try FileManager.default.contentsOfDirectory(atPath: directory).compactMap {
      try? FileManager.default.destinationOfSymbolicLink(atPath: directory + "/" + $0)
    }
    return Set(open).intersection(established).count
  }
}
