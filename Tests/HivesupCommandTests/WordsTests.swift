import Testing

@testable import HivesupCommand

@Suite struct WordsTests {
  @Test func whatNoParserUnderstandsIsTranslated() {
    let cases: [(String, String)] = [
      ("ctl tail -500 x", "ctl tail --bytes=500 x"), ("ctl tail -f x", "ctl tail -f x"),
      ("ctl tail - -5x", "ctl tail - -5x"),
      ("ctl signal -9 tail", "ctl signal -9 tail"), ("run tail -5", "run tail -5"), ("", ""), ("ctl", "ctl status"),
      ("ctl --socket /s", "ctl status --socket /s"), ("ctl --socket /s --json stop x", "ctl stop --socket /s --json x"),
      ("ctl --timeout=3 -c f tail -5 x", "ctl tail --timeout=3 -c f --bytes=5 x"), ("ctl --help", "ctl --help"),
      ("ctl --json --help", "ctl --json --help"), ("ctl --socket", "ctl status --socket"),
      ("ctl --sock x", "ctl --sock x"),
    ]
    for (words, translated) in cases {
      let split = words.split(separator: " ").map(String.init)
      #expect(CommandLineWords.translated(split).joined(separator: " ") == translated, "\(words)")
    }
  }

  @Test func sizesAreSupervisords() {
    let cases: [(String, Int64?)] = [
      ("0", 0), ("50MB", 52_428_800), ("1kb", 1024), ("2Gb", 2_147_483_648), ("5TB", nil), ("5M", nil), ("-1", nil),
      ("", nil), ("MB", nil), ("1.5MB", nil),
      ("9223372036854775807", .max), ("9223372036854775807GB", nil),
    ]
    for (text, bytes) in cases { #expect(ByteSize.parse(text) == bytes, "\(text)") }
  }

  @Test func runHandsOnWhatTheDaemonKnows() throws {
    let plain = try #require(try Hivesup.parseAsRoot(["run"]) as? Run)
    #expect(plain.arguments(file: "/f") == ["-c", "/f"])
    let full = try #require(
      try Hivesup.parseAsRoot(
        [
          "run", "-c", "x", "-n", "-s", "-k", "-e", "debug", "-l", "/log", "-y", "1MB", "-z", "3", "-j", "/pid", "-q",
          "/child", "-i", "me",
        ])
        as? Run)
    #expect(full.file == "x")
    #expect(
      full.arguments(file: "/f")
        == [
          "-c", "/f", "-s", "-k", "-e", "debug", "-l", "/log", "-y", "1048576", "-z", "3", "-j", "/pid", "-q", "/child",
          "-i", "me",
        ])
    for wrong in [["-e", "loud"], ["-y", "1TB"], ["-z", "-1"], ["-z", "x"], ["extra"], ["-c"]] {
      #expect(throws: (any Error).self, "\(wrong)") { try Hivesup.parseAsRoot(["run"] + wrong) }
    }
  }

  @Test func theFirstConfigurationThatExistsIsTaken() throws {
    let places = ConfigurationSearch.candidates(executable: "/opt/hive/bin/hivesup")
    #expect(
      places == [
        "/etc/hivesup/hivesup.conf", "/opt/hive/etc/supervisord.conf", "/opt/hive/supervisord.conf", "supervisord.conf",
        "etc/supervisord.conf",
        "/etc/supervisord.conf", "/etc/supervisor/supervisord.conf",
      ])
    for place in places {
      #expect(try ConfigurationSearch.find(nil, executable: "/opt/hive/bin/hivesup") { $0 == place } == place)
    }
    #expect(try ConfigurationSearch.find("mine", executable: nil) { $0 == "mine" } == "mine")
    #expect(throws: Problem.self) { try ConfigurationSearch.find("mine", executable: nil) { _ in false } }
    do throws(Problem) {
      _ = try ConfigurationSearch.find(nil, executable: "/bin/hivesup") { _ in false }
      Issue.record("found")
    } catch {
      #expect(error.status == 2 && error.text.contains("/supervisord.conf") && error.text.contains("-c FILE"))
    }
  }

  @Test func theDaemonIsSoughtBesideThenByNameThenInPath() {
    let places = DaemonExecutable.candidates(
      executable: "/opt/bin/hivesup", override: "/my/hivesupd", searchPath: "/a::rel:/b")
    #expect(places == ["/opt/bin/hivesupd", "/my/hivesupd", "/a/hivesupd", "/b/hivesupd"])
    #expect(DaemonExecutable.candidates(executable: "/hivesup", override: "", searchPath: nil).first == "/hivesupd")
  }

  @Test func theSocketIsTheOneThatIsNamed() throws {
    func find(_ socket: String?, _ environment: String?) throws -> ControlLocation {
      try ControlLocation.find(socket: socket, configuration: nil, environment: environment)
    }
    #expect(try find("/a", "/b") == ControlLocation(path: "/a", source: "--socket"))
    #expect(try find(nil, "/b") == ControlLocation(path: "/b", source: "HIVESUP_SOCKET"))
    #expect(try find(nil, "") == ControlLocation(path: "/run/hivesup/control.sock", source: "the default"))
    #expect(try find(nil, nil).path == ControlLocation.defaultPath)
    #expect(throws: Problem.self) {
      try ControlLocation.find(socket: nil, configuration: "/nowhere.conf", environment: "/b")
    }
  }

  @Test func linesAreCutWhereverTheStreamIs() {
    let stream = Array("one\n\ntwo\nrest".utf8)
    for size in 1...stream.count {
      var splitter = LineSplitter()
      var lines: [String] = []
      var rest = stream[...]
      while !rest.isEmpty {
        lines += splitter.take(Array(rest.prefix(size))).map { String(decoding: $0, as: UTF8.self) }
        rest = rest.dropFirst(size)
      }
      #expect(lines == ["one", "", "two"])
    }
    var endless = LineSplitter()
    var longest = 0
    for _ in 0..<100 {
      longest = max(longest, endless.take([UInt8](repeating: 65, count: 64 * 1024)).map(\.count).max() ?? 0)
    }
    #expect(longest > 1 << 20 && longest < 1_200_000)
  }
}
