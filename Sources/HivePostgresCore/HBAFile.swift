// pg_hba.conf as the server reads it, byte by byte (src/backend/libpq/hba.c: tokenize_auth_file, next_field_expand, next_token of
// PostgreSQL 14 and later), so that nobody is let in by a line that looks like something else.

/// The lexer of pg_hba.conf, and what its lines must not say here.
enum HBAFile {
  /// A word of a list, without its quotes. A quoted word is a type, a method or an inclusion all the same.
  struct Token: Equatable {
    var text: [UInt8]
    /// It began with a quote: `"@file"` is a name, and no file.
    var isQuoted: Bool

    var string: String { String(decoding: text, as: UTF8.self) }
  }

  /// A line, with those that its backslashes join to it.
  struct Record: Equatable {
    /// Of its first line, from 1 on.
    var line: Int
    /// Lists of words, separated by blanks. None is empty.
    var fields: [[Token]]
  }

  /// Methods that let somebody in without proof, or by a password that travels as it is.
  private static let refusedMethods = ["trust", "password"]
  private static let inclusions = ["include", "include_if_exists", "include_dir"]

  /// Nobody gets in without proof, whoever edited the file. The server reads a copy of it, and reads it again whenever it is told to:
  /// what the file leaves to other files would not be beside the copy, and could change after this look.
  static func check(_ bytes: [UInt8], path: String) throws(Failure) {
    if let zero = bytes.firstIndex(of: 0) {
      let line = bytes[..<zero].count { $0 == newline } + 1
      throw Failure(
        .configuration, "cannot use \(path): line \(line) has a NUL byte",
        remedy: "write the line anew: the file is text")
    }
    for record in records(bytes) {
      if let first = record.fields.first?.first, inclusions.contains(first.string) {
        throw includes(record, first.string, path)
      }
      for token in record.fields.joined() where !token.isQuoted && token.text.count > 1 && token.text.first == at {
        throw includes(record, token.string, path)
      }
      // Case does not count: the server would refuse the word in capitals, in words that are harder to understand.
      if let bad = methods(record).first(where: { refusedMethods.contains($0.string.lowercased()) }) {
        throw Failure(
          .configuration, "cannot use \(path): line \(record.line) lets clients in by '\(bad.string)'",
          remedy: "use scram-sha-256, or peer on the socket")
      }
    }
  }

  private static func includes(_ record: Record, _ word: String, _ path: String) -> Failure {
    Failure(
      .configuration, "cannot use \(path): line \(record.line) leaves it to another file who may connect ('\(word)')",
      remedy: "write the contents of that file here")
  }

  /// Where a method may stand: after the database, the user and, unless it is the socket, the address, which may have its mask in a field
  /// of its own. In lines of a type that is unknown here, anywhere.
  private static func methods(_ record: Record) -> [Token] {
    switch record.fields.first?.first?.string {
    case "local": Array(record.fields.dropFirst(3).prefix(1).joined())
    case "host", "hostssl", "hostnossl", "hostgssenc", "hostnogssenc":
      Array(record.fields.dropFirst(4).prefix(2).joined())
    default: Array(record.fields.joined())
    }
  }

  // MARK: The lexer

  private static let newline = UInt8(ascii: "\n")
  private static let quote = UInt8(ascii: "\"")
  private static let comma = UInt8(ascii: ",")
  private static let at = UInt8(ascii: "@")

  /// The lines that say something.
  static func records(_ bytes: [UInt8]) -> [Record] {
    var records: [Record] = []
    var rest = bytes[...]
    var number = 1
    while !rest.isEmpty {
      let first = number
      let text = takeLine(&rest, &number)
      let fields = fields(text)
      if !fields.isEmpty { records.append(Record(line: first, fields: fields)) }
    }
    return records
  }

  /// One line and those that follow it as long as a backslash is the last of them; comments are joined too.
  private static func takeLine(_ rest: inout ArraySlice<UInt8>, _ number: inout Int) -> [UInt8] {
    var text: [UInt8] = []
    var joined = 0
    while !rest.isEmpty {
      let end = rest.firstIndex(of: newline) ?? rest.endIndex
      text += rest[..<end]
      rest = rest[end...].dropFirst()
      number += 1
      while text.last == UInt8(ascii: "\r") { text.removeLast() }
      guard text.count > joined, text.last == UInt8(ascii: "\\") else { break }
      text.removeLast()
      joined = text.count
    }
    return text
  }

  private static func fields(_ text: [UInt8]) -> [[Token]] {
    var fields: [[Token]] = []
    var rest = text[...]
    while !rest.isEmpty {
      var field: [Token] = []
      while let (token, isListed) = takeToken(&rest) {
        field.append(token)
        if !isListed { break }
      }
      if !field.isEmpty { fields.append(field) }
    }
    return fields
  }

  /// The next word, and whether a comma right after it says that the list goes on. nil at the end of the line.
  private static func takeToken(_ rest: inout ArraySlice<UInt8>) -> (Token, isListed: Bool)? {
    rest = rest.drop { isBlank($0) || $0 == comma }
    var token = Token(text: [], isQuoted: false)
    var isQuoting = false
    var wasQuote = false
    var sawQuote = false
    while let byte = rest.first, isQuoting || !isBlank(byte) {
      if byte == UInt8(ascii: "#"), !isQuoting {
        rest = []
        break
      }
      rest.removeFirst()
      if byte == comma, !isQuoting { return (token, true) }
      // Two quotes inside of quotes are one.
      if byte != quote || wasQuote { token.text.append(byte) }
      wasQuote = byte == quote && isQuoting && !wasQuote
      if byte == quote {
        isQuoting.toggle()
        sawQuote = true
        if token.text.isEmpty { token.isQuoted = true }
      }
    }
    return sawQuote || !token.text.isEmpty ? (token, false) : nil
  }

  private static func isBlank(_ byte: UInt8) -> Bool {
    byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") || byte == UInt8(ascii: "\r")
  }
}
