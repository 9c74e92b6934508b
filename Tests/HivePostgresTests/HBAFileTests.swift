import Glibc
import Testing

@testable import HivePostgresCore

/// Nobody is let in without proof, however the line that would is written.
@Suite struct HBAFileTests {
  static func check(_ text: String) throws { try HBAFile.check(Array(text.utf8), path: "/etc/x") }

  @Test(arguments: [
    "local all all trust", "host all all 0.0.0.0/0 \"trust\"", "host all all all password",
    "local\tall\tall\tTRUST # ok?",
    "local all all peer\nhost all all ::1/128 trust\r", "local all all peer\r\nhost all all all trust\r\n",
    "host all all 10.0.0.0 255.0.0.0 trust", "host all all host.example.net trust", "hostssl all all samenet trust",
    "hostnossl all all all trust", "hostgssenc all all all trust", "hostnogssenc all all all trust",
    "local all all tr\"us\"t",
    "local all a,b,\"c d\", e trust", "local all,all all \\\n trust", "local \\\r\nall \\\nall \\\n\\\n\"trust\"",
    "local all all tru\\\nst", "local all all\\\\\n trust", "\"local\" all all trust", ", local all all trust",
    "elsewhere all all trust",
    "local all all trust,peer", "local all all trust#,peer", "local \"all all\" x trust map=hive",
    "local \"\" all trust",
  ])
  func aMethodThatWantsNoProofIsRefused(_ text: String) {
    #expect(throws: Failure.self) { try Self.check(text) }
  }

  @Test(arguments: [
    "include x", "include_if_exists x", "include_dir x", "\"include\" /etc/x", "incl\\\nude x",
    "# \n local all @x peer", "local @x all peer",
    "local all all @x", "local all all peer map=hive\ninclude x", "local all a,@x peer", "local all @\"x y\" peer",
    "@x",
  ])
  func whatOtherFilesSayIsRefused(_ text: String) throws {
    let failure = #expect(throws: Failure.self) { try Self.check(text) }
    #expect(failure?.status == .configuration)
    #expect(
      failure?.message.hasPrefix("cannot use /etc/x: line \(text.hasPrefix("#") || text.contains("hive\n") ? 2 : 1) ")
        == true)
    #expect(failure?.remedy?.contains("here") == true)
  }

  @Test(arguments: [
    "", "\n\n", "# trust nobody\nlocal all all peer map=hive", "# a comment that goes on \\\nlocal all all trust",
    "local trust trust peer",
    "local \"password\" all peer", "local all all peer # trust", "local all \"@x\" peer", "local all @ peer",
    "local all user@x peer",
    "host all all trust.example.net scram-sha-256", "host all all 10.0.0.0 255.0.0.0 scram-sha-256",
    "local all all \"peer trust\"",
    "local all include peer", "local all all peer\\", "local all all \"trust all\" # a quote in a comment \"",
  ])
  func whatOnlyLooksLikeItIsNot(_ text: String) throws {
    try Self.check(text)
  }

