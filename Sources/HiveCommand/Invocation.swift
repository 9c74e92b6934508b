/// Another program's command line, as a value.
struct Invocation: Equatable, Sendable {
  /// A name that is looked up in PATH, or a path.
  var program: String
  /// Its arguments, without its own name.
  var arguments: [String]

  init(_ program: String, _ arguments: [String]) {
    self.program = program
    self.arguments = arguments
  }

  /// As it would be typed in a shell.
  var text: String { ([program] + arguments).map(Self.quoted).joined(separator: " ") }

  /// A word in single quotes where a POSIX shell would make something else of it.
  static func quoted(_ word: String) -> String {
    let plain = word.utf8.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"):
        true
      default: "%+,-./:=@_".utf8.contains(byte)
      }
    }
    if plain && !word.isEmpty { return word }
    return "'" + word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
  }
}
