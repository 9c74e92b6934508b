import CHiveSys
import Foundation
import SupervisorCore
import Testing

@testable import SupervisorRuntime

/// A server that answers each connection with a script.
final class ScriptedServer {
  enum Step {
    /// Sends bytes.
    case say([UInt8])
    /// Waits for this many bytes of the client.
    case hear(Int)
    /// Closes the sending side only.
    case halfClose
    /// Closes.
    case close
  }

  private let loop: EventLoop
  private var acceptor: Acceptor?
  private var connections: [Int32: Registration] = [:]
  private(set) var heard: [UInt8] = []
  /// How many connections the clients have closed.
  private(set) var ended = 0
  private let script: [Step]

  init(loop: EventLoop, listener: Int32, script: [Step]) {
    self.loop = loop
    self.script = script
    acceptor = Acceptor(loop: loop, listener: listener) { [weak self] in self?.begin($0) }
    acceptor?.start()
  }

  deinit { for (connection, _) in connections { Glibc.close(connection) } }

  private func begin(_ connection: Int32) {
    var steps = script[...]
    var received = 0
    func advance() {
      while let step = steps.first {
        switch step {
        case .say(let bytes):
          _ = bytes.withUnsafeBytes { send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        case .hear(let count): if received < count { return }
        case .halfClose: _ = shutdown(connection, Int32(SHUT_WR))
        case .close: return end(connection)
        }
        steps = steps.dropFirst()
      }
    }
    connections[connection] = try? loop.add(connection, .readable) { [weak self] _ in
      guard let self else { return }
      var buffer = [UInt8](repeating: 0, count: 4096)
      let count = read(connection, &buffer, buffer.count)
      if count <= 0 {
        self.ended += 1
        return self.end(connection)
      }
      self.heard += buffer[..<count]
      received += count
      advance()
    }
    advance()
  }

  private func end(_ connection: Int32) {
    guard let registration = connections.removeValue(forKey: connection) else { return }
    loop.remove(registration)
    Glibc.close(connection)
  }
}

@Suite("Probes")
struct ProbeTests {
  private let loop: EventLoop
  private let runner: ProbeRunner

  init() throws {
    ignoreBrokenPipes()
    loop = try EventLoop()
    runner = ProbeRunner(loop: loop)
  }

  private func listener(_ address: SocketAddress = .tcp(host: "127.0.0.1", port: 0), backlog: Int32 = 16) throws
    -> Listener
  {
    var spec = ListenerSpec(name: "t", address: address)
    spec.backlog = backlog
    return try Listener(spec)
  }

  private func ask(_ probe: Probe, timeout: Interval = .seconds(5), execute: ProbeCommandStarter? = nil) throws
    -> ProbeResult
  {
    var results: [ProbeResult] = []
    let running = try #require(runner.start(probe, timeout: timeout, execute: execute) { results.append($0) })
    #expect(results.isEmpty, "answered from inside the call")
    #expect(running.isRunning)
    try #require(loop.turns(within: timeout + .seconds(5)) { !results.isEmpty })
    #expect(!running.isRunning)
    loop.settle()
    #expect(results.count == 1)
    #expect(results[0].latency >= .zero)
    return results[0]
  }

  private func http(_ listener: Listener, _ target: String = "/health") -> Probe {
    .http(HTTPProbe(address: .tcp(host: "127.0.0.1", port: listener.port), host: "127.0.0.1", target: target))
  }

  private func isOneOf(_ text: String, _ parts: [String]) -> Bool { parts.contains { text.contains($0) } }

  // MARK: tcp and unix

  @Test("tcp passes when somebody listens, although nobody accepts")
  func tcp() throws {
    let listener = try listener()
    #expect(try ask(.tcp(host: "127.0.0.1", port: listener.port)).passed)
    #expect(try ask(.tcp(host: "localhost", port: listener.port)).passed)
  }

  @Test("localhost is the IPv6 one where only that listens")
  func localhostIPv6() throws {
    let listener = try listener(.tcp(host: "::1", port: 0))
    #expect(try ask(.tcp(host: "localhost", port: listener.port)).passed)
    #expect(try ask(.tcp(host: "127.0.0.1", port: listener.port)).passed == false)
  }

