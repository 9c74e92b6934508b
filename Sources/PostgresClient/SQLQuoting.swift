extension PostgresConnection {
  /// A name as it must stand in SQL text: in double quotes, whatever it contains. Identifiers cannot be parameters.
  ///
  /// The session's encoding is always UTF-8 here, so this is the same as libpq's `PQescapeIdentifier` without the need
  /// for a connection. Throws `PostgresError.Code.invalidParameter` for a NUL character.
  public static func escapeIdentifier(_ name: String) throws -> String {
    try quote(name, mark: "\"", doubling: ["\""])
  }

  /// A string constant as it must stand in SQL text, for the statements that take no parameters (`ALTER ROLE …
  /// PASSWORD`, `CREATE DATABASE`). Correct whatever `standard_conforming_strings` says, as `PQescapeLiteral`: with a
  /// backslash in it, it is written `E'…'`. Throws as `escapeIdentifier`.
  public static func escapeLiteral(_ text: String) throws -> String {
    let quoted = try quote(text, mark: "'", doubling: ["'", "\\"])
    return text.unicodeScalars.contains("\\") ? " E" + quoted : quoted
  }

  private static func quote(_ text: String, mark: Unicode.Scalar, doubling: Set<Unicode.Scalar>) throws -> String {
    var quoted = String.UnicodeScalarView()
    quoted.append(mark)
    for scalar in text.unicodeScalars {
      guard scalar != "\0" else {
        throw PostgresError(.invalidParameter, "SQL text cannot contain a NUL character", sqlState: "22021")
      }
      if doubling.contains(scalar) { quoted.append(scalar) }
      quoted.append(scalar)
    }
    quoted.append(mark)
    return String(quoted)
  }
}
