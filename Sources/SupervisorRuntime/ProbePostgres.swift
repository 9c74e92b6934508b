// The `postgres` probe: a startup packet on the unix socket, without libpq (PostgreSQL protocol 3.0, "Message Formats").
//
// What it proves is what PQping calls PQPING_OK, and more where the server lets it in: asked for authentication, the postmaster has
// forked a backend and takes connections (the check for "starting up" comes before that, postmaster.c canAcceptConnections); let in,
// the session is followed to ReadyForQuery, so that the database has been opened as well.
//
// How to keep the server's log quiet: a role whose pg_hba.conf line is `scram-sha-256` is asked for a password even when it does not
// exist (mock authentication), and a client that then closes the connection is not logged. With `peer` and a role that does not fit,
// every probe costs the log a FATAL line. So write, before other `local` lines:
//
//   local  all  hivesup_probe  scram-sha-256
//
// and `ready=postgres:/run/pg?user=hivesup_probe`. Such a probe costs the server one fork and no database.

/// The client side of a start of a session, up to what the probe wants to know. Bounded: 64 KiB of answers, 30 000 bytes a message.
struct PostgresDialogue: ProbeDialogue {
  private static let longestMessage = 30_000
  private static let longestAnswer = 64 * 1024
  /// Terminate.
  private static let terminate: [UInt8] = [UInt8(ascii: "X"), 0, 0, 0, 4]

  private let user: String
  private let database: String
  private var input: [UInt8] = []
  private var total = 0
  private var isAuthenticated = false

  init(user: String, database: String) {
    self.user = user
    self.database = database
  }

  /// StartupMessage: length, protocol 3.0, parameters, a zero byte.
  mutating func opening() -> [UInt8] {
    var body: [UInt8] = [0, 3, 0, 0]
    for (name, value) in [("user", user), ("database", database), ("application_name", "hivesup")] {
      body.append(contentsOf: name.utf8)
      body.append(0)
      body.append(contentsOf: value.utf8.filter { $0 != 0 }.prefix(1024))
      body.append(0)
    }
    body.append(0)
    let length = UInt32(truncatingIfNeeded: body.count + 4)
    return withUnsafeBytes(of: length.bigEndian) { Array($0) } + body
  }

  mutating func connected() -> ProbeStep { .more }

  mutating func received(_ bytes: UnsafeRawBufferPointer) -> ProbeStep {
    total += bytes.count
    if total > PostgresDialogue.longestAnswer {
      return .decided(.fail("the answer is longer than PostgreSQL's would be"))
    }
    input.append(contentsOf: bytes)
    while input.count >= 5 {
      let type = input[0]
      let length = input[1..<5].reduce(0) { $0 << 8 | Int($1) }
      // A postmaster that cannot fork answers as protocol 2 did: `E`, then text (fe-connect.c, "pre-3.0 error").
      if type == UInt8(ascii: "E") && (length < 8 || length > PostgresDialogue.longestMessage) {
        return input.contains(0) || input.count > PostgresDialogue.longestMessage ? .decided(oldError()) : .more
      }
      guard length >= 4, length <= PostgresDialogue.longestMessage else {
        return .decided(.fail(PostgresDialogue.garbage))
      }
      if input.count < length + 1 { return isKnown(type) ? .more : .decided(.fail(PostgresDialogue.garbage)) }
      let step = message(type, input[5..<length + 1])
      input.removeFirst(length + 1)
      if step != .more { return step }
    }
    if let type = input.first, !isKnown(type) { return .decided(.fail(PostgresDialogue.garbage)) }
    return .more
  }

  mutating func ended() -> DialogueVerdict {
    if input.first == UInt8(ascii: "E") { return oldError() }
    return .fail(
      isAuthenticated
        ? "the server closed the connection before the session was ready"
        : "the server closed the connection without an answer")
  }

  private static let garbage = "the answer is not PostgreSQL's"

  /// Messages that a server may send before ReadyForQuery.
  private func isKnown(_ type: UInt8) -> Bool {
    switch type {
    case UInt8(ascii: "R"), UInt8(ascii: "E"), UInt8(ascii: "N"), UInt8(ascii: "S"), UInt8(ascii: "K"),
      UInt8(ascii: "Z"),
      UInt8(ascii: "v"):
      true
    default: false
    }
  }

  private mutating func message(_ type: UInt8, _ body: ArraySlice<UInt8>) -> ProbeStep {
    switch type {
    case UInt8(ascii: "R"):
      guard body.count >= 4 else { return .decided(.fail(PostgresDialogue.garbage)) }
      let method = body.prefix(4).reduce(0) { $0 << 8 | Int($1) }
      // A request for a password, SASL, GSS, …: the server takes connections. End of file is how a client says that it has none.
      if method != 0 { return isAuthenticated ? .decided(.fail(PostgresDialogue.garbage)) : .decided(.pass()) }
      isAuthenticated = true
      return .more
    case UInt8(ascii: "Z"):
      guard isAuthenticated else { return .decided(.fail(PostgresDialogue.garbage)) }
      return .decided(.pass(), farewell: PostgresDialogue.terminate)
    case UInt8(ascii: "E"): return .decided(PostgresDialogue.judge(body))
    case UInt8(ascii: "S"), UInt8(ascii: "K"):
      return isAuthenticated ? .more : .decided(.fail(PostgresDialogue.garbage))
    case UInt8(ascii: "N"), UInt8(ascii: "v"): return .more
    default: return .decided(.fail(PostgresDialogue.garbage))
    }
  }

  private func oldError() -> DialogueVerdict {
    let text = printableLine(input.dropFirst().prefix { $0 != 0 }, limit: 200)
    return .fail(text.isEmpty ? PostgresDialogue.garbage : text)
  }

  /// What an ErrorResponse means. As PQping has it, any error but "cannot connect now" comes from a server that takes connections;
  /// beyond it, a server that is being shut down, is out of memory or disk, or cannot read its files is not ready either.
  private static func judge(_ body: ArraySlice<UInt8>) -> DialogueVerdict {
    var code = ""
    var text = ""
    var rest = body
    while let field = rest.first, field != 0 {
      let value = rest.dropFirst().prefix { $0 != 0 }
      if field == UInt8(ascii: "C") { code = printableLine(value, limit: 5) }
      if field == UInt8(ascii: "M") { text = printableLine(value, limit: 200) }
      rest = rest.dropFirst(value.count + 2)
    }
    guard code.utf8.count == 5 else { return .fail(text.isEmpty ? garbage : text) }
    let detail = "\(text) (\(code))"
    switch code {
    case "57P01", "57P02", "57P03", "53100", "53200": return .fail(detail)
    case _ where code.hasPrefix("58") || code.hasPrefix("XX") || code.hasPrefix("F0"): return .fail(detail)
    default: return .pass(detail)
    }
  }
}
