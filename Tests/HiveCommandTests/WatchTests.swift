// Waiting, as a function of what is seen; how it looks; what is told in the end.

import CommandOutput
import ControlProtocol
import Testing

@testable import HiveCommand

@Suite("Watch") struct WatchTests {
  func seen(_ container: ContainerDocument?, _ supervisor: SupervisorAnswer = .notAsked) -> Observation {
    Observation(role: .genie, container: container, supervisor: supervisor)
  }

  func isFailed(_ verdict: Watch.Verdict, _ text: String) -> Bool {
    if case .failed(let why) = verdict { why.contains(text) } else { false }
  }

  func isWaiting(_ verdict: Watch.Verdict, _ text: String) -> Bool {
    if case .waiting(let doing) = verdict { doing.contains(text) } else { false }
  }

  @Test("the supervisor's word decides, not the engine's, which comes later") func supervisorDecides() {
    var watch = Watch(.genie, before: nil)
    #expect(watch.judge(seen(Samples.container(health: "starting"), .document(Samples.healthy))) == .healthy)
    #expect(
      isWaiting(
        watch.judge(seen(Samples.container(), .document(Samples.starting))), "starting postgresql; then hive-service"))
    #expect(
      isWaiting(watch.judge(seen(Samples.container(), .document(Samples.failing))), "postgresql could not be started"))
    #expect(isWaiting(watch.judge(seen(Samples.container(), .silent("no socket"))), "does not answer yet"))
  }

  @Test("FATAL is for good") func fatal() {
    var watch = Watch(.genie, before: nil)
    let verdict = watch.judge(seen(Samples.container(), .document(Samples.fatal)))
    #expect(verdict == .failed("worker failed for good: worker is FATAL: exited too quickly"))
  }

  @Test("a container that is gone, ended, dead or paused does not become healthy by waiting") func ended() {
    var watch = Watch(.genie, before: nil)
    #expect(isFailed(watch.judge(seen(nil)), "gone"))
    #expect(
      isFailed(
        watch.judge(seen(Samples.container(state: "exited", exit: 71))), "exit status 71 (not everything was ready"))
    #expect(isFailed(watch.judge(seen(Samples.container(state: "dead", exit: 1))), "exit status 1"))
    #expect(isFailed(watch.judge(seen(Samples.container(state: "paused"))), "docker unpause genie_genie_1"))
    #expect(isFailed(watch.judge(seen(Samples.container(state: "created", error: "no port"))), "no port"))
    #expect(isWaiting(watch.judge(seen(Samples.container(state: "created"))), "being started"))
  }

  @Test("a container that ends again and again is given up; what it did before does not count") func endless() {
    var fresh = Watch(.genie, before: nil)
    for restarts in 0...5 {
      let container = Samples.container(state: "restarting", exit: 3, restarts: restarts)
      let verdict = fresh.judge(seen(container))
      #expect(
        restarts < Watch.mostEnds ? isWaiting(verdict, "exit status 3") : isFailed(verdict, "ended \(restarts) times"))
    }
    var looping = Watch(.genie, before: Samples.container(restarts: 50))
    #expect(isWaiting(looping.judge(seen(Samples.container(state: "restarting", restarts: 52))), "started again"))
    #expect(isFailed(looping.judge(seen(Samples.container(state: "restarting", restarts: 53))), "ended 3 times"))
    // Another container counts from 0.
    var replaced = Watch(.genie, before: Samples.container(id: "other", restarts: 50))
    #expect(isFailed(replaced.judge(seen(Samples.container(state: "restarting", restarts: 3))), "ended 3 times"))
    // It is up at last.
    #expect(fresh.judge(seen(Samples.container(restarts: 9), .document(Samples.healthy))) == .healthy)
    // While it runs the engine no longer tells how it ended; what was seen before is told.
    let running = fresh.judge(seen(Samples.container(restarts: 3), .document(Samples.starting)))
    #expect(running == .failed("its container ended 3 times, the last time with exit status 3"))
    var unseen = Watch(.genie, before: nil)
    #expect(isWaiting(unseen.judge(seen(Samples.container(restarts: 5), .silent("x"))), "does not answer yet"))
    #expect(unseen.judge(seen(Samples.container(restarts: 6), .silent("x"))) == .failed("its container ended 6 times"))
  }

  @Test("without hivesup in the container the engine's check counts, if there is one") func engineDecides() {
    var watch = Watch(.genie, before: nil)
    for (health, expected) in [("healthy", true), ("starting", false), ("unhealthy", false)] {
      let verdict = watch.judge(seen(Samples.container(health: health), .absent("no hivesup")))
      #expect((verdict == .healthy) == expected)
    }
    #expect(isFailed(watch.judge(seen(Samples.container(health: nil), .absent("no hivesup"))), "no HEALTHCHECK"))
  }

  @Test("the programs to ask for their last words are those that fail, else those that start") func failing() {
    for (health, expected) in [
      (Samples.fatal, ["worker"]), (Samples.failing, ["postgresql"]), (Samples.starting, ["postgresql"]),
      (Samples.healthy, []),
    ] {
      #expect(Watch.failing(seen(Samples.container(), .document(health))) == expected)
    }
  }
}