  @Test("tcp fails with the reason when nobody listens, and for what is no address")
  func tcpRefused() throws {
    let port = try listener().port
    let result = try ask(.tcp(host: "127.0.0.1", port: port))
    #expect(!result.passed)
    #expect(result.detail == "cannot connect to 127.0.0.1:\(port): Connection refused")
    #expect(try ask(.tcp(host: "db.example", port: 1)).detail == "cannot connect to db.example:1: this is no address")
  }

  @Test("unix passes when somebody listens; a missing file, a dead socket and a full queue are told apart")
  func unix() throws {
    let directory = try ScratchDirectory()
    let path = directory.file("s")
    #expect(try ask(.unix(path: path)).detail == "cannot connect to unix:\(path): No such file or directory")
    do {
      let listener = try listener(.unix(path: path), backlog: 0)
      #expect(try ask(.unix(path: path)).passed)
      var clients: [TestClient] = []
      // The queue holds one more than the backlog (unix(7)); the probe above has left its place when its connection is accepted.
      while let client = try? takePlace(inQueueOf: path) { clients.append(client) }
      #expect(try ask(.unix(path: path)).detail == "cannot connect to unix:\(path): its queue of connections is full")
      _ = listener
    }
    #expect(try ask(.unix(path: path)).detail == "cannot connect to unix:\(path): Connection refused")
    #expect(!(try ask(.unix(path: String(repeating: "x", count: 200))).passed))
  }

  private func takePlace(inQueueOf path: String) throws -> TestClient {
    let address = try #require(KernelAddress.toConnect(.unix(path: path)).first)
    let probe = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0)
    defer { close(probe) }
    struct Full: Error {}
    guard address.withPointer({ connect(probe, $0, $1) }) == 0 else { throw Full() }
    // This one takes a place in the queue for good, because nobody accepts.
    return try TestClient(adopting: dup(probe))
  }

  @Test("a cancelled probe is never heard of again and leaves no descriptor")
  func cancelled() throws {
    let listener = try listener()
    var results = 0
    let probe = runner.start(http(listener), timeout: .milliseconds(20)) { _ in results += 1 }
    probe?.cancel()
    _ = loop.turns(within: .milliseconds(60)) { false }
    #expect(results == 0)
    #expect(probe?.isRunning == false)
    probe?.cancel()
  }

  @Test("what programs tell themselves cannot be asked")
  func notify() {
    #expect(runner.start(.notify, timeout: .seconds(1)) { _ in } == nil)
    #expect(runner.start(.notifyDescriptor(3), timeout: .seconds(1)) { _ in } == nil)
  }

  // MARK: http

  @Test("http passes with 200…399 and with nothing else, and says what it saw")
  func httpStatuses() throws {
    for code in 100...599 where code % 7 == 0 || [199, 200, 204, 301, 399, 400, 401, 404, 500, 503].contains(code) {
      let listener = try listener()
      let answer = "HTTP/1.1 \(code) Word\r\nContent-Length: 16\r\n\r\nfirst line\nmore\n"
      let server = ScriptedServer(
        loop: loop, listener: listener.descriptor, script: [.hear(10), .say(Array(answer.utf8)), .close])
      let result = try ask(http(listener))
      #expect(result.passed == (200...399).contains(code), "\(code)")
      switch code {
      case 200...399: #expect(result.detail == "")
      case 101, 200...: #expect(result.detail == "HTTP \(code) Word: first line")
      // An interim answer is followed by the real one, and "first line" is none.
      default: #expect(result.detail == "the answer is not HTTP")
      }
      #expect(String(decoding: server.heard, as: UTF8.self).hasPrefix("GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n"))
    }
  }

  @Test("an interim answer is passed over")
  func httpContinue() throws {
    let listener = try listener()
    let server = ScriptedServer(
      loop: loop, listener: listener.descriptor,
      script: [
        .hear(10), .say(Array("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n".utf8)), .close,
      ])
    #expect(try ask(http(listener)).passed)
    _ = server
  }

