import ControlProtocol
import Testing

@testable import HivesupCommand

@Suite struct StatusTextTests {
  private func time(_ time: Timestamp) -> String { "Nov 20 10:00 AM" }

  @Test func linesAreSupervisorctls() {
    let programs =
      Sample.programs + [
        Sample.program("broken", "FATAL") { $0.spawnError = "Exited too quickly (process log may have details)" },
        Sample.program("worse", "FATAL"),
        Sample.program("back", "BACKOFF") { $0.spawnError = "can't find command '/x'" },
        Sample.program("idle", "STOPPED"), Sample.program("up", "STARTING"), Sample.program("down", "STOPPING"),
        Sample.program("later", "STOPPED") { $0.waitingFor = ["waiting for postgresql:ready"] },
      ]
    let expected = """
      postgres-init                    EXITED    Nov 20 10:00 AM
      postgresql                       RUNNING   pid 12, uptime 1 day, 1:01:01
      workers:a                        RUNNING   pid 13, uptime 0:00:05
      workers:b                        RUNNING   pid 14, uptime 0:00:59
      broken                           FATAL     Exited too quickly (process log may have details)
      worse                            FATAL     unknown error (try "tail worse")
      back                             BACKOFF   can't find command '/x'
      idle                             STOPPED   Not started
      up                               STARTING\u{20}\u{20}
      down                             STOPPING\u{20}\u{20}
      later                            STOPPED   waiting for postgresql:ready
      """
    #expect(StatusText.lines(programs, localTime: time).joined(separator: "\n") == expected)
  }

  @Test func aLongNameWidensItsColumn() {
    let name = String(repeating: "n", count: 40)
    let lines = StatusText.lines([Sample.program(name, "STARTING"), Sample.program("x", "STARTING")], localTime: time)
    #expect(lines.map { $0.utf8.count } == [53, 53])
    #expect(lines[0] == "\(name)   STARTING  ")
  }

  @Test func uptimeIsAPythonTimedelta() {
    let cases: [(Double, String)] = [
      (0, "0:00:00"), (59.99, "0:00:59"), (3661, "1:01:01"), (86_399, "23:59:59"), (86_400, "1 day, 0:00:00"),
      (200_000, "2 days, 7:33:20"), (-1, "0:00:00"),
      (.infinity, "0:00:00"), (.nan, "0:00:00"),
    ]
    for (seconds, text) in cases { #expect(StatusText.uptime(seconds) == text) }
  }

  @Test func onlyWhatShouldBeUpCountsAsDown() {
    for state in ["STOPPED", "STARTING", "RUNNING", "BACKOFF", "STOPPING", "EXITED", "FATAL", "UNKNOWN"] {
      let down = ["STOPPED", "EXITED", "FATAL", "UNKNOWN"].contains(state)
      #expect(StatusText.isDown(Sample.program("x", state) { $0.startedAt = Sample.now }) == down, "\(state)")
      let completed = Sample.program("x", state, type: "oneshot") { $0.completed = true }
      #expect(StatusText.isDown(completed) == ["FATAL", "UNKNOWN"].contains(state), "\(state)")
      let failed = Sample.program("x", state, type: "oneshot") { $0.stoppedAt = Sample.now }
      #expect(StatusText.isDown(failed) == down, "\(state)")
    }
    #expect(!StatusText.isDown(Sample.program("x", "STOPPED", type: "scheduled") { $0.nextStartAt = Sample.now }))
    #expect(!StatusText.isDown(Sample.program("x", "STOPPED") { $0.waitingFor = ["waiting for y:ready"] }))
    #expect(
      StatusText.isDown(
        Sample.program("x", "STOPPED") {
          $0.completed = true
          $0.stoppedAt = Sample.now
        }))
    let untouched = Sample.program("x", "STOPPED") {
      $0.startedAt = nil
      $0.stoppedAt = nil
    }
    #expect(!StatusText.isDown(untouched) && StatusText.isDown(untouched, isNamed: true))
  }

