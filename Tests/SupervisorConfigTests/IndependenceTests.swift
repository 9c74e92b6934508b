// One error hides no other one: what is wrong is told at once, not one run of `hivesup check` after the other.

import Testing

@testable import SupervisorConfig

@Suite("Independent errors")
struct IndependenceTests {
  /// One thing that is wrong in a section: a key with a bad value, or without one.
  private struct Mistake: Equatable {
    var key: String
    var value: String?
    init(_ key: String, _ value: String?) {
      self.key = key
      self.value = value
    }
  }

  /// A section without a mistake, and what is put wrong in it.
  private struct Subject {
    var header: String
    var lines: [(key: String, value: String)]
    var mistakes: [Mistake]
    /// What the rest of the file is.
    var rest = ""
    /// A mistake, and one that is none beside it.
    var hiding: [(Mistake, Mistake)] = []

    func text(_ wrong: [Mistake]) -> String {
      var text = "[\(header)]\n"
      for (key, value) in lines where !wrong.contains(where: { $0.key == key }) { text += "\(key)=\(value)\n" }
      for mistake in wrong { if let value = mistake.value { text += "\(mistake.key)=\(value)\n" } }
      return text + rest
    }
  }

  private static let program = Subject(
    header: "program:x",
    lines: [
      ("command", "/bin/x"), ("numprocs", "2"), ("process_name", "x_%(process_num)d"), ("type", "scheduled"),
      ("schedule", "@daily"), ("liveness_interval", "1"), ("stdout_logfile", "NONE"), ("stderr_logfile", "NONE"),
    ],
    mistakes: [
      Mistake("command", nil), Mistake("command", "'x"), Mistake("command", "%(nobody)s"),
      Mistake("process_name", "x"), Mistake("process_name", "x_%(process_num)d:%(nobody)s"), Mistake("numprocs", "x"),
      Mistake("numprocs", "10001"), Mistake("numprocs_start", "x"), Mistake("numprocs_start", "2000000000"),
      Mistake("priority", "x"), Mistake("autostart", "x"), Mistake("autorestart", "x"), Mistake("startsecs", "x"),
      Mistake("startretries", "x"), Mistake("exitcodes", "256"), Mistake("stopsignal", "NOPE"),
      Mistake("stopwaitsecs", "x"), Mistake("stopasgroup", "x"), Mistake("killasgroup", "x"), Mistake("user", "nemo"),
      Mistake("directory", "%(nobody)s"), Mistake("umask", "9"), Mistake("environment", "A=1,B"),
      Mistake("serverurl", "%(nobody)s"), Mistake("redirect_stderr", "x"), Mistake("stdout_logfile", "/no/x"),
      Mistake("stdout_logfile_maxbytes", "x"), Mistake("stdout_logfile_backups", "x"),
      Mistake("stdout_capture_maxbytes", "x"), Mistake("stdout_events_enabled", "x"), Mistake("stdout_syslog", "true"),
      Mistake("stderr_logfile", "syslog"), Mistake("stderr_logfile_maxbytes", "x"),
      Mistake("stderr_logfile_backups", "x"), Mistake("stderr_capture_maxbytes", "x"),
      Mistake("stderr_events_enabled", "x"), Mistake("stderr_syslog", "x"), Mistake("type", "x"),
      Mistake("schedule", nil), Mistake("schedule", "61 * * * *"), Mistake("timezone", "Nowhere/Else"),
      Mistake("depends_on", "y"), Mistake("depends_on", "a:"), Mistake("ready", "x"), Mistake("ready_interval", "x"),
      Mistake("ready_timeout", "0"), Mistake("ready_failures", "0"), Mistake("ready_deadline", "x"),
      Mistake("liveness", "notify-fd:3"), Mistake("liveness", "x"), Mistake("liveness_interval", "x"),
      Mistake("liveness_timeout", "x"), Mistake("liveness_failures", "x"), Mistake("backoff", "x"),
      Mistake("critical", "x"), Mistake("stop_plan", "TERM"), Mistake("tree_plan", "KILL:1"),
      Mistake("user_if_root", "nemo"), Mistake("groups", "nobodies"), Mistake("env_file", "-"),
      Mistake("secrets", "1"), Mistake("nice", "20"), Mistake("ionice", "x"), Mistake("oom_score_adj", "1001"),
      Mistake("no_new_privileges", "x"), Mistake("log_format", "x"), Mistake("cpu_class", "x"),
      Mistake("cpu_affinity", "x"), Mistake("cpu_smt", "x"), Mistake("sched_policy", "x"), Mistake("numa_policy", "x"),
    ] + KnownKeys.limitedResources.map { Mistake("limit_\($0)", "x") },
    hiding: [
      // Without a number there is none to be too many for the name.
      (Mistake("numprocs", "x"), Mistake("process_name", "x")), (Mistake("type", "x"), Mistake("schedule", nil)),
    ])

