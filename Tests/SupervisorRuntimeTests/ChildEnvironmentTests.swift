import Glibc
import SupervisorCore
import Testing

@testable import SupervisorRuntime

@Suite("EnvironmentFileReader")
struct EnvironmentFileReaderTests {
  private func read(_ text: String) throws -> [String] {
    try EnvironmentFileReader.entries(in: Array(text.utf8)).map { "\($0.name)=\($0.value)" }
  }

  @Test("The forms that people write")
  func forms() throws {
    let cases: [(String, [String])] = [
      ("", []), ("\n\n  \n\t\n", []), ("# A=1\n; B=2\n  # C=3", []),
      ("A=1", ["A=1"]), ("A=1\n", ["A=1"]), ("A=1\r\nB=2\r\n", ["A=1", "B=2"]), ("\u{FEFF}A=1", ["A=1"]),
      ("A=", ["A="]), ("A=\nB=", ["A=", "B="]), ("A =  1 2  \n", ["A=1 2"]), ("  A=1", ["A=1"]),
      ("export A=1\nexport\tB='2'", ["A=1", "B=2"]), ("export=1", ["export=1"]),
      ("PASSWORD=a #b;c$d\\n", ["PASSWORD=a #b;c$d\\n"]),
      ("URL=postgres://u:p@h/d?x=y", ["URL=postgres://u:p@h/d?x=y"]),
      ("A=it's", ["A=it's"]),
      ("A='literal \\n $x \"q\"' # comment", ["A=literal \\n $x \"q\""]),
      ("A=\"say \\\"hi\\\" for \\$5 \\` \\\\ \\n\"", ["A=say \"hi\" for $5 ` \\ \\n"]),
      ("KEY='-----BEGIN\nline\n-----END'\nB=1", ["KEY=-----BEGIN\nline\n-----END", "B=1"]),
      ("A=\"one \\\ntwo\"", ["A=one two"]),
      ("A=''\nB=\"\"", ["A=", "B="]),
      ("A=1\nB=2\nA=3", ["A=3", "B=2"]),
      ("_A1=ü€", ["_A1=ü€"]),
    ]
    for (text, expected) in cases { #expect(try read(text) == expected, "\(text)") }
  }

  @Test("What is wrong is told with its line")
  func errors() {
    let cases: [(String, Int, String)] = [
      ("A=1\nnonsense\n", 2, "there is no = after \"nonsense\"; write NAME=value, and # in front of a comment"),
      ("A B=1", 1, "there is no = after \"A\"; write NAME=value, and # in front of a comment"),
      ("=1", 1, "\"\" is not a name of letters, digits and _ that begins with no digit"),
      ("\n\n1A=1", 3, "\"1A\" is not a name of letters, digits and _ that begins with no digit"),
      ("A-B=1", 1, "\"A-B\" is not a name of letters, digits and _ that begins with no digit"),
      ("A=1\nB='x\ny\nz", 2, "the quote is never closed"),
      ("A=\"x\\", 1, "the quote is never closed"),
      ("A=1\n\nB='x'y", 3, "there is text after the closing quote"),
      ("A='x\ny' z", 2, "there is text after the closing quote"),
      ("A=1\nB=x\0y", 2, "the value contains a NUL byte, which no environment can hold"),
    ]
    for (text, line, reason) in cases {
      #expect(throws: EnvironmentFileError(line: line, reason: reason), "\(text)") { try read(text) }
    }
    #expect(throws: EnvironmentFileError(line: 2, reason: "the value is not UTF-8")) {
      try EnvironmentFileReader.entries(in: Array("A=1\nB=".utf8) + [0xFF])
    }
  }