@Suite("Observations") struct ObservationTests {
  @Test("one word and the reasons for every state") func words() {
    let cases: [(ContainerDocument?, SupervisorAnswer, String, String)] = [
      (nil, .notAsked, "absent", "there is no container; make it with 'hive up genie'"),
      (Samples.container(), .document(Samples.healthy), "healthy", ""),
      (Samples.container(), .document(Samples.starting), "starting", "postgresql is STARTING, not ready yet"),
      (Samples.container(), .document(Samples.failing), "unhealthy", "hive-service waits for postgresql:ready"),
      (Samples.container(), .silent("no answer"), "unhealthy", "its supervisor does not answer: no answer"),
      (
        Samples.container(health: "starting"), .silent("no answer"), "starting",
        "its supervisor does not answer: no answer"
      ),
      (Samples.container(health: "healthy"), .absent("no hivesup"), "healthy", ""),
      (
        Samples.container(state: "restarting", exit: 3), .notAsked, "unhealthy",
        "the container ended (exit status 3) and is about to be started again"
      ),
      (Samples.container(state: "exited", exit: 0), .notAsked, "stopped", "the container ended: exit status 0"),
      (
        Samples.container(state: "paused"), .notAsked, "stopped",
        "the container is paused; go on with 'docker unpause genie_genie_1'"
      ),
      (
        Samples.container(state: "created", error: "x"), .notAsked, "stopped",
        "the container was made but not started: x"
      ),
    ]
    for (container, supervisor, health, reason) in cases {
      let seen = Observation(role: .genie, container: container, supervisor: supervisor)
      #expect(seen.health == health && (seen.reasons.first ?? "") == reason, "\(seen.health) \(seen.reasons)")
      #expect(seen.isHealthy == seen.reasons.isEmpty)
    }
  }

  @Test("the main reason is that of the program that fails") func main() {
    let seen = Observation(role: .genie, container: Samples.container(), supervisor: .document(Samples.failing))
    #expect(seen.mainReason == "postgresql could not be started and is tried again")
  }

  @Test("the supervisor's answer is its document, else why there is none") func answers() {
    #expect(SupervisorAnswer(status: 1, output: Samples.failing.json + [0x0A], error: "").health == Samples.failing)
    #expect(
      SupervisorAnswer(status: 1, output: Array("unhealthy: cannot reach the daemon\n".utf8), error: "")
        == .silent("unhealthy: cannot reach the daemon"))
    #expect(SupervisorAnswer(status: 1, output: [], error: "") == .silent("it gave no answer"))
    #expect(
      SupervisorAnswer(status: 1, output: [], error: "Error response from daemon: Container c1 is restarting\n")
        == .silent("Error response from daemon: Container c1 is restarting"))
    for status: Int32 in [126, 127] {
      let answer = SupervisorAnswer(
        status: status, output: [],
        error:
          "OCI runtime exec failed: exec failed: unable to start container process: exec: \"hivesup\": executable file not found in $PATH: unknown"
      )
      guard case .absent = answer else {
        Issue.record("\(answer)")
        continue
      }
    }
  }
}

@Suite("Progress") struct ProgressTests {
  let plain = Style(isTerminal: true, hasColour: false, width: 80)

  @Test("the line fits the terminal, and what one part does not need the other gets") func width() {
    let parts = [
      Progress.Part(role: .genie, text: "healthy", elapsed: 1.25),
      Progress.Part(role: .agent, text: String(repeating: "x", count: 300), elapsed: 61),
    ]
    for width in [60, 80, 200] {
      let line = Progress.line(parts, Style(isTerminal: true, hasColour: false, width: width))
      #expect(line.count < width && line.hasPrefix("genie 1.2 s healthy  |  agent 1:01 xxx") && line.hasSuffix("…"))
      #expect(line.count >= width - 3)
    }
    #expect(Progress.line([parts[0]], plain) == "genie 1.2 s healthy")
    #expect(Progress.line([], plain) == "")
  }

  @Test("time is told in tenths, from a minute on in minutes") func time() {
    for (seconds, text) in [
      (0.0, "0.0 s"), (0.96, "0.9 s"), (59.99, "59.9 s"), (60, "1:00"), (125.9, "2:05"), (-1, "0.0 s"),
      (.infinity, "0.0 s"), (.nan, "0.0 s"),
    ] {
      #expect(Progress.seconds(seconds) == text)
    }
  }

  @Test("control characters of what others say do not reach the terminal") func harmlessText() {
    let health = Samples.health(
      "unhealthy", [Samples.service("a", "unhealthy", "BACKOFF")], reasons: ["a says \u{1B}[2J\u{7}"])
    #expect(Progress.doing(health) == "a says ?[2J?")
  }
}

