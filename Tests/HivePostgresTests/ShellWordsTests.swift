import Glibc
import Testing

@testable import HivePostgresCore

@Suite struct ShellWordsTests {
  @Test(arguments: [
    ("", []), ("   \t\n ", []), ("a b", ["a", "b"]), ("--a=b  c", ["--a=b", "c"]), ("'a b' c", ["a b", "c"]),
    ("\"a b\"c", ["a bc"]), ("a\\ b", ["a b"]), ("''", [""]), ("\"\"", [""]), ("a''b", ["ab"]),
    ("\"a\\\"b\"", ["a\"b"]),
    ("\"a\\b\"", ["a\\b"]), ("'a\\b'", ["a\\b"]), ("a\\\nb", ["ab"]), ("a #c", ["a"]), ("a#c", ["a#c"]),
    ("-E UTF8 --locale='de_DE.UTF-8' # x\n-k", ["-E", "UTF8", "--locale=de_DE.UTF-8", "-k"]), ("\"a\\$b\"", ["a$b"]),
    ("~ ! = { }", ["~", "!", "=", "{", "}"]),
  ])
  func splitsAsAShellDoes(_ text: String, _ words: [String]) throws {
    #expect(try ShellWords.split(text) == words)
  }

  @Test(arguments: [
    "'a", "\"a", "a\\", "$HOME", "\"$HOME\"", "`id`", "\"`id`\"", "a;b", "a|b", "a&b", "a>b", "a<b", "$(id)", "(a)",
    "*.sql", "a?",
    "[a]", "a\0b",
  ])
  func refusesWhatOnlyAShellCanHonour(_ text: String) {
    #expect(throws: Failure.self) { try ShellWords.split(text) }
  }

  @Test func quotedWordsComeBack() throws {
    var random = Seeded(seed: 7)
    for _ in 0..<3000 {
      let words = (0..<Int.random(in: 0...4, using: &random)).map { _ in
        random.text(of: Seeded.shellCharacters, upTo: 8)
      }
      let line = words.map(ShellWords.quote).joined(separator: " ")
      #expect(try ShellWords.split(line) == words, "\(line)")
    }
  }

  /// Whatever is accepted means the same to sh.
  @Test func agreesWithSh() throws {
    var random = Seeded(seed: 11)
    var accepted: [(line: String, words: [String])] = []
    while accepted.count < 400 {
      // A newline ends a command for sh, and is a blank in an argument list.
      let line = random.text(
        of: Seeded.shellCharacters.filter { $0 != "\n" && $0 != "!" && $0 != "~" && $0 != "{" }, upTo: 12)
      if let words = try? ShellWords.split(line) { accepted.append((line, words)) }
    }
    let script = accepted.map {
      "set -- \($0.line)\nprintf '%d\\1' $#\nfor w do printf '%s\\1' \"$w\"; done\nprintf '\\2'\n"
    }.joined()
    let output = try Harness.run("/bin/sh", ["-c", script]).output
    let answers = output.split(separator: "\u{2}", omittingEmptySubsequences: true)
    try #require(answers.count == accepted.count)
    for (answer, (line, words)) in zip(answers, accepted) {
      let fields = answer.split(separator: "\u{1}", omittingEmptySubsequences: false).dropLast().map(String.init)
      #expect(fields.first == String(words.count), "\(line)")
      #expect(Array(fields.dropFirst()) == words, "\(line)")
    }
  }

  @Test func arbitraryBytesNeverTrap() {
    var random = Seeded(seed: 3)
    for _ in 0..<5000 {
      let bytes = (0..<Int.random(in: 0...40, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
      _ = try? ShellWords.split(String(decoding: bytes, as: UTF8.self))
    }
  }
}