  @Test("an answer of the supervisor itself counts as failed, whatever its status", arguments: [200, 503])
  func httpFallback(code: Int) throws {
    let listener = try listener()
    let server = ScriptedServer(
      loop: loop, listener: listener.descriptor,
      script: [.hear(10), .say(Array("HTTP/1.1 \(code) X\r\nx-HIVESUP-fallback: 1\r\n\r\n".utf8))])
    let result = try ask(http(listener))
    #expect(!result.passed)
    #expect(result.detail == "answered by hivesup, not by the program")
    _ = server
  }

  @Test(
    "answers that are no HTTP, or none at all, fail",
    arguments: [
      ("", "the connection was closed without an answer"),
      ("HTTP/1.1 2", "the connection was closed within the headers"),
      ("SSH-2.0-OpenSSH\r\n", "the answer is not HTTP"), ("HTTP/1.1 abc OK\r\n\r\n", "the answer is not HTTP"),
      ("HTTP/1.1\r\n\r\n", "the answer is not HTTP"), ("HTTP/2 200\r\n\r\n", "the answer is not HTTP"),
      ("HTTP/1.1 500 Bad\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nboom!\r\n0\r\n\r\n", "HTTP 500 Bad: boom!"),
      ("HTTP/1.1 500 Bad\u{7}\r\n\r\n\u{1b}[31mred", "HTTP 500 Bad: [31mred"),
    ])
  func httpGarbage(answer: String, detail: String) throws {
    let listener = try listener()
    let server = ScriptedServer(
      loop: loop, listener: listener.descriptor, script: [.hear(10), .say(Array(answer.utf8)), .close])
    let result = try ask(http(listener))
    #expect(!result.passed)
    #expect(result.detail == detail)
    _ = server
  }

  @Test("headers without end, and a body without end, are bounded")
  func httpEndless() throws {
    let listener = try listener()
    let header = Array(
      ("HTTP/1.1 200 OK\r\n" + String(repeating: "X-A: \(String(repeating: "y", count: 90))\r\n", count: 400)).utf8)
    let server = ScriptedServer(loop: loop, listener: listener.descriptor, script: [.hear(10), .say(header)])
    #expect(try ask(http(listener)).detail == "the headers of the answer are longer than 16384 bytes")
    let second = try self.listener()
    let body = Array(("HTTP/1.1 200 OK\r\n\r\n" + String(repeating: "z", count: 100_000)).utf8)
    let endless = ScriptedServer(loop: loop, listener: second.descriptor, script: [.hear(10), .say(body)])
    #expect(try ask(http(second)).passed)
    #expect(loop.turns { endless.ended == 1 })
    _ = server
  }

  @Test("a failure without a body's end is told within a moment, not at the timeout")
  func httpFailureWithoutEnd() throws {
    let listener = try listener()
    let server = ScriptedServer(
      loop: loop, listener: listener.descriptor,
      script: [.hear(10), .say(Array("HTTP/1.1 503 No\r\n\r\nstarting".utf8))])
    let result = try ask(http(listener), timeout: .seconds(30))
    #expect(result.detail == "HTTP 503 No: starting")
    #expect(result.latency < .seconds(5))
    _ = server
  }

  @Test("silence ends with the timeout, before and after the connection stands")
  func httpSilence() throws {
    let listener = try listener()
    let server = ScriptedServer(loop: loop, listener: listener.descriptor, script: [])
    let result = try ask(http(listener), timeout: .milliseconds(50))
    #expect(!result.passed)
    #expect(result.detail == "no answer from 127.0.0.1:\(listener.port) within 0.05 s")
    #expect(result.latency >= .milliseconds(50))
    _ = server
  }

  @Test("http works over a unix socket, and cannot be made to send more than one request")
  func httpUnix() throws {
    let directory = try ScratchDirectory()
    let listener = try listener(.unix(path: directory.file("s")))
    let server = ScriptedServer(
      loop: loop, listener: listener.descriptor,
      script: [.hear(10), .say(Array("HTTP/1.0 204 No Content\r\n\r\n".utf8)), .close])
    let probe = HTTPProbe(
      address: .unix(path: directory.file("s")), host: "a\r\nX: y", target: "/live?x= 1\r\n\r\nDELETE / HTTP/1.1")
    #expect(try ask(.http(probe)).passed)
    let request = String(decoding: server.heard, as: UTF8.self)
    #expect(request.hasPrefix("GET /live?x=1DELETE/HTTP/1.1 HTTP/1.1\r\nHost: aX:y\r\n"))
  }

