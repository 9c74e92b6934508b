// From what docker, compose and hivesup answer to values.

import CommandOutput
import ControlProtocol
import Testing

@testable import HiveCommand

@Suite("Containers") struct ContainerTests {
  @Test("docker inspect is read") func inspect() throws {
    let container = try #require(Samples.container(restarts: 2))
    #expect(container.name == "genie_genie_1" && container.image == "hive-genie" && container.state == "running")
    #expect(container.restarts == 2 && container.engineHealth == "healthy" && container.finishedAt == nil)
    #expect(container.ports == ["127.0.0.1:48886->48886/tcp", "[::1]:48886->48886/tcp"])
    let start = try #require(Timestamp(rfc3339: "2026-11-21T05:51:31.323456789Z"))
    #expect(container.startedAt == start)
    #expect(container.uptime(at: Timestamp(nanoseconds: start.nanoseconds + 2_500_000_000)) == 2.5)
    // The host's clock may be set back.
    #expect(container.uptime(at: Timestamp(nanoseconds: 0)) == 0)
  }

  @Test("an image without HEALTHCHECK has no verdict of the engine") func noHealthcheck() {
    #expect(Samples.container(health: nil)?.engineHealth == nil)
    #expect(Samples.container(health: "none")?.engineHealth == nil)
  }

  @Test("what is no answer of docker inspect is none") func strange() {
    for text in ["", "{}", "[", "null", "[{}] x"] {
      #expect(ContainerDocument.list(Array(text.utf8)) == nil, "\(text)")
    }
    #expect(ContainerDocument.list(Array("[{},{\"Id\":\"a\"}]".utf8)) == [])
  }

  @Test("the service's container is the running one, else the newest, never one made for a single command")
  func service() throws {
    let stopped = try #require(Samples.container(id: "old", state: "exited", startedAt: "2026-11-20T00:00:00Z"))
    let newer = try #require(Samples.container(id: "new", state: "exited", startedAt: "2026-11-21T00:00:00Z"))
    let running = try #require(Samples.container(id: "run", startedAt: "2026-11-19T00:00:00Z"))
    let oneOff = try #require(Samples.container(id: "one", oneOff: "True"))
    #expect(ContainerDocument.service(among: [stopped, running, newer, oneOff])?.id == "run")
    #expect(ContainerDocument.service(among: [newer, stopped, oneOff])?.id == "new")
    #expect(ContainerDocument.service(among: [oneOff]) == nil)
  }

  @Test("how it ended is told in words") func endings() {
    for (exit, text) in [
      (0, "exit status 0"), (2, "exit status 2 (the configuration or the command line is wrong)"),
      (7, "exit status 7"), (137, "exit status 137 (ended by SIGKILL)"), (139, "exit status 139 (ended by SIGSEGV)"),
      (163, "exit status 163 (ended by signal 35)"), (255, "exit status 255"),
    ] {
      #expect(Samples.container(state: "exited", exit: exit)?.ending == text)
    }
    #expect(
      Samples.container(state: "exited", exit: 137, oom: true)?.ending
        == "exit status 137 (ended by SIGKILL), out of memory")
  }
}

@Suite("Engine faults") struct EngineFaultTests {
  @Test("an engine that does not answer is told with the remedy") func unreachable() {
    for (said, text) in [
      (
        "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock: Get \"http://%2Fvar\": dial unix /var/run/docker.sock: connect: permission denied",
        "cannot use the Docker engine: permission denied on its socket at unix:///var/run/docker.sock; run this as root, or join the group docker"
      ),
      (
        "Cannot connect to the Docker daemon at tcp://127.0.0.1:1. Is the docker daemon running?",
        "cannot reach the Docker engine at tcp://127.0.0.1:1: nothing answers there; start it"
      ),
      (
        "error during connect: Get \"http://bogus:2375/v1.50/version\": dial tcp: lookup bogus: no such host",
        "cannot reach the Docker engine: error during connect"
      ),
      (
        "Error response from daemon: client version 1.22 is too old. Minimum supported API version is 1.24",
        "cannot use the Docker engine: Error response from daemon: client version 1.22 is too old"
      ),
      ("", "cannot reach the Docker engine: docker version gave no reason"),
    ] {
      let problem = EngineFault.unreachable(said)
      #expect(problem.text.hasPrefix(text), "\(problem.text)")
      #expect(problem.status == ExitStatusCode.noEngine)
    }
  }

