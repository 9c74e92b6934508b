import Foundation
import SupervisorCore
import Testing

@testable import SupervisorRuntime

/// What a PostgreSQL server says (protocol 3.0, "Message Formats").
private enum Backend {
  static func message(_ type: Character, _ body: [UInt8]) -> [UInt8] {
    let length = UInt32(body.count + 4)
    return [type.asciiValue ?? 0] + withUnsafeBytes(of: length.bigEndian) { Array($0) } + body
  }
  static func authentication(_ method: UInt8, _ extra: [UInt8] = []) -> [UInt8] {
    message("R", [0, 0, 0, method] + extra)
  }
  static func error(_ code: String, _ text: String) -> [UInt8] {
    message("E", Array("SFATAL\0VFATAL\0C\(code)\0M\(text)\0Fpostmaster.c\0L1\0\0".utf8))
  }
  static let parameter = message("S", Array("server_version\016.4\0".utf8))
  static let key = message("K", [0, 0, 0, 1, 0, 0, 0, 2])
  static let ready = message("Z", [UInt8(ascii: "I")])
  static let notice = message("N", Array("SNOTICE\0C00000\0Mhello\0\0".utf8))
  static let session = authentication(0) + parameter + notice + key + ready
}

@Suite("The postgres probe")
struct ProbePostgresTests {
  private let loop: EventLoop
  private let runner: ProbeRunner
  private let directory: ScratchDirectory

  init() throws {
    ignoreBrokenPipes()
    loop = try EventLoop()
    runner = ProbeRunner(loop: loop)
    directory = try ScratchDirectory()
  }

  private func ask(_ script: [ScriptedServer.Step], timeout: Interval = .seconds(5)) throws -> (ProbeResult, [UInt8]) {
    let probe = PostgresProbe(socketDirectory: directory.path, port: 5433, user: "hivesup_probe", database: "hive")
    let listener = try Listener(ListenerSpec(name: "pg", address: .unix(path: probe.socketPath)))
    defer { listener.removeFile() }
    let server = ScriptedServer(loop: loop, listener: listener.descriptor, script: script)
    var results: [ProbeResult] = []
    _ = runner.start(.postgres(probe), timeout: timeout) { results.append($0) }
    try #require(loop.turns { !results.isEmpty })
    _ = loop.turns(within: .milliseconds(20)) { server.ended == 1 }
    #expect(results.count == 1)
    return (results[0], server.heard)
  }

  private static let startup = 8 + "user\0hivesup_probe\0database\0hive\0application_name\0hivesup\0\0".utf8.count

