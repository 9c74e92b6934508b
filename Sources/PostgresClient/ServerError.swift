import CLibPQ

/// Reads the fields of an error result.
enum ResultError {
  static func read(_ result: OpaquePointer, _ connection: OpaquePointer) -> PostgresError {
    let libpqMessage = PQresultErrorMessage(result).map { ConnectError.oneLine(String(cString: $0)) } ?? ""
    let sqlState = field(result, "C")
    let lost = sqlState == nil && PQstatus(connection) != CONNECTION_OK
    var error = PostgresError(
      lost ? .connectionLost : .server, field(result, "M") ?? libpqMessage, sqlState: sqlState,
      severity: field(result, "V") ?? field(result, "S"), detail: field(result, "D"), hint: field(result, "H"))
    error.schema = field(result, "s")
    error.table = field(result, "t")
    error.column = field(result, "c")
    error.constraint = field(result, "n")
    error.position = field(result, "P").flatMap { Int($0) }
    return error
  }

  /// A field by its protocol letter (PostgreSQL documentation, "Error and Notice Message Fields"; `PG_DIAG_*`).
  static func field(_ result: OpaquePointer, _ letter: Unicode.Scalar) -> String? {
    PQresultErrorField(result, Int32(bitPattern: letter.value)).map { String(cString: $0) }
  }
}

/// Reads libpq's text about a connection that could not be made.
///
/// libpq 15 keeps the SQLSTATE of such an error to itself, but puts it into the message at verbose verbosity:
/// `connection to server on socket "…" failed: FATAL:  57P03: the database system is starting up`, followed by lines
/// such as `DETAIL:  …`, `HINT:  …` and `LOCATION:  …`. With several hosts there is one such text per attempt; the
/// last one counts.
enum ConnectError {
  static func read(_ text: String) -> PostgresError {
    let lines = text.split(whereSeparator: \.isNewline).map(String.init)
    var error = PostgresError(.connectionFailed, oneLine(text))
    for line in lines {
      if let (severity, sqlState, message) = parsePrimary(line) {
        error.severity = severity
        error.sqlState = sqlState
        error.message = message
        error.detail = nil
        error.hint = nil
      } else if let detail = after("DETAIL:  ", in: line) {
        error.detail = detail
      } else if let hint = after("HINT:  ", in: line) {
        error.hint = hint
      }
    }
    if error.sqlState == nil {
      error.message = oneLine(lines.filter { after("LOCATION:  ", in: $0) == nil }.joined(separator: "\n"))
    }
    return error
  }

  /// Lines joined by "; ", surrounding white space removed.
  static func oneLine(_ text: String) -> String {
    text.split(whereSeparator: \.isNewline)
      .map { line in
        let trimmed = line.drop(while: \.isWhitespace)
        return String(trimmed.reversed().drop(while: \.isWhitespace).reversed())
      }
      .filter { !$0.isEmpty }.joined(separator: "; ")
  }

  /// Finds `SEVERITY:  XXXXX: message` at the end of a line. The severity may be localised, the SQLSTATE is not.
  private static func parsePrimary(_ line: String) -> (severity: String, sqlState: String, message: String)? {
    let bytes = Array(line.utf8)
    let separator = Array(":  ".utf8)
    var index = 0
    while index + separator.count + 7 <= bytes.count {
      defer { index += 1 }
      let stateStart = index + separator.count
      guard bytes[index..<stateStart].elementsEqual(separator) else { continue }
      let state = bytes[stateStart..<(stateStart + 5)]
      let isState = state.allSatisfy { (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) }
      guard isState, bytes[stateStart + 5] == UInt8(ascii: ":"), bytes[stateStart + 6] == UInt8(ascii: " ") else {
        continue
      }
      let severityStart = bytes[..<index].lastIndex(of: UInt8(ascii: " ")).map { $0 + 1 } ?? 0
      return (
        String(decoding: bytes[severityStart..<index], as: UTF8.self), String(decoding: state, as: UTF8.self),
        String(decoding: bytes[(stateStart + 7)...], as: UTF8.self)
      )
    }
    return nil
  }

  private static func after(_ prefix: String, in line: String) -> String? {
    line.hasPrefix(prefix) ? String(line.dropFirst(prefix.count)) : nil
  }
}
