import ControlProtocol
import Testing

@testable import HivesupCommand

@Suite struct CommandTests {
  /// Runs against an ordinary daemon.
  private func ctl(_ words: String...) -> CommandResult {
    let daemon = FakeDaemon.ordinary()
    defer { daemon.stop() }
    return hivesup(["ctl"] + words, environment: ["HIVESUP_SOCKET": daemon.path])
  }

  @Test func statusPrintsLinesForPrograms() {
    let all = ctl("status")
    #expect(all.status == 0 && all.errors.isEmpty, "\(all)")
    #expect(
      all.output == """
        postgres-init                    EXITED    Nov 20 10:00 AM
        postgresql                       RUNNING   pid 12, uptime 1 day, 1:01:01
        workers:a                        RUNNING   pid 13, uptime 0:00:05
        workers:b                        RUNNING   pid 14, uptime 0:00:59

        """)
    #expect(ctl("status", "workers:*").output.split(separator: "\n").count == 2)
    #expect(ctl() == all)
    let unknown = ctl("status", "postgresql", "nobody", "g:*")
    #expect(unknown.status == 4)
    #expect(unknown.output.hasSuffix("nobody: ERROR (no such process)\ng: ERROR (no such group)\n"))
  }

  @Test func statusTellsARefusalOnStandardErrorToWhomNamesTheProgram() {
    let daemon = FakeDaemon { _ in
      var bytes: [UInt8] = []
      HTTPResponse.json(Sample.status(Sample.programs + [Sample.refused]).json).write(to: &bytes)
      return .answer(bytes)
    }
    defer { daemon.stop() }
    let line = "eager                            RUNNING   pid 15, uptime 0:00:07\n"
    let all = hivesup(["ctl", "--socket", daemon.path, "status"])
    #expect(all.status == 0 && all.errors.isEmpty && all.output.hasSuffix("0:00:59\n" + line), "\(all)")
    let named = hivesup(["ctl", "--socket", daemon.path, "status", "eager"])
    #expect(named.status == 0 && named.output == line, "\(named)")
    #expect(
      named.errors.hasPrefix("hivesup: eager: on CPU 1: performance CPU 0 is not allowed here")
        && named.errors.contains("\nhivesup: eager: cannot set nice=-5: Permission denied; what would allow it: "),
      "\(named)")
    let other = hivesup(["ctl", "--socket", daemon.path, "status", "postgresql"])
    #expect(other.errors.isEmpty, "\(other)")
  }

  @Test func statusSaysByItsExitThatSomethingIsDown() {
    let daemon = FakeDaemon { _ in
      var bytes: [UInt8] = []
      let down = [Sample.program("x", "FATAL"), Sample.program("y", "RUNNING")]
      HTTPResponse.json(Sample.status(down).json).write(to: &bytes)
      return .dribble(bytes)
    }
    defer { daemon.stop() }
    #expect(hivesup(["ctl", "--socket", daemon.path, "status"]).status == 3)
    #expect(hivesup(["ctl", "--socket=\(daemon.path)"]).status == 3)
    #expect(hivesup(["ctl", "status", "--socket", daemon.path]).status == 3)
    #expect(hivesup(["ctl", "status", "--socket", daemon.path, "y"]).status == 0)
    #expect(hivesup(["ctl", "status", "--socket", daemon.path, "--json"]).status == 3)
  }

  @Test func everyCommandHasJSON() throws {
    for words in [
      ["status"], ["status", "postgresql"], ["health"], ["pid"], ["pid", "all"], ["reload"], ["shutdown"], ["version"],
      ["events"], ["tail", "postgresql"],
      ["start", "workers:a"], ["stop", "workers:*"], ["restart", "all"], ["signal", "HUP", "postgresql"],
    ] {
      let daemon = FakeDaemon.ordinary()
      let result = hivesup(["ctl"] + words + ["--json"], environment: ["HIVESUP_SOCKET": daemon.path])
      daemon.stop()
      let lines = result.output.split(separator: "\n")
      #expect(!lines.isEmpty, "\(words): \(result)")
      for line in lines { #expect((try? JSONValue(parsing: Array(line.utf8)))?.members != nil, "\(words): \(line)") }
    }
  }

  @Test func actionsPrintSupervisorctlsWords() {
    let cases: [([String], String, Int32)] = [
      (["start", "workers:a"], "workers:a: started\n", 0),
      (["start", "postgresql"], "postgresql: ERROR (already started)\n", 0),
      (["start", "workers:*"], "workers:a: started\nworkers:b: started\n", 0),
      (["start", "x"], "x: ERROR (no such process)\n", 4),
      (["stop", "workers:a", "postgresql"], "workers:a: stopped\npostgresql: stopped\n", 0),
      (["restart", "postgresql"], "postgresql: stopped\npostgresql: started\n", 0),
      (["restart", "postgres-init"], "postgres-init: ERROR (not running)\npostgres-init: started\n", 0),
      (["signal", "HUP", "postgresql"], "postgresql: signalled\n", 0),
      (["signal", "NOPE", "postgresql"], "postgresql: ERROR (bad signal name)\n", 1),
      (["signal", "HUP", "postgres-init"], "postgres-init: ERROR (not running)\n", 7), (["pid"], "1\n", 0),
      (["pid", "postgresql"], "12\n", 0),
      (["pid", "postgres-init"], "0\n", 7), (["pid", "x"], "No such process x\n", 4), (["version"], "1.2.3\n", 0),
      (["shutdown"], "Shut down\n", 0),
      (["reload"], "new: added\npostgresql: changed\n", 0), (["tail", "postgresql"], "line one\nline two\n", 0),
      (["tail", "-3", "postgresql"], "two\n", 0),
      (["tail", "x"], "x: ERROR (no such process name)\n", 4),
      (
        ["events", "--since", "41"], "2026-11-20T10:00:00.000Z 42 postgresql STARTING -> RUNNING pid 12: is ready\n", 0
      ), (["start"], "", 2),
      (["explode"], "", 2), (["tail", "postgresql", "stdin"], "", 2), (["status", "--timeout", "0"], "", 2),
      (["events", "--since", "x"], "", 2),
    ]
    for (words, output, status) in cases {
      let daemon = FakeDaemon.ordinary()
      let result = hivesup(["ctl"] + words, environment: ["HIVESUP_SOCKET": daemon.path])
      daemon.stop()
      #expect(result.output == output && result.status == status, "\(words): \(result)")
      if status == 2 { #expect(!result.errors.isEmpty) }
    }
  }

  @Test func requestsSayWhatThePersonSaid() {
    let daemon = FakeDaemon.ordinary()
    defer { daemon.stop() }
    let environment = ["HIVESUP_SOCKET": daemon.path]
    _ = hivesup(["ctl", "stop", "--now", "--no-wait", "workers:*"], environment: environment)
    _ = hivesup(["ctl", "start", "--timeout", "3", "workers:a"], environment: environment)
    _ = hivesup(["ctl", "signal", "RTMIN+1", "all"], environment: environment)
    _ = hivesup(["ctl", "tail", "postgresql", "stderr", "-n", "9"], environment: environment)
    #expect(
      daemon.requests == [
        "POST /v1/programs/workers:*/stop?wait=false&now=true", "POST /v1/programs/workers:a/start?timeout=3.0",
        "POST /v1/programs/all/signal?signal=RTMIN%2B1", "GET /v1/logs/postgresql?stream=stderr&bytes=9",
      ])
  }

  @Test func aMissingDaemonIsNamedWithThePlaceThatWasTried() {
    for words in [
      ["status"], ["start", "x"], ["pid"], ["reload"], ["tail", "-f", "x"], ["events", "-f"], ["shutdown"],
    ] {
      let result = hivesup(["ctl"] + words + ["--socket", "/nowhere/control.sock"])
      #expect(result.status == 4, "\(words)")
      #expect(
        result.errors.contains("tried /nowhere/control.sock (--socket): No such file or directory")
          && result.output.isEmpty, "\(result)")
    }
    let long = hivesup(["ctl", "status", "--socket", "/" + String(repeating: "x", count: 200)])
    #expect(long.status == 4 && long.errors.contains("107 bytes"))
  }

  @Test func aStuckDaemonIsAnErrorAfterTheTimeout() {
    let daemon = FakeDaemon { _ in .hang }
    defer { daemon.stop() }
    for words in [["status"], ["health"], ["tail", "-f", "x"], ["start", "--no-wait", "x"]] {
      let before = monotonicSeconds()
      let result = hivesup(["ctl"] + words + ["--timeout", "0.2", "--socket", daemon.path])
      #expect(result.status == 4 && result.errors.contains("it did not answer within 0.2 s"), "\(words): \(result)")
      #expect(monotonicSeconds() - before < 6)
    }
  }

  @Test func aBrokenAnswerIsAnError() {
    for answer in [
      "", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", "SMTP ready\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    ] {
      let daemon = FakeDaemon { _ in .answer(Array(answer.utf8)) }
      let result = hivesup(["ctl", "status", "--socket", daemon.path])
      daemon.stop()
      #expect(
        result.status == 1 && result.errors.hasPrefix("hivesup: cannot "), "\(answer.debugDescription): \(result)")
    }
  }

  @Test func aFollowedStreamThatEndsIsAnError() {
    let daemon = FakeDaemon.ordinary()
    defer { daemon.stop() }
    let environment = ["HIVESUP_SOCKET": daemon.path]
    let events = hivesup(["ctl", "events", "-f", "--json"], environment: environment)
    #expect(events.status == 1 && events.output.split(separator: "\n").count == 2, "\(events)")
    let tail = hivesup(["ctl", "tail", "-f", "postgresql"], environment: environment)
    #expect(tail.status == 1 && tail.output == "line one\nline two", "\(tail)")
    #expect(hivesup(["ctl", "tail", "-f", "x"], environment: environment).status == 4)
  }

  @Test func heatIsToldByTheExitStatus() {
    let hot = ctl("thermal")
    #expect(hot.status == 3)
    #expect(
      hot.output
        == "critical, 86.3 °C (coretemp Package id 0), warning at 80.0 °C, critical at 85.0 °C, 3 changes\n"
        + "  braked: max_parallel_workers = 0\n  a remark\n"
        + "  CPU 12-19: backends (heat), autovacuum\n  CPU 0-11: walwriter (1 of 1 elsewhere)\n"
        + "  1 processes: refused; CAP_SYS_NICE\n")
    #expect(ctl("thermal", "--json").output.contains(#""state":"critical""#))
  }

  @Test func healthIsToldByTheExitStatus() {
    let healthy = ctl("health")
    #expect(
      healthy.status == 0 && healthy.output.hasPrefix("genie: healthy, up 1:01:01, database connected\n"), "\(healthy)")
    #expect(healthy.output.contains("ready (postgres)  passing"))
    let daemon = FakeDaemon { _ in
      var bytes: [UInt8] = []
      Sample.health("unhealthy", reasons: ["api: FATAL"]).response.write(to: &bytes)
      return .answer(bytes)
    }
    defer { daemon.stop() }
    let sick = hivesup(["ctl", "health", "--socket", daemon.path])
    #expect(sick.status == 3 && sick.output.contains("\n  api: FATAL\n"))
    let check = hivesup(["healthcheck", "--socket", daemon.path])
    #expect(check == CommandResult(output: "unhealthy: genie: api: FATAL\n", errors: "", status: 1))
  }

  @Test func healthcheckSaysOneLineWithinASecond() {
    let daemon = FakeDaemon.ordinary()
    defer { daemon.stop() }
    #expect(
      hivesup(["healthcheck"], environment: ["HIVESUP_SOCKET": daemon.path])
        == CommandResult(output: "healthy: genie, up 1:01:01\n", errors: "", status: 0))
    let stuck = FakeDaemon { _ in .hang }
    defer { stuck.stop() }
    let before = monotonicSeconds()
    for socket in [stuck.path, "/nowhere"] {
      let result = hivesup(["healthcheck", "--socket", socket])
      #expect(result.status == 1 && result.output.hasPrefix("unhealthy: cannot ") && result.errors.isEmpty, "\(result)")
      #expect(result.output.split(separator: "\n").count == 1)
    }
    // 0.9 s by its own clock; the rest is the test machine's.
    #expect(monotonicSeconds() - before < 5)
  }

  @Test func completionsNameTheRunningPrograms() {
    for shell in ["bash", "zsh", "fish"] {
      let script = hivesup(["completions", shell])
      #expect(script.status == 0 && script.output.contains("healthcheck"), "\(shell)")
    }
    #expect(hivesup(["completions", "tcsh"]).status == 2)
    let daemon = FakeDaemon.ordinary()
    defer { daemon.stop() }
    func names(_ line: String, _ index: Int, _ shell: String = "bash") -> [String] {
      let words = "\(line) --socket \(daemon.path)".split(separator: " ").map(String.init)
      return ProgramCompletion.names(words: words, index: index, shell: shell)
    }
    let all = ["postgres-init", "postgresql", "workers:a", "workers:b", "workers:*", "all"]
    #expect(names("hivesup ctl start w", 3) == all)
    #expect(names("hivesup ctl start workers :", 4) == ["a", "b", "*"])
    #expect(names("hivesup ctl start workers : a", 5) == ["a", "b", "*"])
    #expect(names("hivesup ctl start nobody : a", 5) == [])
    #expect(names("hivesup ctl start workers:", 3, "fish") == all)
    #expect(names("hivesup ctl start w", 3, "zsh").contains("workers\\:*"))
    #expect(names("hivesup", 99) == all)
    #expect(ProgramCompletion.names(words: ["hivesup", "ctl", "--socket=/nowhere"], index: 3, shell: nil) == [])
  }

  @Test func wrongWordsEndWith2AndHelpWith0() {
    for words in [
      ["explode"], ["ctl", "explode"], ["run", "--explode"], ["check", "-c"], ["healthcheck", "--timeout", "99"],
    ] {
      let result = hivesup(words)
      #expect(result.status == 2 && result.output.isEmpty && result.errors.contains("Usage:"), "\(words): \(result)")
    }
    for words in [["--help"], ["ctl", "--help"], ["help", "ctl", "status"], []] {
      let result = hivesup(words)
      #expect(result.status == 0 && result.errors.isEmpty && result.output.contains("USAGE:"), "\(words): \(result)")
    }
    #expect(hivesup(["--version"]) == CommandResult(output: "\(HivesupVersion.text)\n", errors: "", status: 0))
    #expect(hivesup(["run", "-c", "/nowhere.conf"]).status == 2)
    #expect(hivesup(["check", "-c", "/nowhere.conf"]).status == 2)
  }
}
