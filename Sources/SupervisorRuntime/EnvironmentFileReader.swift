// `env_file`: lines of NAME=value, by the rules of systemd's EnvironmentFile= (systemd.exec(5)), which Docker's --env-file and
// most .env files satisfy:
//
//     # a comment, also with ;             only at the start of a line: PASSWORD=a #b keeps its " #b"
//     export NAME=value                    `export` is accepted and ignored
//     NAME='literally $this \n'            single quotes: as it is, over several lines
//     NAME="say \"hi\" for \$5"            double quotes: \ before " \ $ ` or a line's end escapes it
//
// Values are never expanded: a $ is a $.

import SupervisorCore

/// What is wrong with an environment file, and where.
public struct EnvironmentFileError: Error, Equatable, Sendable {
  /// The line, from 1.
  public var line: Int
  /// What is wrong, for people.
  public var reason: String
}

/// Reads the text of an `env_file`.
public enum EnvironmentFileReader {
  /// The entries in the order of the file; a name that comes twice is listed once, with its last value.
  public static func entries(in text: [UInt8]) throws(EnvironmentFileError) -> [EnvironmentEntry] {
    var scanner = Scanner(text: text)
    var result: [EnvironmentEntry] = []
    var places: [String: Int] = [:]
    while let entry = try scanner.next() {
      if let place = places[entry.name] {
        result[place] = entry
      } else {
        places[entry.name] = result.count
        result.append(entry)
      }
    }
    return result
  }

  private struct Scanner {
    let text: [UInt8]
    var position = 0
    var line = 1

    init(text: [UInt8]) {
      self.text = text
      if text.starts(with: [0xEF, 0xBB, 0xBF]) { position = 3 }  // an editor's byte order mark
    }

    var current: UInt8? { position < text.count ? text[position] : nil }

    func failure(_ reason: String, line: Int? = nil) -> EnvironmentFileError {
      EnvironmentFileError(line: line ?? self.line, reason: reason)
    }

    mutating func next() throws(EnvironmentFileError) -> EnvironmentEntry? {
      while true {
        skipBlanks()
        guard let byte = current else { return nil }
        if isLineEnd(byte) {
          advance()
        } else if byte == UInt8(ascii: "#") || byte == UInt8(ascii: ";") {
          while let byte = current, byte != 0x0A { advance() }
        } else {
          return try assignment()
        }
      }
    }

    mutating func assignment() throws(EnvironmentFileError) -> EnvironmentEntry {
      var name = takeWord()
      if name == Array("export".utf8), let byte = current, isBlank(byte) {
        skipBlanks()
        name = takeWord()
      }
      skipBlanks()
      guard current == UInt8(ascii: "=") else {
        throw failure("there is no = after \(quoted(name)); write NAME=value, and # in front of a comment")
      }
      guard isName(name) else {
        throw failure("\(quoted(name)) is not a name of letters, digits and _ that begins with no digit")
      }
      advance()
      skipBlanks()
      let started = line
      let value: [UInt8]
      switch current {
      case UInt8(ascii: "'"), UInt8(ascii: "\""):
        value = try quotedValue()
        skipBlanks()
        if let byte = current, !isLineEnd(byte), byte != UInt8(ascii: "#"), byte != UInt8(ascii: ";") {
          throw failure("there is text after the closing quote")
        }
        while let byte = current, byte != 0x0A { advance() }
      default:
        value = plainValue()
      }
      if value.contains(0) {
        throw failure("the value contains a NUL byte, which no environment can hold", line: started)
      }
      guard let text = String(validating: value, as: UTF8.self) else {
        throw failure("the value is not UTF-8", line: started)
      }
      return EnvironmentEntry(String(decoding: name, as: UTF8.self), text)
    }

    mutating func plainValue() -> [UInt8] {
      let start = position
      while let byte = current, byte != 0x0A { position += 1 }
      var end = position
      while end > start, isBlank(text[end - 1]) || text[end - 1] == 0x0D { end -= 1 }
      return Array(text[start..<end])
    }

    mutating func quotedValue() throws(EnvironmentFileError) -> [UInt8] {
      let quote = current
      let opened = line
      advance()
      var value: [UInt8] = []
      while let byte = current {
        if byte == quote {
          advance()
          return value
        }
        if byte == UInt8(ascii: "\\") && quote == UInt8(ascii: "\""), position + 1 < text.count {
          let escaped = text[position + 1]
          switch escaped {
          case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "$"), UInt8(ascii: "`"):
            advance()
            value.append(escaped)
            advance()
            continue
          case 0x0A:
            advance()
            advance()
            continue
          default: break
          }
        }
        value.append(byte)
        advance()
      }
      throw failure("the quote is never closed", line: opened)
    }

    mutating func takeWord() -> [UInt8] {
      let start = position
      while let byte = current, !isBlank(byte), !isLineEnd(byte), byte != UInt8(ascii: "=") { position += 1 }
      return Array(text[start..<position])
    }

    mutating func advance() {
      if current == 0x0A { line += 1 }
      position += 1
    }

    mutating func skipBlanks() {
      while let byte = current, isBlank(byte) { position += 1 }
    }

    func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

    func isLineEnd(_ byte: UInt8) -> Bool { byte == 0x0A || byte == 0x0D }

    func isName(_ bytes: [UInt8]) -> Bool {
      guard let first = bytes.first, !(0x30...0x39).contains(first) else { return false }
      return bytes.allSatisfy {
        (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x5F
      }
    }

    func quoted(_ bytes: [UInt8]) -> String { "\"\(String(decoding: bytes.prefix(40), as: UTF8.self))\"" }
  }
}