  @Test("sends a startup packet with the role and the database that it was given")
  func startupPacket() throws {
    let (_, heard) = try ask([.hear(Self.startup), .say(Backend.authentication(10, Array("SCRAM-SHA-256\0\0".utf8)))])
    #expect(Array(heard.prefix(8)) == [0, 0, 0, UInt8(Self.startup), 0, 3, 0, 0])
    #expect(
      Array(heard.dropFirst(8)) == Array("user\0hivesup_probe\0database\0hive\0application_name\0hivesup\0\0".utf8))
  }

  @Test(
    "passes as soon as any authentication is asked for, and leaves without a word",
    arguments: [2, 3, 5, 7, 9, 10] as [UInt8])
  func authenticationRequests(method: UInt8) throws {
    let (result, heard) = try ask([.hear(Self.startup), .say(Backend.authentication(method, [1, 2, 3, 4]))])
    #expect(result.passed)
    #expect(result.detail == "")
    #expect(heard.count == Self.startup)
  }

  @Test("let in, it follows the session until it is ready and says good-bye", arguments: [1, 7, 4096])
  func session(piece: Int) throws {
    var script: [ScriptedServer.Step] = [.hear(Self.startup)]
    var rest = Backend.session[...]
    while !rest.isEmpty {
      script.append(.say(Array(rest.prefix(piece))))
      rest = rest.dropFirst(piece)
    }
    let (result, heard) = try ask(script)
    #expect(result.passed)
    #expect(Array(heard.suffix(5)) == [UInt8(ascii: "X"), 0, 0, 0, 4])
  }

  /// PQping: 57P03 rejects, any other error accepts (research: readiness); ours adds shutdown, lack of memory or disk, and I/O errors.
  @Test(
    "takes errors as PQping does, and more strictly where the server cannot serve",
    arguments: [
      ("57P03", "the database system is starting up", false), ("57P01", "terminating connection", false),
      ("57P02", "crash of another server process", false), ("53300", "sorry, too many clients already", true),
      ("53100", "could not extend file", false), ("53200", "out of memory", false),
      ("28000", "no pg_hba.conf entry", true),
      ("28P01", "password authentication failed", true), ("3D000", "database \"hive\" does not exist", true),
      ("58030", "could not read block", false), ("XX000", "internal", false), ("F0000", "bad configuration", false),
      ("0A000", "unsupported frontend protocol", true), ("08P01", "invalid startup packet", true),
      ("55000", "not accepting", true),
    ])
  func errors(code: String, text: String, passes: Bool) throws {
    for script: [ScriptedServer.Step] in [
      [.hear(Self.startup), .say(Backend.error(code, text)), .close],
      [.hear(Self.startup), .say(Backend.authentication(0) + Backend.parameter + Backend.error(code, text)), .close],
    ] {
      let (result, _) = try ask(script)
      #expect(result.passed == passes)
      #expect(result.detail == "\(text) (\(code))")
    }
  }

  @Test(
    "anything else is not ready",
    arguments: [
      ("", "the server closed the connection without an answer"),
      ("HTTP/1.1 400 Bad Request\r\n", "the answer is not PostgreSQL's"),
      ("R\0\0\0\u{3}", "the answer is not PostgreSQL's"), ("R\0\0\0\u{4}", "the answer is not PostgreSQL's"),
      ("Z\0\0\0\u{5}I", "the answer is not PostgreSQL's"),
      ("R\u{7f}\u{7f}\u{7f}\u{7f}", "the answer is not PostgreSQL's"),
      ("E\0\0\0\u{8}M\0\0\0", "the answer is not PostgreSQL's"),
      ("R\0\0", "the server closed the connection without an answer"),
      (
        "Ecould not fork new process for connection: Resource temporarily unavailable\n\0",
        "could not fork new process for connection: Resource temporarily unavailable"
      ),
      ("E\0\0", "the answer is not PostgreSQL's"),
    ])
  func garbage(answer: String, detail: String) throws {
    let (result, _) = try ask([.hear(Self.startup), .say(Array(answer.utf8)), .close])
    #expect(!result.passed)
    #expect(result.detail == detail)
  }

  @Test("a session that ends before it is ready is not ready")
  func cutOff() throws {
    let (result, _) = try ask([.hear(Self.startup), .say(Backend.authentication(0) + Backend.parameter), .close])
    #expect(!result.passed)
    #expect(result.detail == "the server closed the connection before the session was ready")
  }

  @Test(
    "a server that is stopped (SIGSTOP) or silent fails at the timeout, half-closed or not", arguments: [true, false])
  func silence(halfClosed: Bool) throws {
    let (result, _) = try ask(
      halfClosed ? [.hear(Self.startup), .halfClose] : [.hear(Self.startup)], timeout: .milliseconds(100))
    #expect(!result.passed)
    if !halfClosed { #expect(result.detail.hasPrefix("no answer from unix:")) }
  }

  @Test("no socket: the reason is told")
  func noSocket() throws {
    var results: [ProbeResult] = []
    let probe = PostgresProbe(socketDirectory: directory.path)
    _ = runner.start(.postgres(probe), timeout: .seconds(5)) { results.append($0) }
    #expect(loop.turns { !results.isEmpty })
    #expect(
      results.first?.detail == "cannot connect to unix:\(directory.path)/.s.PGSQL.5432: No such file or directory")
  }

  /// Feeds an answer in pieces; what the dialogue makes of it.
  private func verdict(_ bytes: [UInt8], pieces: inout SeededGenerator) -> DialogueVerdict {
    var dialogue = PostgresDialogue(user: "u", database: "d")
    _ = dialogue.opening()
    var rest = bytes[...]
    while !rest.isEmpty {
      let length = min(rest.count, Int.random(in: 1...64, using: &pieces))
      let step = rest.prefix(length).withUnsafeBytes { dialogue.received($0) }
      if case .decided(let verdict, _) = step { return verdict }
      rest = rest.dropFirst(length)
    }
    return dialogue.ended()
  }

  @Test("no answer makes the parser trap, loop, or depend on how it was cut", arguments: 0..<8)
  func fuzz(seed: Int) {
    var generator = SeededGenerator(seed: UInt64(seed))
    let seeds: [[UInt8]] = [
      Backend.session, Backend.error("57P03", "starting"), Backend.authentication(10), Backend.notice + Backend.session,
      Array("Eplain text\n\0".utf8), [],
    ]
    for _ in 0..<4000 {
      var bytes = seeds.randomElement(using: &generator) ?? []
      for _ in 0..<Int.random(in: 0...6, using: &generator) {
        switch Int.random(in: 0...3, using: &generator) {
        case 0 where !bytes.isEmpty:
          bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
        case 1:
          bytes.insert(
            UInt8.random(in: 0...255, using: &generator), at: Int.random(in: 0...bytes.count, using: &generator))
        case 2 where !bytes.isEmpty: bytes.removeLast(Int.random(in: 1...bytes.count, using: &generator))
        default: bytes += seeds.randomElement(using: &generator) ?? []
        }
      }
      let first = verdict(bytes, pieces: &generator)
      let second = verdict(bytes, pieces: &generator)
      #expect(first == second, "\(bytes)")
      #expect(first.detail.utf8.count <= 210)
    }
  }

  @Test("an answer without end is refused")
  func endless() {
    var generator = SeededGenerator(seed: 1)
    let notices = (0..<4000).flatMap { _ in Backend.notice }
    #expect(verdict(notices, pieces: &generator) == .fail("the answer is longer than PostgreSQL's would be"))
  }
}