  @Test("Any bytes give entries that an environment can hold, or an error with a line that exists")
  func garbage() {
    var random = SeededGenerator(seed: 7)
    let alphabet = Array("AB=='\"\\\n\n #;\r\texport $0".utf8)
    for _ in 0..<30_000 {
      let text = (0..<Int.random(in: 0..<50, using: &random)).map { _ in
        Int.random(in: 0..<20, using: &random) == 0
          ? UInt8.random(in: .min ... .max, using: &random) : alphabet.randomElement(using: &random) ?? 0
      }
      do throws(EnvironmentFileError) {
        let entries = try EnvironmentFileReader.entries(in: text)
        #expect(Set(entries.map(\.name)).count == entries.count)
        for entry in entries {
          #expect(!entry.name.isEmpty && !entry.name.contains("=") && !entry.value.utf8.contains(0))
        }
      } catch {
        #expect(error.line >= 1 && error.line <= text.count { $0 == 0x0A } + 1)
      }
    }
  }

  @Test("What the shell reads from a file of plain and quoted values is what we read")
  func agreesWithShell() throws {
    let directory = try ScratchDirectory.shared()
    let text =
      "A=plain\nexport B='single $x \\n'\nC=\"double \\\"q\\\" \\$y \\\\ \\`\"\n# comment\nD=''\nE=\"two\nlines\"\n"
    let path = try directory.file("env", text)
    let names = ["A", "B", "C", "D", "E"]
    let script = "set -a; . \(path); " + names.map { "printf '%s=%s|' \($0) \"$\($0)\"" }.joined(separator: "; ")
    #expect(try run(shell(script)).output == read(text).map { "\($0)|" }.joined())
  }
}

@Suite("ChildEnvironment")
struct ChildEnvironmentTests {
  private let directory: ScratchDirectory

  init() throws { directory = try ScratchDirectory.shared() }

  private func spec(_ environment: String...) -> ExecutionSpec {
    var spec = ExecutionSpec(arguments: ["x"])
    spec.environment = environment.map {
      let parts = $0.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      return EnvironmentEntry(String(parts[0]), String(parts[1]))
    }
    return spec
  }

  private func result(_ spec: ExecutionSpec, _ identity: ChildIdentity = .own) throws -> Set<String> {
    Set(try ChildEnvironment(spec, identity: identity).entries.map { "\($0.name)=\($0.value)" })
  }

  private func failureText(_ spec: ExecutionSpec) throws -> String {
    do {
      return "no failure: \(try result(spec))"
    } catch let failure as SpawnFailure {
      #expect(failure.stage == .prepare)
      return failure.text
    }
  }