  @Test("a port that is taken is named, by another container or another process") func ports() {
    for (said, address, number) in [
      (
        "driver failed programming external connectivity on endpoint g (7237dc): Bind for 0.0.0.0:48886 failed: port is already allocated",
        "0.0.0.0", "48886"
      ),
      (
        "ERROR: for genie  Cannot start service genie: Error starting userland proxy: listen tcp4 127.0.0.1:48886: bind: address already in use",
        "127.0.0.1", "48886"
      ),
      (
        "Error response from daemon: failed to bind host port for [::]:38886:172.17.0.2:38886/tcp: address already in use",
        "[::]", "38886"
      ),
    ] {
      let port = EngineFault.takenPort(said)
      #expect(port == EngineFault.TakenPort(address: address, number: number), "\(said)")
      let problem = EngineFault.compose("start", .genie, status: 1, said: said)
      #expect(
        problem.text.hasPrefix("cannot start genie: port \(number) of ") && problem.status == ExitStatusCode.failed)
    }
    #expect(EngineFault.takenPort("everything is well") == nil)
    #expect(EngineFault.takenPort("port is already allocated") == nil)
  }

  @Test("what compose says of files and services is the command line's fault") func usage() {
    for said in [
      "No such service: genie",
      "ERROR: The Compose file './compose.yaml' is invalid because:\nUnsupported config option for services.genie: 'imag'",
      "validating /p/compose.yaml: services.genie additional properties 'imag' not allowed",
      "yaml: line 3: mapping values are not allowed in this context",
      "ERROR: Missing mandatory value for \"image\" option interpolating ${X:?give it} in service \"genie\": give it",
      "error while interpolating services.genie.image: required variable X is missing a value: give it",
    ] {
      #expect(EngineFault.compose("start", .genie, status: 1, said: said).status == ExitStatusCode.usage, "\(said)")
    }
  }

  @Test("what is not known is passed on as it was said, its end") func unknown() {
    let said = (1...40).map { "line \($0)" }.joined(separator: "\n") + "\n\n"
    let problem = EngineFault.compose("start", .agent, status: 17, said: said)
    #expect(problem.text == "cannot start agent: compose ended with exit status 17; its words follow")
    #expect(problem.details == (21...40).map { "line \($0)" } && problem.status == ExitStatusCode.failed)
  }
}

@Suite("Log lines") struct LogLineTests {
  @Test("both of the supervisor's formats are taken apart, anything else is left whole") func formats() {
    let prefix = LogLine("2026-11-20T10:00:00.000Z postgresql stderr | LOG:  a | b")
    #expect(
      prefix.timestamp == "2026-11-20T10:00:00.000Z" && prefix.program == "postgresql" && prefix.stream == "stderr")
    #expect(prefix.message == "LOG:  a | b")
    let own = LogLine("2026-11-20T10:00:00.000Z hivesupd log | CRIT x")
    #expect(own.program == "hivesupd" && own.stream == "log" && own.message == "CRIT x")
    #expect(LogLine("2026-11-20T10:00:00.000Z a stdout | ").message == "")
    let json = LogLine(
      #"{"timestamp":"2026-11-20T10:00:00.000Z","program":"api","stream":"stdout","message":"a \"b\""}"#)
    #expect(json.program == "api" && json.message == "a \"b\"")
    for text in ["", "plain", "a b c | d", "yesterday a stdout | d", "{\"message\":1}", "{broken", " | "] {
      let line = LogLine(text)
      #expect(line.program == nil && line.message == text, "\(text)")
    }
  }

  @Test("a line is one JSON object") func json() throws {
    let bytes = LogLine("2026-11-20T10:00:00.000Z a stdout | x\"y").json(.genie)
    #expect(bytes.last == 0x0A)
    let value = try JSONValue(parsing: bytes)
    #expect(value["role"]?.string == "genie" && value["program"]?.string == "a" && value["message"]?.string == "x\"y")
    #expect(try JSONValue(parsing: LogLine("raw").json(.agent))["timestamp"] == .null)
  }