  @Test func namesAreSupervisords() {
    func names(_ name: String) -> [String]? { ProgramNames.select(name, from: Sample.programs)?.map(\.namespec) }
    #expect(names("postgresql") == ["postgresql"])
    #expect(names("postgresql:postgresql") == ["postgresql"])
    #expect(names("workers:a") == ["workers:a"])
    #expect(names("workers:*") == ["workers:a", "workers:b"])
    #expect(names("workers:") == ["workers:a", "workers:b"])
    #expect(names("all")?.count == 4)
    for name in ["workers", "a", "x", "", ":", "x:*", "workers:c", "workers:a:b"] {
      #expect(names(name) == nil, "\(name)")
    }
    #expect(ProgramNames.unknown("x") == "x: ERROR (no such process)")
    #expect(ProgramNames.unknown("x:*") == "x: ERROR (no such group)")
    #expect(ProgramNames.unknown("x:") == "x: ERROR (no such group)")
    #expect(ProgramNames.unknown("x:y") == "x:y: ERROR (no such process)")
  }

  @Test func theTableFitsTheTerminal() {
    let style = Style(isTerminal: true, hasColour: false, width: 60)
    let programs = [Sample.program("x", "FATAL") { $0.spawnError = String(repeating: "long ", count: 30) }]
    let lines = StatusText.table(programs, now: Sample.now, localTime: time).lines(style)
    #expect(lines.count == 2 && lines.allSatisfy { $0.count <= 60 })
    #expect(lines[1].hasSuffix("…"))
    let colourful = StatusText.table(Sample.programs, now: Sample.now, localTime: time)
      .lines(Style(isTerminal: true, hasColour: true, width: 200))
    #expect(colourful[1].contains("COMPLETED") && colourful[2].contains("\u{1B}[32mRUNNING\u{1B}[0m"))
  }

  @Test func whatTheKernelRefusedIsInTheTableAndNotInTheLines() throws {
    let programs = [Sample.refused, Sample.program("down", "STOPPED") { $0.pinning = Sample.refused.pinning }]
    let lines = StatusText.table(programs, now: Sample.now, localTime: time)
      .lines(Style(isTerminal: true, hasColour: false, width: 200))
    #expect(lines[1].hasSuffix("  refused: nice, sched_policy, on CPU 1 instead of performance"), "\(lines)")
    #expect(!lines[2].contains("refused"), "what does not run is not refused anything: \(lines)")
    let remarks = programs.flatMap(PinningText.statusRemarks)
    #expect(
      remarks == [
        "eager: on CPU 1: performance CPU 0 is not allowed here; falls to efficiency",
        "eager: cannot set nice=-5: Permission denied; what would allow it: CAP_SYS_NICE",
        "eager: cannot set sched_policy=fifo:1: Operation not permitted",
      ])
    #expect(
      StatusText.lines([Sample.refused], localTime: time) == [
        "eager                            RUNNING   pid 15, uptime 0:00:07"
      ])
    var status = Sample.status([])
    #expect(PinningText.statusRemarks(status) == [])
    status.pinning = Sample.refused.pinning
    status.pinning?.refused = []
    #expect(
      PinningText.statusRemarks(status) == [
        "hivesupd: on CPU 1: performance CPU 0 is not allowed here; falls to efficiency"
      ])
    // Where all cores are alike every class is all of them.
    var alike = Sample.refused
    alike.pinning?.isFallback = false
    alike.pinning?.refused = []
    #expect(PinningText.statusRemarks(alike) == [] && PinningText.summary(alike) == [])
    #expect(PinningText.remarks(alike).count == 1, "a person who has just asked for it is told all the same")
  }

  @Test func otherPeoplesTextCannotSteerTheTerminal() {
    #expect(harmless("a\u{1B}[31mb\n\u{9B}c\u{7F}é") == "a?[31mb??c?é")
    let line = StatusText.lines(
      [Sample.program("x", "FATAL") { $0.spawnError = "\u{1B}]0;title\u{7}" }], localTime: time)[0]
    #expect(!line.utf8.contains(0x1B))
  }
}

