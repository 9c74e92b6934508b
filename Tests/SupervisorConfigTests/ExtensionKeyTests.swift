// Our own keys, as values of the spec.

import SupervisorCore
import Testing

@testable import SupervisorConfig

@Suite("Our own keys")
struct ExtensionKeyTests {
  private func program(_ lines: String, _ change: (inout VirtualWorld) -> Void = { _ in }) throws -> ProgramSpec {
    var world = VirtualWorld("[supervisord]\n[program:x]\ncommand=/bin/x\n" + lines)
    change(&world)
    let result = world.load()
    return try #require(result.spec?.programs.first, "\(result.diagnostics)")
  }

  @Test func everythingAtOnce() throws {
    let spec = try program(
      """
      type=oneshot
      ready=postgres:/run/pg
      ready_interval=0.2
      ready_timeout=2
      ready_failures=5
      ready_deadline=60
      liveness=tcp://127.0.0.1:80
      liveness_interval=5
      liveness_timeout=3
      liveness_failures=2
      backoff=max:5
      critical=true
      stop_plan=INT:6, QUIT:2
      tree_plan=QUIT:5
      user_if_root=daemon
      groups=ssl-cert, 1
      env_file=/etc/a, -b
      secrets=PGPASSWORD, TOKEN
      limit_nofile=1024:unlimited
      limit_core=0
      nice=-5
      ionice=idle
      oom_score_adj=-500
      no_new_privileges=yes
      log_format=json
      """)
    #expect(spec.kind == .oneshot)
    #expect(
      spec.readiness
        == CheckSpec(
          probe: .postgres(PostgresProbe(socketDirectory: "/run/pg")), interval: .milliseconds(200),
          timeout: .seconds(2), failures: 5))
    #expect(spec.readyDeadline == .seconds(60))
    #expect(
      spec.liveness
        == CheckSpec(probe: .tcp(host: "127.0.0.1", port: 80), interval: .seconds(5), timeout: .seconds(3), failures: 2)
    )
    #expect(spec.backoff == Backoff(initial: .milliseconds(100), factor: 2, maximum: .seconds(5), jitter: 0.1))
    #expect(spec.critical)
    #expect(spec.stopPlan == [StopStep(signal: 2, wait: .seconds(6)), StopStep(signal: 3, wait: .seconds(2))])
    #expect(spec.treePlan == [StopStep(signal: 3, wait: .seconds(5))])
    #expect(spec.execution.userIfRoot == "daemon")
    #expect(spec.execution.user == nil)
    #expect(spec.execution.groups == ["ssl-cert", "1"])
    #expect(
      spec.execution.environmentFiles
        == [EnvironmentFile(path: "/etc/a", optional: false), EnvironmentFile(path: "/conf/b", optional: true)])
    #expect(spec.execution.secrets == ["PGPASSWORD", "TOKEN"])
    #expect(
      spec.execution.limits
        == [
          ResourceLimit(resource: "core", soft: 0, hard: 0), ResourceLimit(resource: "nofile", soft: 1024, hard: .max),
        ])
    #expect(spec.execution.nice == -5)
    #expect(spec.execution.ionice == .idle)
    #expect(spec.execution.oomScoreAdjust == -500)
    #expect(spec.execution.noNewPrivileges)
    #expect(spec.stdout.format == .json && spec.stderr.format == .json)
  }

  @Test func defaultsAreSupervisords() throws {
    let spec = try program("")
    var expected = ProgramSpec(name: "x", execution: ExecutionSpec(arguments: ["/bin/x"]))
    expected.execution.environment = spec.execution.environment
    expected.origin = Origin(file: "/conf/supervisord.conf", line: 2)
    #expect(spec == expected)
  }

  @Test func checkDefaults() throws {
    let spec = try program("ready=notify\nliveness=notify\n")
    #expect(
      spec.readiness == CheckSpec(probe: .notify, interval: .seconds(5), timeout: .seconds(1), failures: 3))
    #expect(spec.liveness == CheckSpec(probe: .notify, interval: .seconds(10), timeout: .seconds(1), failures: 3))
    #expect(try program("ready=none\nliveness=\n").readiness == nil)
  }

  @Test func processesMayDiffer() throws {
    let result = VirtualWorld(
      """
      [supervisord]
      [program:w]
      command=w
      numprocs=2
      process_name=%(program_name)s%(process_num)d
      ready=unix:/run/w%(process_num)d.sock
      """
    ).load()
    #expect(
      result.spec?.programs.map(\.readiness?.probe) == [.unix(path: "/run/w0.sock"), .unix(path: "/run/w1.sock")])
  }

  @Test func theSupervisorsOwnKeys() throws {
    let spec = try #require(
      VirtualWorld(
        """
        [supervisord]
        container=genie
        shutdown_timeout=9
        start_timeout=2m
        control_socket=/run/x.sock
        tail_bytes=64KB
        event_capacity=10
        log_format=prefix
        [program:a]
        command=a
        [program:b]
        command=b
        log_format=raw
        """
      ).load().spec)
    #expect(spec.container == "genie")
    #expect(spec.shutdownTimeout == .seconds(9))
    #expect(spec.startTimeout == .seconds(120))
    #expect(spec.controlSocket == "/run/x.sock")
    #expect(spec.tailBytes == 65536)
    #expect(spec.eventCapacity == 10)
    #expect(spec.log.format == .prefix)
    #expect(spec.programs.map(\.stdout.format) == [.prefix, .raw])
    let none = try #require(VirtualWorld("[supervisord]\ncontrol_socket=None\nshutdown_timeout=0\n").load().spec)
    #expect(none.controlSocket == nil)
    #expect(none.shutdownTimeout == nil)
    // The supervisor makes the directory: it need not be there.
    let bare = try #require(VirtualWorld("[supervisord]\npidfile=/nowhere/x/pid\n").load().spec)
    #expect(bare.pidfile == "/nowhere/x/pid")
    #expect(VirtualWorld("[supervisord]\n").load().spec?.controlSocket == "/run/hivesup/control.sock")
  }

  @Test func schedules() throws {
    let spec = try program("type=scheduled\nschedule=30 3 * * *\n")
    guard case .scheduled(let schedule) = spec.kind else {
      Issue.record("\(spec.kind)")
      return
    }
    #expect(schedule.expression == "30 3 * * *")
    #expect(schedule.zoneName == "UTC")
    #expect(schedule.zone == .utc)
  }

  @Test(arguments: [
    ("type=sometimes", "type"), ("type=scheduled", "type"), ("schedule=* * * * *", "schedule"),
    ("timezone=UTC", "timezone"),
    ("type=scheduled\nschedule=* * *", "schedule"),
    ("type=scheduled\nschedule=* * * * *\ntimezone=Nowhere/Land", "timezone"),
    ("type=scheduled\nschedule=* * * * *\ntimezone=../../etc/passwd", "timezone"), ("ready=nope", "ready"),
    ("ready_interval=0\nready=notify", "ready_interval"), ("ready_failures=0\nready=notify", "ready_failures"),
    ("liveness=notify-fd:3", "liveness"), ("backoff=x", "backoff"), ("critical=perhaps", "critical"),
    ("stop_plan=KILL:1", "stop_plan"),
    ("tree_plan=x", "tree_plan"), ("user_if_root=nosuch", "user_if_root"),
    ("user=root\nuser_if_root=root", "user_if_root"),
    ("groups=nosuch", "groups"), ("env_file=-", "env_file"), ("secrets=A-B", "secrets"),
    ("limit_nofile=2:1", "limit_nofile"),
    ("nice=20", "nice"), ("ionice=x", "ionice"), ("oom_score_adj=1001", "oom_score_adj"),
    ("cpu_class=fast", "cpu_class"), ("cpu_class=", "cpu_class"), ("cpu_class=any,efficiency", "cpu_class"),
    ("cpu_class=efficiency,efficiency", "cpu_class"), ("cpu_affinity=", "cpu_affinity"),
    ("cpu_affinity=3-1", "cpu_affinity"), ("cpu_affinity=8192", "cpu_affinity"), ("cpu_affinity=-1", "cpu_affinity"),
    ("cpu_affinity=0\ncpu_class=efficiency", "cpu_affinity"), ("cpu_smt=off", "cpu_smt"),
    ("sched_policy=fifo", "sched_policy"), ("sched_policy=rr:0", "sched_policy"),
    ("sched_policy=idle:1", "sched_policy"),
    ("sched_policy=deadline", "sched_policy"), ("numa_policy=bind", "numa_policy"),
    ("numa_policy=preferred:0-1", "numa_policy"), ("numa_policy=bind:1024", "numa_policy"),
    ("numa_policy=local:0", "numa_policy"),
    ("no_new_privileges=x", "no_new_privileges"),
    ("log_format=xml", "log_format"), ("depends_on=nosuch", "depends_on"), ("depends_on=:ready", "depends_on"),
    ("stdout_syslog=true", "stdout_syslog"), ("stderr_logfile=syslog", "stderr_logfile"), ("directory=", "directory"),
    ("numprocs=10001\nprocess_name=%(process_num)d", "numprocs"), ("numprocs=99999999999999999999", "numprocs"),
    ("numprocs_start=9223372036854775807", "numprocs_start"), ("command=", "command"), ("command='open", "command"),
  ])
  func wrongValuesAreErrorsAtTheirKey(lines: String, key: String) throws {
    let result = VirtualWorld("[supervisord]\n[program:x]\ncommand=/bin/x\n" + lines + "\n").load()
    #expect(result.spec == nil)
    let error = try #require(result.errors.first, "\(lines)")
    #expect(result.errors.allSatisfy { $0.key == key }, "\(result.errors)")
    #expect(error.section == "program:x" && error.line > 2 && !error.remedy.isEmpty)
  }

  @Test(arguments: [
    ("ready_timeout=2", "ready_timeout"), ("liveness_interval=2", "liveness_interval"),
    ("ready_deadline=2", "ready_deadline"),
    ("stop_plan=INT:1\nstopsignal=INT", "stop_plan"), ("stdout_capture_maxbytes=1KB", "stdout_capture_maxbytes"),
    ("stderr_events_enabled=true", "stderr_events_enabled"), ("stdout_logfile_maxbytes=0", "stdout_logfile_maxbytes"),
    ("redirect_stderr=true\nstderr_logfile=/tmp/x", "stderr_logfile"), ("environment=A=b c", "environment"),
    ("numprocs=0", "numprocs"), ("sched_policy=fifo:1\nnice=3", "nice"),
  ])
  func doubtfulValuesAreWarnedOfAtTheirKey(lines: String, key: String) throws {
    let result = VirtualWorld("[supervisord]\n[program:x]\ncommand=/bin/x\n" + lines + "\n").load()
    #expect(result.errors == [])
    #expect(result.warnings.map(\.key) == [key])
    #expect(result.warnings.allSatisfy { !$0.remedy.isEmpty && $0.line > 2 })
  }

  @Test func aUserThatCannotBeTakenIsWarnedOf() {
    var world = VirtualWorld(
      "[supervisord]\n[program:x]\ncommand=x\nuser=daemon\n[program:y]\ncommand=y\nuser=nobody\n[program:z]\ncommand=z\nuser_if_root=nosuch\n"
    )
    world.effectiveUserID = 65534
    let result = world.load()
    #expect(result.errors == [])
    #expect(result.warnings.map(\.section) == ["program:x"])
    #expect(result.warnings.first?.remedy.contains("user_if_root=daemon") == true)
  }

  @Test func theEnvironmentIsWholeAndSorted() throws {
    let spec = try program("environment=ZZ=1,HOME=\"/srv\",AA=\"x y\"\nserverurl=http://x\n")
    let names = spec.execution.environment.map(\.name)
    #expect(names == names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) })
    let values = Dictionary(spec.execution.environment.map { ($0.name, $0.value) }, uniquingKeysWith: { a, _ in a })
    #expect(values.count == names.count)
    #expect(values["HOME"] == "/srv")
    #expect(values["PATH"] == "/usr/bin:/bin")
    #expect(values["SUPERVISOR_ENABLED"] == "1")
    #expect(values["SUPERVISOR_PROCESS_NAME"] == "x")
    #expect(values["SUPERVISOR_GROUP_NAME"] == "x")
    #expect(values["SUPERVISOR_SERVER_URL"] == "http://x")
    #expect(spec.execution.configuredNames == ["AA", "HOME", "ZZ"])
  }

  @Test func sinks() throws {
    for (text, sink) in [
      ("/dev/stdout", LogSpec.Sink.descriptor(1)), ("/dev/fd/1", .descriptor(1)), ("/proc/self/fd/1", .descriptor(1)),
      ("/dev/stderr", .descriptor(2)), ("/dev/fd/2", .descriptor(2)), ("/proc/self/fd/2", .descriptor(2)),
      ("NONE", .discard),
      ("off", .discard), ("Auto", .automatic), ("/var/log/x", .file("/var/log/x")), ("x.log", .file("/conf/x.log")),
      ("~/x", .file("/root/x")), ("/dev/null", .file("/dev/null")),
    ] {
      #expect(try program("stdout_logfile=\(text)\n").stdout.sink == sink, "\(text)")
    }
  }
}