  @Test("no answer makes the reader trap or grow", arguments: 0..<4)
  func httpFuzz(seed: Int) {
    var generator = SeededGenerator(seed: UInt64(seed))
    let words = [
      "HTTP/1.1 ", "200", " 503 ", "OK", "\r\n", "\r\n\r\n", "\n\n", "Transfer-Encoding: chunked",
      "X-Hivesup-Fallback: 1", ":", "ffff",
      "7fffffffffffffff", "-1", "100 Continue", "\u{0}", "é",
    ]
    for _ in 0..<5000 {
      var dialogue = HTTPDialogue(host: "h", target: "/")
      var rest = Array("HTTP/1.1 ".utf8).prefix(Int.random(in: 0...9, using: &generator)) + []
      for _ in 0..<Int.random(in: 0...20, using: &generator) {
        rest += Array((words.randomElement(using: &generator) ?? "").utf8)
        if Int.random(in: 0...9, using: &generator) == 0 { rest.append(UInt8.random(in: 0...255, using: &generator)) }
      }
      var verdict: DialogueVerdict?
      while verdict == nil, !rest.isEmpty {
        let length = min(rest.count, Int.random(in: 1...40, using: &generator))
        let step = rest.prefix(length).withUnsafeBytes { dialogue.received($0) }
        switch step {
        case .decided(let decided, _), .settled(let decided): verdict = decided
        case .likely, .more: break
        }
        rest = rest.dropFirst(length)
      }
      let final = verdict ?? dialogue.ended()
      #expect(final.detail.utf8.count < 400)
      #expect(!final.detail.utf8.contains { $0 < 0x20 })
    }
  }

  // MARK: exec

  @Test("exec passes with status 0 only, and says how it ended")
  func exec() throws {
    for (status, output, passed, detail) in [
      (SupervisorCore.ExitStatus.exited(0), "fine\nmore", true, "fine"), (.exited(3), "", false, "exit status 3"),
      (.exited(1), "no\n", false, "exit status 1: no"), (.signaled(11, core: true), "", false, "ended by signal 11"),
    ] {
      let result = try ask(
        .exec(["check", "it"]),
        execute: { [loop] (arguments, ended) throws(SpawnFailure) in
          #expect(arguments == ["check", "it"])
          loop.schedule(after: .milliseconds(1)) { ended(status, output) }
          return ProbeCommand(kill: { Issue.record("killed") })
        })
      #expect(result.passed == passed)
      #expect(result.detail == detail)
    }
  }

  @Test("exec that takes too long is killed, and its late exit is not heard")
  func execTimeout() throws {
    var kills = 0
    var late: ((SupervisorCore.ExitStatus, String) -> Void)?
    let result = try ask(
      .exec(["sleep"]), timeout: .milliseconds(20),
      execute: { (_, ended) throws(SpawnFailure) in
        late = ended
        return ProbeCommand(kill: { kills += 1 })
      })
    #expect(!result.passed)
    #expect(result.detail == "no exit within 0.02 s: killed")
    #expect(kills == 1)
    late?(.exited(0), "")
  }

  @Test("exec that cannot be started fails with the reason; cancelled, it is killed")
  func execRefused() throws {
    let failure = SpawnFailure(
      stage: .exec, errno: ENOENT, text: "cannot execute x: No such file or directory", isShortage: false)
    #expect(try ask(.exec(["x"]), execute: { (_, _) throws(SpawnFailure) in throw failure }).detail == failure.text)
    #expect(!(try ask(.exec(["x"])).passed))
    var kills = 0
    let probe = runner.start(
      .exec(["x"]), timeout: .seconds(9),
      execute: { (_, _) throws(SpawnFailure) in ProbeCommand(kill: { kills += 1 }) },
      completion: { _ in Issue.record("completed") })
    probe?.cancel()
    #expect(kills == 1)
  }
}