  private static let supervisord = Subject(
    header: "supervisord", lines: [],
    mistakes: [
      Mistake("logfile", "/no/x"), Mistake("logfile", "syslog"), Mistake("logfile_maxbytes", "x"),
      Mistake("logfile_backups", "x"), Mistake("loglevel", "x"), Mistake("pidfile", "%(nobody)s"),
      Mistake("umask", "9"), Mistake("nodaemon", "x"), Mistake("silent", "x"), Mistake("minfds", "x"),
      Mistake("minprocs", "-1"), Mistake("nocleanup", "x"), Mistake("childlogdir", "/no"), Mistake("user", "nemo"),
      Mistake("directory", "/no"), Mistake("strip_ansi", "x"), Mistake("environment", "A"),
      Mistake("identifier", "%(nobody)s"), Mistake("container", "%(nobody)s"), Mistake("shutdown_timeout", "x"),
      Mistake("start_timeout", "x"), Mistake("control_socket", "relative"), Mistake("tail_bytes", "x"),
      Mistake("event_capacity", "0"), Mistake("log_format", "x"),
    ],
    rest: "[program:a]\ncommand=a\nautostart=maybe\n")

  private static let group = Subject(
    header: "group:a b", lines: [("programs", "x")],
    mistakes: [Mistake("priority", "x"), Mistake("programs", "y"), Mistake("programs", "x,%(nobody)s")],
    rest: "[program:x]\ncommand=x\numask=9\n")

  private static let listener = Subject(
    header: "listener:a b", lines: [("address", ":1"), ("program", "x")],
    mistakes: [
      Mistake("address", nil), Mistake("address", "nowhere"), Mistake("backlog", "0"), Mistake("program", "y"),
      Mistake("fallback", "x"), Mistake("mode", "9"),
    ],
    rest: "[program:x]\ncommand=x\n")

  private func errors(_ subject: Subject, _ wrong: [Mistake]) -> Set<String> {
    let text = (subject.header == "supervisord" ? "" : "[supervisord]\n") + subject.text(wrong)
    return Set(VirtualWorld(text).load().errors.map { "\($0.section) \($0.key): \($0.message)" })
  }

  /// Every two mistakes in one section are told like each of them alone.
  @Test(arguments: [0, 1, 2, 3]) func noMistakeHidesAnotherOne(number: Int) {
    let subject = [Self.program, Self.supervisord, Self.group, Self.listener][number]
    let before = errors(subject, [])
    let alone = subject.mistakes.map { errors(subject, [$0]) }
    for (mistake, errors) in zip(subject.mistakes, alone) {
      #expect(errors.isStrictSuperset(of: before), "\(mistake.key)=\(mistake.value ?? "(not set)")")
    }
    for (i, first) in subject.mistakes.enumerated() {
      for (j, second) in subject.mistakes.enumerated().dropFirst(i + 1) where first.key != second.key {
        let isHiding = subject.hiding.contains { $0 == (first, second) || $0 == (second, first) }
        if isHiding { continue }
        let hidden = alone[i].union(alone[j]).subtracting(errors(subject, [first, second]))
        #expect(
          hidden.isEmpty,
          "[\(subject.header)] \(first.key)=\(first.value ?? "(not set)"), \(second.key)=\(second.value ?? "(not set)")"
        )
      }
    }
  }

  @Test func everyKeyThatCanBeWrongIsTried() {
    for (subject, kind) in [(Self.program, SectionKind.program), (Self.group, .group), (Self.listener, .listener)] {
      #expect(Set(subject.mistakes.map(\.key)) == KnownKeys.keys(of: kind), "\(kind)")
    }
  }

  @Test func aScheduleThatIsMissingHidesNoWrongZone() {
    let result = VirtualWorld("[supervisord]\n[program:x]\ncommand=x\ntype=scheduled\ntimezone=Europe/Nowhere\n").load()
    #expect(
      result.errors.map(\.message) == [
        "type=scheduled needs a schedule", "cannot find the time zone 'Europe/Nowhere'",
      ])
  }

  @Test func everyKeyWithoutEffectIsNamed() {
    let result = VirtualWorld("[supervisord]\n[program:x]\ncommand=x\nschedule=@daily\ntimezone=UTC\n").load()
    #expect(
      result.errors.map { "\($0.key) \($0.message)" } == [
        "schedule has no effect without type=scheduled", "timezone has no effect without type=scheduled",
      ])
  }

  @Test func aProgramWithAWrongNumberIsNotUnknownToOthers() {
    let result = VirtualWorld(
      "[supervisord]\n[program:x]\ncommand=x\nnumprocs=2\numask=9\n[program:y]\ncommand=y\ndepends_on=x\n"
    ).load()
    #expect(result.errors.map(\.key).sorted() == ["process_name", "umask"])
  }
}