  @Test(
    "env_file wins over what is inherited and over user=, later files over earlier ones, environment= over all of them")
  func precedence() throws {
    var spec = spec("INHERITED=0", "CONFIGURED=0", "HOME=/root")
    spec.configuredNames = ["CONFIGURED"]
    spec.environmentFiles = [
      EnvironmentFile(
        path: try directory.file("1", "INHERITED=1\nCONFIGURED=1\nFIRST=1\nBOTH=1\nUSER=file\n"), optional: false),
      EnvironmentFile(path: try directory.file("2", "BOTH=2\n"), optional: true),
      EnvironmentFile(path: directory.file("missing"), optional: true),
    ]
    let identity = ChildIdentity(name: "hive", uid: 1, gid: 1, groups: nil, home: "/srv")
    #expect(
      try result(spec, identity) == [
        "INHERITED=1", "CONFIGURED=0", "HOME=/srv", "USER=file", "LOGNAME=hive", "FIRST=1", "BOTH=2",
      ])
  }

  @Test("A missing or wrong env_file says which, where, and what to do")
  func fileErrors() throws {
    var spec = spec()
    spec.environmentFiles = [EnvironmentFile(path: "/no/such/file", optional: false)]
    #expect(
      try failureText(spec)
        == "cannot read the env_file /no/such/file: No such file or directory; write -/no/such/file if it may be missing"
    )
    let wrong = try directory.file("wrong", "A=1\nB\n")
    spec.environmentFiles = [EnvironmentFile(path: wrong, optional: true)]
    #expect(try failureText(spec).hasPrefix("cannot use the env_file \(wrong), line 2: there is no ="))
    spec.environmentFiles = [EnvironmentFile(path: directory.path, optional: true)]
    #expect(try failureText(spec) == "cannot read the env_file \(directory.path): Is a directory")
  }

  @Test("A secret comes from its file without the line's end; NAME_FILE does not reach the program")
  func secrets() throws {
    for (content, value) in [("secret", "secret"), ("secret\n", "secret"), (" a b \r\n\n", " a b "), ("", "")] {
      var spec = spec("PW_FILE=\(try directory.file("pw", content))", "OTHER_FILE=/x", "PW=")
      spec.secrets = ["PW", "NOT_SET"]
      #expect(try result(spec) == ["PW=\(value)", "OTHER_FILE=/x"])
    }
    var plain = spec("PW=direct")
    plain.secrets = ["PW"]
    #expect(try result(plain) == ["PW=direct"])
  }

  @Test("NAME_FILE may come from an env_file, and NAME from a secret may be used twice")
  func secretFromFile() throws {
    let secret = try directory.file("pw", "s3cret\n")
    var spec = spec("A=1")
    spec.environmentFiles = [
      EnvironmentFile(path: try directory.file("env", "PW_FILE=\(secret)\nQ_FILE=\(secret)\n"), optional: false)
    ]
    spec.secrets = ["PW", "Q"]
    #expect(try result(spec) == ["A=1", "PW=s3cret", "Q=s3cret"])
  }

  @Test("A secret that is given twice, cannot be read, or is no text is refused, and never shown")
  func secretErrors() throws {
    var both = spec("PW=x", "PW_FILE=/y")
    both.secrets = ["PW"]
    #expect(try failureText(both) == "cannot tell the secret PW: both PW and PW_FILE are set; remove one of them")
    var missing = spec("PW_FILE=/no/such/secret")
    missing.secrets = ["PW"]
    #expect(
      try failureText(missing) == "cannot read the secret PW from /no/such/secret (PW_FILE): No such file or directory")
    let binary = try directory.file("binary", "topsecret\0")
    var wrong = spec("PW_FILE=\(binary)")
    wrong.secrets = ["PW"]
    let text = try failureText(wrong)
    #expect(
      text == "cannot use the secret PW from \(binary): it is not UTF-8 text, and an environment holds nothing else")
  }
}

@Suite("CommandSearch")
struct CommandSearchTests {
  @Test("The first directory of PATH that has the file decides, executable or not, as in supervisord")
  func path() throws {
    let first = try ScratchDirectory.shared()
    let second = try ScratchDirectory.shared()
    _ = try first.file("tool", "", mode: 0o644)
    let good = try second.file("tool", "", mode: 0o755)
    func find(_ path: String?) -> Result<String, SpawnFailure> {
      Result { () throws(SpawnFailure) in try CommandSearch.file(of: "tool", path: path, directory: nil) }
    }
    #expect(try find("/nowhere:\(second.path):\(first.path)").get() == good)
    #expect(throws: SpawnFailure.self) { try find("\(first.path):\(second.path)").get() }
    #expect(throws: SpawnFailure.self) { try find("").get() }
    #expect(throws: SpawnFailure.self) { try find(nil).get() }
    #expect(try CommandSearch.file(of: "sh", path: nil, directory: nil) == "/bin/sh")
  }

  @Test("Relative commands are found where they will run")
  func relative() throws {
    let directory = try ScratchDirectory.shared()
    _ = try directory.file("here", "#!/bin/sh\npwd\n", mode: 0o755)
    #expect(try CommandSearch.file(of: "./here", path: nil, directory: directory.path) == "./here")
    var spec = ExecutionSpec(arguments: ["./here"])
    spec.directory = directory.path
    #expect(try run(spec).output == "\(directory.path)\n")
    #expect(throws: SpawnFailure.self) { try CommandSearch.file(of: "./here", path: nil, directory: nil) }
  }
}
