// What people write and no option parser understands, put into words that it does.

enum CommandLineWords {
  /// Options of every `ctl` command that have a value, and those that have none.
  private static let valued = ["--socket", "-c", "--configuration", "--timeout"]
  private static let flags = ["--json"]

  /// `ctl` alone is `ctl status`; options between `ctl` and its command belong to the command; and `-N` after `ctl tail` is
  /// supervisorctl's number of bytes. Every other word stays as it is.
  static func translated(_ words: [String]) -> [String] {
    guard words.first == "ctl" else { return words }
    var rest = words.dropFirst()
    var options: [String] = []
    while let word = rest.first, let length = optionLength(word) {
      options += rest.prefix(length)
      rest = rest.dropFirst(length)
    }
    guard let command = rest.first else { return ["ctl", "status"] + options }
    guard !command.hasPrefix("-") else { return words }
    let operands = Array(rest.dropFirst())
    return ["ctl", command] + options + (command == "tail" ? operands.map(tailWord) : operands)
  }

  /// How many words the option at the front has; nil when it is none of every command's.
  private static func optionLength(_ word: String) -> Int? {
    if flags.contains(word) || valued.contains(where: { $0.hasPrefix("--") && word.hasPrefix("\($0)=") }) { return 1 }
    return valued.contains(word) ? 2 : nil
  }

  private static func tailWord(_ word: String) -> String {
    let digits = word.utf8.dropFirst()
    guard word.hasPrefix("-"), !digits.isEmpty, digits.allSatisfy({ (0x30...0x39).contains($0) }) else { return word }
    return "--bytes=\(word.dropFirst())"
  }
}