@Suite struct ActionOutcomeTests {
  private static let client = ControlClient(location: ControlLocation(path: "/x", source: "test"), timeout: 1)

  private static func outcome(
    _ response: HTTPResponse, _ action: Action, target: String = "x", running: Set<String> = []
  ) throws -> ActionOutcome {
    try ActionOutcome(
      ControlReply(status: response.status, body: response.body), target: target, action: action,
      runningBefore: running, client: client)
  }

  @Test func everyResultHasSupervisorctlsLineAndStatus() throws {
    let table: [(Action, ControlFault.Code, String, Int32)] = [
      (.start, .success, "x: started", 0), (.start, .alreadyStarted, "x: ERROR (already started)", 0),
      (.start, .spawnError, "x: ERROR (spawn error)", 7),
      (.start, .abnormalTermination, "x: ERROR (abnormal termination)", 7),
      (.start, .noFile, "x: ERROR (no such file)", 1), (.start, .notExecutable, "x: ERROR (file is not executable)", 1),
      (.stop, .success, "x: stopped", 0), (.stop, .notRunning, "x: ERROR (not running)", 0),
      (.stop, .failed, "x: ERROR (why)", 1),
      (.signal, .success, "x: signalled", 0), (.signal, .notRunning, "x: ERROR (not running)", 7),
      (.start, .badName, "x: ERROR (no such process)", 4), (.stop, .timedOut, "x: ERROR (why)", 1),
      (.start, .shutdownState, "x: ERROR (the supervisor is shutting down)", 1),
    ]
    for (action, code, line, status) in table {
      let result = ResultDocument(name: "x", group: "x", code: code, message: code == .success ? "" : "why")
      let outcome = try Self.outcome(ResultsDocument(action: action.rawValue, results: [result]).response, action)
      #expect(outcome.lines == [line] && outcome.status == status, "\(action) \(code): \(outcome)")
      guard code != .success else { continue }
      let refused = try Self.outcome(ControlFault(code, "why").response, action)
      #expect(refused.lines == [line] && refused.status == status, "\(action) \(code): \(refused)")
    }
  }

  @Test func unknownNamesAreToldAsSupervisorctlDoes() throws {
    let fault = ControlFault(.badName, "cannot start g:*: no such process").response
    #expect(try Self.outcome(fault, .start, target: "g:*").lines == ["g: ERROR (no such group)"])
    #expect(try Self.outcome(fault, .start, target: "g:*").status == 4)
    #expect(try Self.outcome(ControlFault(.badSignal, "m").response, .signal).lines == ["x: ERROR (bad signal name)"])
    #expect(try Self.outcome(ControlFault(.badSignal, "m").response, .signal).status == 1)
  }

  @Test func restartTellsWhatWasStopped() throws {
    let results = ResultsDocument(
      action: "restart",
      results: [
        ResultDocument(name: "a", group: "g"),
        ResultDocument(name: "b", group: "g", code: .spawnError, message: "cannot x: y"),
      ])
    let outcome = try Self.outcome(results.response, .restart, running: ["g:a"])
    #expect(outcome.lines == ["g:a: stopped", "g:a: started", "g:b: ERROR (not running)", "g:b: ERROR (spawn error)"])
    #expect(outcome.remarks == ["g:b: cannot x: y"])
    #expect(outcome.status == 7)
  }

  @Test func anAnswerThatIsNoneIsAnError() {
    for body in ["", "{}", "[1]", "no JSON", "{\"results\":[]}"] {
      #expect(throws: Problem.self) {
        try ActionOutcome(
          ControlReply(status: 200, body: Array(body.utf8)), target: "x", action: .start, runningBefore: [],
          client: Self.client)
      }
    }
  }
}