  @Test("last lines: without the piece that a cut text begins with, and without what is behind the last end")
  func last() {
    let text = Array("ece\none\n\ntwo\n".utf8)
    #expect(LastWords.lines(text, most: 10) == ["ece", "one", "", "two"])
    #expect(LastWords.lines(text, most: 10, isCut: true) == ["one", "", "two"])
    #expect(LastWords.lines(text, most: 1) == ["two"])
    #expect(LastWords.lines([], most: 3) == [] && LastWords.lines(text, most: 0) == [])
    #expect(LastWords.lines(Array("no end".utf8), most: 3) == ["no end"])
  }

  @Test("two streams become one by their times; a line without a time stays behind the one before it") func order() {
    let lines = [
      "2026-11-20T10:00:02.000Z a stdout | third", "of more lines", "2026-11-20T10:00:01.000Z hivesupd log | first",
      "2026-11-20T10:00:01.500Z hivesupd log | second",
    ].map(LogLine.init)
    #expect(LastWords.inOrder(lines).map(\.message) == ["first", "second", "third", "of more lines"])
  }

  @Test("a container's end is explained by the program that the supervisor names") func ended() {
    let output = [
      "2026-11-20T10:00:01.000Z postgresql stdout | irrelevant", "2026-11-20T10:00:01.000Z a stdout | bad thing",
      "2026-11-20T10:00:02.000Z hivesupd log | CRIT a is critical and has failed: exit status 3; ending with status 3",
      "2026-11-20T10:00:03.000Z hivesupd log | INFO waiting for a to die",
    ].map(LogLine.init)
    let (cause, words) = LastWords.ofEnded(output, most: 5)
    #expect(cause == "a is critical and has failed: exit status 3; ending with status 3")
    #expect(words == LastWords(program: "a", lines: ["bad thing"]))
    // Nobody is named: everything is told.
    let (none, all) = LastWords.ofEnded(Array(output.prefix(2)), most: 1)
    #expect(none == nil && all == LastWords(program: nil, lines: ["a | bad thing"]))
    #expect(LastWords.ofEnded([], most: 5).words == nil)
  }

  @Test("a stream is cut into lines wherever its pieces end") func splitting() {
    let text = Array("one\n\ntwo\nrest".utf8)
    for size in 1...text.count {
      var splitter = LineSplitter()
      var lines: [String] = []
      var start = 0
      while start < text.count {
        let end = min(start + size, text.count)
        lines += splitter.take(Array(text[start..<end])).map { String(decoding: $0, as: UTF8.self) }
        start = end
      }
      #expect(lines == ["one", "", "two"] && splitter.rest == Array("rest".utf8))
    }
  }
}

@Suite("Restart answers") struct RestartAnswerTests {
  @Test("faults keep their sense, and an unknown program is the command line's fault") func answers() {
    let subject = "cannot restart genie/x"
    func problem(_ output: String, _ error: String = "") -> Problem? {
      Restart.problem(Outcome(status: 1, output: Array(output.utf8), error: error), subject, .genie)
    }
    #expect(Restart.problem(Outcome(status: 0), subject, .genie) == nil)
    let unknown = problem(
      #"{"error":{"code":"BAD_NAME","message":"cannot restart x: there is no process or group 'x'"}}"#)
    #expect(unknown?.status == ExitStatusCode.usage)
    #expect(unknown?.text == "\(subject): there is no process or group 'x'; 'hive status genie' lists the programs")
    let late = problem(
      #"{"action":"restart","results":[{"name":"x","group":"x","namespec":"x","code":"TIMED_OUT","message":"not ready"}]}"#
    )
    #expect(late?.status == ExitStatusCode.timedOut)
    #expect(problem("", "hivesup: no daemon")?.text == "\(subject): hivesup: no daemon")
    #expect(problem("", "")?.text == "\(subject): exit status 1")
  }
}
