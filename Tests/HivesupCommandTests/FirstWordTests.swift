import Testing

@testable import HivesupCommand

@Suite struct FirstWordTests {
  private static let vocabulary = FirstWord.Vocabulary(
    commands: ["run", "check", "doctor", "ctl", "healthcheck", "topology", "completions", "help"],
    controlCommands: ["status", "start", "stop", "restart", "signal", "tail", "events", "shutdown"])

  /// A machine with these files.
  private func classify(_ words: String, path: String? = "/usr/bin:/bin", files: [String: FirstWord.File] = [:])
    -> FirstWord
  {
    FirstWord.classify(
      words.split(separator: " ").map(String.init), vocabulary: Self.vocabulary, searchPath: path,
      file: { files[$0] ?? .missing })
  }

  private let psql: [String: FirstWord.File] = ["/usr/bin/psql": .executable]

  @Test func commandsAndOptionsAreHivesups() {
    // Also where there is a program of that name.
    let files: [String: FirstWord.File] = ["/usr/bin/check": .executable, "/usr/bin/--help": .executable]
    for words in [
      "", "run", "run -c x", "check", "ctl status", "topology", "help ctl", "--help", "-h", "--version",
      "---completion",
    ] {
      #expect(classify(words, files: files) == .command, "\(words)")
    }
  }

  @Test func programsAreFoundAsTheShellFindsThem() {
    #expect(classify("psql -U hive", files: psql) == .program(file: "/usr/bin/psql", index: 0))
    #expect(classify("/usr/bin/psql", path: nil, files: psql) == .program(file: "/usr/bin/psql", index: 0))
    #expect(classify("./x", files: ["./x": .executable]) == .program(file: "./x", index: 0))
    #expect(classify("sh", path: nil, files: ["/bin/sh": .executable]) == .program(file: "/bin/sh", index: 0))
    #expect(classify("x", path: ":/bin", files: ["./x": .executable]) == .program(file: "./x", index: 0))
    #expect(classify("x", path: "/bin", files: ["./x": .executable]) == .unknown("x", suggestion: nil))
    // What may not be executed does not hide what stands later in PATH.
    let both: [String: FirstWord.File] = ["/usr/bin/x": .notExecutable, "/bin/x": .executable]
    #expect(classify("x", files: both) == .program(file: "/bin/x", index: 0))
  }

  @Test func twoDashesForceAProgram() {
    #expect(classify("-- psql --help", files: psql) == .program(file: "/usr/bin/psql", index: 1))
    #expect(classify("-- check", files: ["/bin/check": .executable]) == .program(file: "/bin/check", index: 1))
    // Only the first ones are ours.
    #expect(classify("psql -- x", files: psql) == .program(file: "/usr/bin/psql", index: 0))
  }

  @Test func theStatusTellsWhyAProgramCannotRun() {
    func status(_ words: String, _ files: [String: FirstWord.File] = [:]) -> Int32? {
      guard case .refused(let problem) = classify(words, files: files) else { return nil }
      #expect(problem.text.hasPrefix("cannot run"))
      return problem.status
    }
    #expect(status("/etc/passwd", ["/etc/passwd": .notExecutable]) == 126)
    #expect(status("x", ["/bin/x": .notExecutable]) == 126)
    #expect(status("-- x", ["/bin/x": .notExecutable]) == 126)
    #expect(status("/nowhere/x") == 127)
    #expect(status("-- /nowhere/x") == 127)
    #expect(status("-- check") == 127)
    #expect(status("--") == 2)
    let empty = FirstWord.classify(
      ["--", ""], vocabulary: Self.vocabulary, searchPath: "/bin", file: { _ in .executable })
    #expect(empty == .refused(Problem("cannot run: no program follows '--'", status: 2)))
  }

  @Test func anUnknownWordComesWithTheNearestCommand() {
    let cases: [(String, String?)] = [
      ("chekc", "check"), ("doctr", "doctor"), ("Check", "check"), ("rnu", "run"), ("healthchek", "healthcheck"),
      ("topolgy", "topology"), ("status", "ctl status"), ("statsu", "ctl status"), ("restart", "ctl restart"),
      ("shutdwon", "ctl shutdown"), ("ctl-status", nil), ("frobnicate", nil), ("x", nil), ("zzz", nil), ("sh", nil),
    ]
    for (word, suggestion) in cases {
      #expect(classify(word) == .unknown(word, suggestion: suggestion), "\(word)")
    }
    let empty = FirstWord.classify(
      [""], vocabulary: Self.vocabulary, searchPath: "/bin", file: { _ in .executable })
    #expect(empty == .unknown("", suggestion: nil))
  }

  @Test func theVocabularyIsWhatTheParserKnows() {
    #expect(Set(["run", "check", "doctor", "ctl", "healthcheck", "help"]).isSubset(of: Hivesup.vocabulary.commands))
    #expect(Set(["status", "tail", "shutdown"]).isSubset(of: Hivesup.vocabulary.controlCommands))
    for command in Hivesup.vocabulary.commands {
      let help = hivesup([command, "--help"])
      #expect(help.status == 0 && help.output.contains("USAGE: hivesup"), "\(command): \(help)")
    }
  }

  @Test func anUnknownWordPrintsUsageAndEndsWith2() {
    let result = hivesup(["statsu"])
    #expect(result.status == 2 && result.output.isEmpty, "\(result)")
    #expect(
      result.errors.hasPrefix(
        "hivesup: cannot run 'statsu': it is neither a command of hivesup nor a program in PATH\n"
          + "Did you mean 'hivesup ctl status'?\nUsage: hivesup"))
    #expect(hivesup(["frobnicate"]).errors.contains("Did you mean") == false)
    #expect(hivesup(["/etc/passwd"]).status == 126)
    #expect(hivesup(["--", "frobnicate"]).status == 127)
  }

  @Test func distancesAreThoseOfSlips() {
    let cases: [(String, String, Int)] = [
      ("", "", 0), ("", "abc", 3), ("abc", "", 3), ("abc", "abc", 0), ("abc", "acb", 1), ("abc", "ab", 1),
      ("abc", "abcd", 1), ("abc", "axc", 1), ("kitten", "sitting", 3), ("ca", "abc", 3),
    ]
    for (one, other, distance) in cases { #expect(editDistance(one, other) == distance, "\(one) \(other)") }
  }

  @Test func filesAreLookedAtForThisUser() {
    #expect(FirstWord.File.look(at: "/bin/sh") == .executable)
    #expect(FirstWord.File.look(at: "/etc/passwd") == .notExecutable)
    #expect(FirstWord.File.look(at: "/tmp") == .notExecutable)
    #expect(FirstWord.File.look(at: "/nowhere/x") == .missing)
    #expect(FirstWord.File.look(at: "/etc/passwd/x") == .missing)
  }
}