@Suite("Reports") struct ReportTests {
  let now = Timestamp(nanoseconds: 1_800_000_000_000_000_000)

  @Test("the JSON document says what was done, how it is and why not") func json() throws {
    var failed = RoleReport(
      .genie, seen: Observation(role: .genie, container: Samples.container(), supervisor: .document(Samples.failing)))
    failed.problem = Problem("cannot see it", status: ExitStatusCode.timedOut, details: ["a"])
    failed.lastWords = [LastWords(program: "postgresql", lines: ["x"])]
    failed.action = "created"
    failed.seconds = 1.5
    let report = Report(
      command: "up", roles: [failed, RoleReport(.agent, seen: Observation(role: .agent, container: nil))],
      status: ExitStatusCode.timedOut)
    let bytes = report.json(now: now)
    #expect(bytes.last == 0x0A && !bytes.dropLast().contains(0x0A))
    let json = try JSONValue(parsing: bytes)
    #expect(json["command"]?.string == "up" && json["ok"]?.bool == false && json["exit_status"]?.int == 4)
    let roles = try #require(json["roles"]?.array)
    let genie = roles[0]
    #expect(
      genie["role"]?.string == "genie" && genie["action"]?.string == "created" && genie["health"]?.string == "unhealthy"
    )
    #expect(genie["reasons"]?.array?.count == 2 && genie["error"]?.string == "cannot see it")
    #expect(genie["container"]?["state"]?.string == "running" && genie["container"]?["exit_status"] == .null)
    #expect(genie["document"].flatMap(HealthDocument.init(json:)) == Samples.failing)
    #expect(genie["logs"]?.array?.first?["lines"]?.array == [.string("x")])
    #expect(roles[1]["health"]?.string == "absent" && roles[1]["container"] == .null && roles[1]["document"] == .null)
  }

  @Test("a command that failed as a whole says so in the same document") func problem() throws {
    let report = Report(command: "status", problem: EngineFault.noDocker, status: EngineFault.noDocker.status)
    let json = try JSONValue(parsing: report.json(now: now))
    #expect(json["ok"]?.bool == false && json["exit_status"]?.int == 3 && json["roles"]?.array == [])
    #expect(json["error"]?.string?.hasPrefix("cannot find the docker command") == true)
  }

  @Test("what became of a container is told by its id and its start") func actions() {
    let old = Samples.container()
    for (before, after, action) in [
      (nil, nil, nil), (old, nil, nil), (nil, old, "created"), (old, Samples.container(id: "b"), "replaced"),
      (old, Samples.container(startedAt: "2026-11-22T00:00:00Z"), "started"), (old, old, "unchanged"),
    ] as [(ContainerDocument?, ContainerDocument?, String?)] {
      #expect(Up.action(before: before, after: after) == action)
    }
  }

  @Test("the tables name containers, programs and reasons") func tables() throws {
    let exit = ExitDocument(
      json: try JSONValue(
        parsing: Array(
          #"{"exit_status":null,"signal":"SIGKILL","core_dumped":false,"oom_killed":true,"expected":false,"at":"2026-11-21T05:51:31.323Z"}"#
            .utf8)))
    let services = [
      Samples.service("postgresql", "healthy", "RUNNING", pid: 12, restarts: 1, exit: exit),
      Samples.service(
        "api", "unhealthy", "RUNNING", pid: 13,
        checks: [
          CheckDocument(
            name: "ready", type: "http", status: "failing", latencyMilliseconds: nil, observedAt: nil, detail: "refused"
          )
        ]),
    ]
    let genie = Observation(
      role: .genie, container: Samples.container(restarts: 3),
      supervisor: .document(Samples.health("unhealthy", services, reasons: ["api fails"])))
    let lines = StatusText.lines(
      [genie, Observation(role: .agent, container: nil)],
      now: Timestamp(rfc3339: "2026-11-21T05:52:36.323Z") ?? now, Style(isTerminal: false, hasColour: false, width: 80))
    #expect(
      lines == [
        "ROLE   CONTAINER      STATE    HEALTH     UPTIME   RESTARTS  PORTS",
        "genie  genie_genie_1  running  unhealthy  0:01:04  3         127.0.0.1:48886->48886/tcp, [::1]:48886->48886/tcp",
        "agent  -              absent   absent     -        -         -", "",
        "PROGRAM           STATE    HEALTH     PID  UPTIME   RESTARTS  DETAIL",
        "genie/postgresql  RUNNING  healthy    12   0:00:03  1         before: SIGKILL, out of memory",
        "genie/api         RUNNING  unhealthy  13   0:00:03  0         ready: refused", "", "genie: api fails",
        "agent: there is no container; make it with 'hive up agent'",
      ])
    #expect(
      StatusText.health([genie], Style(isTerminal: false, hasColour: false, width: 80))
        == ["genie: unhealthy, up 0:01:05, database connected", "  api fails"])
  }
}
