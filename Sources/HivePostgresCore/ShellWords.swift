// Splits a string into words as a POSIX shell does (XCU 2.2, 2.3), without ever running it: quoting and nothing else. What
// would need a shell (substitution, redirection, operators) is refused, so that nobody finds out later that it was taken literally.

/// The words of a shell command line.
public enum ShellWords {
  /// Splits `text`. Throws for an open quote, a trailing backslash, and for unquoted characters that only a shell can honour.
  public static func split(_ text: String) throws(Failure) -> [String] {
    var words: [String] = []
    var word: [UInt8] = []
    var inWord = false
    let bytes = Array(text.utf8)
    var index = 0

    func wrong(_ what: String) -> Failure {
      Failure(.usage, "cannot split \"\(text)\" into words: \(what)", remedy: "quote it as for sh")
    }

    while index < bytes.count {
      let byte = bytes[index]
      index += 1
      switch byte {
      case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\n"):
        if inWord {
          words.append(String(decoding: word, as: UTF8.self))
          word = []
          inWord = false
        }
      case UInt8(ascii: "'"):
        inWord = true
        guard let end = bytes[index...].firstIndex(of: byte) else { throw wrong("a single quote is not closed") }
        word += bytes[index..<end]
        index = end + 1
      case UInt8(ascii: "\""):
        inWord = true
        var closed = false
        quoted: while index < bytes.count {
          let inner = bytes[index]
          index += 1
          switch inner {
          case byte:
            closed = true
            break quoted
          case UInt8(ascii: "\\"):
            guard index < bytes.count else { break quoted }
            let escaped = bytes[index]
            index += 1
            switch escaped {
            case UInt8(ascii: "\n"): break
            case UInt8(ascii: "$"), UInt8(ascii: "`"), UInt8(ascii: "\""), UInt8(ascii: "\\"): word.append(escaped)
            default: word += [inner, escaped]
            }
          case UInt8(ascii: "$"), UInt8(ascii: "`"):
            throw wrong("'\(Character(UnicodeScalar(inner)))' would be expanded by a shell, which is not done here")
          default:
            word.append(inner)
          }
        }
        guard closed else { throw wrong("a double quote is not closed") }
      case UInt8(ascii: "\\"):
        guard index < bytes.count else { throw wrong("it ends in a backslash") }
        if bytes[index] != UInt8(ascii: "\n") {
          inWord = true
          word.append(bytes[index])
        }
        index += 1
      case UInt8(ascii: "#") where !inWord:
        // A comment reaches to the end of the line.
        index = bytes[index...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
      case UInt8(ascii: "$"), UInt8(ascii: "`"), UInt8(ascii: "|"), UInt8(ascii: "&"), UInt8(ascii: ";"),
        UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "("), UInt8(ascii: ")"), UInt8(ascii: "*"),
        UInt8(ascii: "?"),
        UInt8(ascii: "["):
        throw wrong("'\(Character(UnicodeScalar(byte)))' means something to a shell, which is not run here")
      case 0:
        throw wrong("it contains a NUL byte")
      default:
        inWord = true
        word.append(byte)
      }
    }
    if inWord { words.append(String(decoding: word, as: UTF8.self)) }
    return words
  }

  /// One word, quoted so that a shell (and `split`) reads it back.
  public static func quote(_ word: String) -> String {
    let plain = word.utf8.allSatisfy { byte in
      (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
        || "-_./:=,@%+".utf8.contains(byte)
    }
    if plain && !word.isEmpty { return word }
    var quoted = "'"
    for scalar in word.unicodeScalars {
      if scalar == "'" { quoted += "'\\''" } else { quoted.unicodeScalars.append(scalar) }
    }
    return quoted + "'"
  }
}