  @Test func linesAreNumberedAsInTheFile() {
    let text = "# x\n\nlocal a \\\n b,\\\n c\nhost \"a\"\"b\" @c \"@d\""
    func token(_ text: String, quoted: Bool = false) -> HBAFile.Token {
      HBAFile.Token(text: Array(text.utf8), isQuoted: quoted)
    }
    #expect(
      HBAFile.records(Array(text.utf8)) == [
        HBAFile.Record(line: 3, fields: [[token("local")], [token("a")], [token("b"), token("c")]]),
        HBAFile.Record(
          line: 6, fields: [[token("host")], [token("a\"b", quoted: true)], [token("@c")], [token("@d", quoted: true)]]),
      ])
    #expect(throws: Failure.self) { try HBAFile.check(Array("local all all peer\0".utf8), path: "x") }
  }

  @Test func arbitraryBytesNeverTrap() {
    var random = Seeded(seed: 5)
    let seeds = [
      "local all all peer map=hive\n", "host \"a b\",c all 127.0.0.1/32 \\\r\n scram-sha-256 # x\n", "include x\n@y\n",
    ]
    for _ in 0..<20_000 {
      let bytes = random.mutate(
        Array(
          (0..<Int.random(in: 1...3, using: &random)).compactMap { _ in seeds.randomElement(using: &random) }.joined()
            .utf8))
      let records = HBAFile.records(bytes)
      #expect(records.allSatisfy { !$0.fields.isEmpty && $0.fields.allSatisfy { !$0.isEmpty } })
      #expect(zip(records, records.dropFirst()).allSatisfy { $0.line < $1.line })
      try? HBAFile.check(bytes, path: "x")
    }
  }

  /// What the server makes of a file, of whatever a generator writes: rules that trust are refused here, and the others are read as it
  /// reads them. Files that it includes have nothing but trust in them.
  @Test(.enabled(if: Harness.hasPostgres, Harness.needsPostgres))
  func agreesWithTheServer() throws {
    let sandbox = try Sandbox()
    let server = try sandbox.serve()
    defer { _ = sandbox.stop(server) }
    let directory = sandbox.volume + "/.hivesup/server"
    try sandbox.write(directory + "/list", "trust\n")
    try sandbox.write(directory + "/other", "host all all 0.0.0.0/0 trust\n")
    try sandbox.write(directory + "/dir/1.conf", "host all all 0.0.0.0/0 trust\n")
    for path in ["list", "other", "dir", "dir/1.conf"] { chmod(directory + "/" + path, path == "dir" ? 0o755 : 0o644) }
    var random = Seeded(seed: 23)
    let files = (0..<500).map { _ in Self.file(&random) }
    for (number, text) in files.enumerated() { try sandbox.write(sandbox.root + "/hba/\(number)", text) }
    let script = files.indices.map { number in
      """
      \\! cat \(sandbox.root)/hba/\(number) > \(directory)/pg_hba.conf
      \\echo === \(number)
      SELECT line_number, coalesce(auth_method, ''), array_to_string(database, ','), array_to_string(user_name, ','), error IS NULL
        FROM pg_hba_file_rules;

      """
    }
    try sandbox.write(sandbox.root + "/script", script.joined())
    let answer = try Harness.run(
      (Harness.bindir ?? "") + "/psql",
      [
        "-h", sandbox.run, "-p", String(sandbox.port), "-U", "postgres", "-w", "-XAtq", "-F", "|", "-v",
        "ON_ERROR_STOP=1", "-f",
        sandbox.root + "/script", "postgres",
      ])
    try #require(answer.ending == .exited(0), "\(answer.output)")
    let answers = answer.output.split(separator: "=== ").map {
      $0.split(separator: "\n").dropFirst().map {
        $0.split(separator: "|", omittingEmptySubsequences: false).map(String.init)
      }
    }
    try #require(answers.count == files.count)
    var trusting = 0
    var accepted = 0
    for (text, rows) in zip(files, answers) {
      let isRefused = (try? HBAFile.check(Array(text.utf8), path: "x")) == nil
      let trusts = rows.contains { $0.count == 5 && ["trust", "password"].contains($0[1]) }
      if trusts {
        trusting += 1
        #expect(isRefused, "\(text.debugDescription) is \(rows)")
      } else if rows.allSatisfy({ $0.last == "t" }), !isRefused {
        accepted += 1
        let records = HBAFile.records(Array(text.utf8))
        #expect(records.map { String($0.line) } == rows.map { $0[0] }, "\(text.debugDescription)")
        for (record, row) in zip(records, rows) {
          #expect(record.fields[1].map(\.string).joined(separator: ",") == row[2], "\(text.debugDescription)")
          #expect(record.fields[2].map(\.string).joined(separator: ",") == row[3], "\(text.debugDescription)")
        }
      } else if rows.allSatisfy({ $0.last == "t" }), !text.contains("include") {
        Issue.record("\(text.debugDescription) is refused, and trusts nobody: \(rows)")
      }
    }
    // The generator makes enough of both.
    #expect(trusting > 100 && accepted > 50, "\(trusting) \(accepted)")
  }

  private static let lines = [
    "local all all peer", "local all all trust", "host all all 127.0.0.1/32 scram-sha-256",
    "host all all 127.0.0.1 255.255.255.255 trust",
    "host all all samehost trust", "host \"a b\",c all ::1/128 \"trust\"", "include other", "include_if_exists other",
    "include_dir dir",
    "local all all @list", "# local all all trust", "host all all example.net password",
    "local a,b \"x\"\"y\",z peer map=hive",
    "local \"trust\",password \"a # b\" peer", "host a b,\"c d\" 10.0.0.0/8 scram-sha-256 # trust",
    "local all /^x.*$ peer",
  ]
  private static let fragments = [
    "\\\n", "\\\r\n", " \\\n ", "\"\"", "\"", "#", ",", " , ", "\t", "\\", "\r", "\n", "\r\n", "@", "trust", "\\ \n",
  ]

  /// Two lines, and a few pieces in the middle of them, most of which change nothing but the looks.
  private static func file(_ random: inout Seeded) -> String {
    var text = ""
    for _ in 0..<Int.random(in: 1...2, using: &random) {
      var line = Array((lines.randomElement(using: &random) ?? "").unicodeScalars)
      for _ in 0..<Int.random(in: 0...2, using: &random) {
        let place = Int.random(in: 0...line.count, using: &random)
        line.insert(contentsOf: (fragments.randomElement(using: &random) ?? "").unicodeScalars, at: place)
      }
      text.unicodeScalars.append(contentsOf: line)
      text += Bool.random(using: &random) ? "\n" : "\r\n"
    }
    return text
  }
}
