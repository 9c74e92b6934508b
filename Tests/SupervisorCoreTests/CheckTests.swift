import Testing

@testable import SupervisorCore

/// Readiness, liveness, what programs tell, who accepts, and the verdict of all that.
struct CheckTests {
  private func probes(_ world: World, _ role: CheckRole) -> [Instant] {
    world.actions.filter { if case .probe(_, role, _) = $0.action { true } else { false } }.map(\.at)
  }

  @Test func readinessDecidesAndStartsecsDoesNot() {
    let world = World(
      configuration([
        program("x") {
          $0.startsecs = 60
          $0.readiness = notifying
        }
      ])
    ) { _, _ in Behaviour(readyAfter: .milliseconds(20)) }
    world.send(.boot)
    world.run(.milliseconds(19))
    #expect(world.state("x") == .starting)
    world.run(.milliseconds(1))
    #expect(world.state("x") == .running)
    #expect(world.core.nextDeadline == nil, "notify needs no wakeup")
  }

  @Test func aNotificationMayComeBeforeTheExecStatus() {
    let world = World(configuration([program("x") { $0.readiness = notifying }])) { _, _ in
      Behaviour(readyAfter: nil)
    }
    let core = world
    core.send(.boot)
    var machine = Supervisor(spec: configuration([program("x") { $0.readiness = notifying }]), at: moment(0), seed: 1)
    let run = RunID(program: machine.programs[0], run: 1)
    _ = machine.handle(.boot, at: moment(0))
    _ = machine.handle(.spawned(run, pid: 5), at: moment(0))
    _ = machine.handle(.notification(run, .ready), at: moment(1))
    #expect(machine.snapshot(of: run.program, at: moment(1))?.state == .starting)
    _ = machine.handle(.execSucceeded(run), at: moment(2))
    #expect(machine.snapshot(of: run.program, at: moment(2))?.state == .running)
  }

  @Test func probesComeQuicklyWhileStartingAndAtTheirIntervalAfterwards() {
    let world = World(configuration([program("x") { $0.readiness = probed }])) { _, _ in
      Behaviour(readyAfter: .milliseconds(100), probeLatency: .zero)
    }
    let start = world.instant
    world.send(.boot)
    world.run(.seconds(11))
    #expect(probes(world, .ready).map { ($0 - start).inMilliseconds } == [0, 10, 30, 70, 150, 5150, 10_150])
  }

  /// sd_notify from a PostgreSQL with `ready=postgres`: the moment to look, and no answer by itself.
  @Test func aPostgresThatTellsIsAskedAtOnceAndItsAnswerCounts() throws {
    let check = CheckSpec(
      probe: .postgres(PostgresProbe(socketDirectory: "/run/x")), interval: .seconds(60), timeout: .seconds(1),
      failures: 1)
    let world = World(configuration([program("x") { $0.readiness = check }])) { _, _ in
      Behaviour(readyAfter: .milliseconds(900), unreadyAfter: .seconds(10), probeLatency: .milliseconds(5))
    }
    let start = world.instant
    func tell(_ notification: Notification, at time: Interval) throws {
      world.run((start + time) - world.instant)
      world.send(.notification(try #require(world.run(of: "x")).id, notification))
    }
    func times() -> [Int] { probes(world, .ready).map { Int(($0 - start).inMilliseconds) } }
    world.send(.boot)
    // Too early: asked, and the answer is no.
    try tell(.ready, at: .milliseconds(700))
    #expect(world.state("x") == .starting && times().last == 700)
    try tell(.ready, at: .milliseconds(905))
    #expect(times().last == 905)
    world.run(.milliseconds(5))
    #expect(world.state("x") == .running)
    // A stopping server is unready when it says so, and asked.
    try tell(.stopping, at: .seconds(12))
    #expect(times().last == 12_000)
    world.run(.milliseconds(5))
    #expect(world.core.health(at: world.now).status == .unhealthy)
    let count = times().count
    try tell(.ready, at: .seconds(15))
    // While the answer is outstanding, it is asked once more, right after it.
    try tell(.ready, at: .milliseconds(15_002))
    try tell(.ready, at: .milliseconds(15_003))
    world.run(.seconds(1))
    #expect(Array(times()[count...]) == [15_000, 15_015])
    #expect(world.core.health(at: world.now).status == .unhealthy, "the server lets nobody in, whatever it says")
  }

  @Test func whatIsNoPostgresIsAskedAtItsInterval() throws {
    let world = World(configuration([program("x") { $0.readiness = probed }])) { _, _ in Behaviour(probeLatency: .zero)
    }
    world.send(.boot)
    world.run(.seconds(1))
    let count = probes(world, .ready).count
    world.send(.notification(try #require(world.run(of: "x")).id, .ready))
    #expect(probes(world, .ready).count == count)
  }

  @Test func aMissedReadyDeadlineIsAFailedStart() {
    let world = World(
      configuration([
        program("x") {
          $0.readiness = notifying
          $0.readyDeadline = .seconds(5)
          $0.startretries = 1
        }
      ])
    ) { _, _ in Behaviour(stopDelay: .milliseconds(100), readyAfter: nil) }
    let start = world.instant
    world.send(.boot)
    world.run(.seconds(60))
    #expect(world.states("x") == [.starting, .stopping, .backoff, .starting, .stopping, .fatal])
    #expect(world.spawns("x").map { ($0 - start).inMilliseconds } == [0, 6100])
    #expect(world.records.last?.cause.text == "gave up after 2 attempts: was not ready within 5 s")
  }

  @Test func failingReadinessMakesUnreadyAndRestartsNothing() {
    let world = World(configuration([program("x") { $0.readiness = probed }])) { _, _ in
      Behaviour(unreadyAfter: .seconds(20), probeLatency: .zero)
    }
    world.send(.boot)
    world.run(.seconds(19))
    #expect(world.core.health(at: world.now).status == .healthy)
    world.run(.seconds(20))
    #expect(world.state("x") == .running)
    let health = world.core.health(at: world.now)
    #expect(health.status == .unhealthy)
    #expect(health.reasons == ["x is RUNNING but not ready: connection refused"])
    #expect(world.spawns("x").count == 1)
  }

  @Test func livenessRestartsAfterSoManyFailures() {
    let world = World(
      configuration([
        program("x") {
          $0.liveness = CheckSpec(
            probe: .tcp(host: "::1", port: 1), interval: .seconds(2), timeout: .seconds(1), failures: 3)
        }
      ])
    ) { _, run in
      Behaviour(stopDelay: .milliseconds(10), hangsAfter: run == 1 ? .seconds(10) : nil, probeLatency: .zero)
    }
    let start = world.instant
    world.send(.boot)
    world.run(.seconds(30))
    // RUNNING at 1 s, probes at 3, 5, 7, 9, then 11, 13, 15 fail.
    #expect(world.spawns("x").map { ($0 - start).inMilliseconds } == [0, 15_010])
    #expect(world.states("x").prefix(5) == [.starting, .running, .stopping, .stopped, .starting])
    #expect(world.snapshot("x")?.restarts == 1)
  }

  @Test func aProbeThatIsNeverAnsweredFailsAfterSomePatience() {
    let world = World(
      configuration([
        program("x") {
          $0.liveness = CheckSpec(
            probe: .tcp(host: "::1", port: 1), interval: .seconds(2), timeout: .seconds(1), failures: 1)
        }
      ])
    ) { _, _ in Behaviour(probesAreLost: true) }
    world.send(.boot)
    world.run(.seconds(1 + 2 + 1 + 5 + 1))
    #expect(world.spawns("x").count == 2)
    #expect(world.has("x (101) fails its liveness check, restarting it: the probe was never answered"))
  }

  @Test func theWatchdogIsLivenessByNotify() {
    let spec = configuration([
      program("x") {
        $0.liveness = CheckSpec(probe: .notify, interval: .seconds(10), timeout: .seconds(1), failures: 2)
      }
    ])
    let world = World(spec)
    world.send(.boot)
    world.run(.seconds(1))
    let run = RunID(program: world.id("x"), run: 1)
    for _ in 0..<5 {
      world.run(.seconds(9))
      #expect(world.core.health(at: world.now).status == .healthy)
      world.run(.seconds(6))  // one miss, then a sign of life
      // Nobody is restarted for it yet, but what is frozen is not called healthy until it is.
      let health = world.core.health(at: world.now)
      #expect(health.reasons == ["x fails its check liveness: no WATCHDOG=1 within 10 s"])
      #expect(health.status == .unhealthy && !health.ready.passed && health.live.passed)
      #expect(health.services.first?.checks.first?.status == .failing)
      world.send(.notification(run, .watchdog))
      #expect(world.core.health(at: world.now).status == .healthy)
      #expect(world.core.health(at: world.now).services.first?.checks.first?.status == .passing)
    }
    #expect(world.spawns("x").count == 1)
    world.run(.seconds(21))
    #expect(world.spawns("x").count == 2)
    let trigger = World(spec)
    trigger.send(.boot)
    trigger.run(.seconds(2))
    trigger.send(.notification(run, .watchdogTrigger))
    #expect(trigger.state("x") == .stopping)
  }

  @Test func reloadingAndStoppingMakeUnready() {
    let world = World(configuration([program("x") { $0.readiness = notifying }]))
    world.send(.boot)
    world.run(.seconds(1))
    let run = RunID(program: world.id("x"), run: 1)
    world.send(.notification(run, .status("42 clients")))
    #expect(world.snapshot("x")?.statusText == "42 clients")
    world.send(.notification(run, .reloading))
    #expect(world.snapshot("x")?.isReady == false)
    world.send(.notification(run, .ready))
    #expect(world.snapshot("x")?.isReady == true)
    world.send(.notification(run, .stopping))
    #expect(world.snapshot("x")?.isReady == false)
    #expect(world.core.health(at: world.now).reasons == ["x is RUNNING but not ready: it is stopping"])
  }

  @Test func whatIsDownIsNotAskedAndNeedsNoWakeup() {
    let world = World(
      configuration([
        program("x") {
          $0.readiness = probed
          $0.liveness = probed
          $0.readyDeadline = .seconds(30)
        }
      ]))
    world.send(.boot)
    world.run(.seconds(7))
    #expect(world.core.nextDeadline != nil)
    world.request(.stop(target: "x", wait: true, now: false))
    world.run(.seconds(1))
    #expect(world.core.nextDeadline == nil)
    let before = probes(world, .ready).count + probes(world, .liveness).count
    world.run(.seconds(60))
    #expect(probes(world, .ready).count + probes(world, .liveness).count == before)
  }

  // MARK: Listeners

  private func listening(_ change: (inout ProgramSpec) -> Void = { _ in }) -> SupervisorSpec {
    configuration([program("api", change)]) {
      var listener = ListenerSpec(name: "http", address: .tcp(host: "*", port: 48886))
      listener.program = "api"
      listener.fallback = .health
      var plain = ListenerSpec(name: "plain", address: .unix(path: "/x"))
      plain.program = "api"
      $0.listeners = [listener, plain]
    }
  }

  @Test func thePortIsNeverDark() {
    let world = World(listening { $0.readiness = notifying }) { _, run in
      Behaviour(life: run == 1 ? .seconds(10) : nil, status: .exited(1), stopDelay: .seconds(1))
    }
    world.send(.boot)
    #expect(world.listenerModes == ["http": .acceptBySupervisor], "and never a word about a listener without fallback")
    world.run(.milliseconds(5))
    #expect(world.listenerModes["http"] == .leaveToProgram)
    world.run(.milliseconds(9996))
    #expect(world.listenerModes["http"] == .acceptBySupervisor, "it has crashed")
    world.run(.seconds(1))
    #expect(world.listenerModes["http"] == .leaveToProgram, "it is up again")
    world.request(.stop(target: "api", wait: true, now: false))
    let last = world.actions.suffix(3).map(\.action)
    let run = RunID(program: world.id("api"), run: 2)
    #expect(last == [.listener("http", .acceptBySupervisor), .signal(run, 15, .process), .signal(run, 18, .process)])
  }

  @Test func aProgramThatDoesNotAcceptIsHelpedOut() {
    let world = World(listening())
    world.send(.boot)
    world.run(.seconds(2))
    world.send(.listenerStalled("http", text: "80 connections wait"))
    #expect(world.listenerModes["http"] == .acceptBySupervisor)
    #expect(
      world.core.health(at: world.now).reasons == ["api does not accept on listener http: 80 connections wait"])
    world.send(.listenerRecovered("http"))
    #expect(world.listenerModes["http"] == .leaveToProgram)
    #expect(world.core.health(at: world.now).status == .healthy)
  }

  // MARK: Reported checks, the database, staleness

  private func report(_ name: String, _ passed: Bool, _ detail: String = "") -> ReportedCheck {
    ReportedCheck(
      name: name, type: "sql", result: ProbeResult(passed: passed, latency: .milliseconds(1), detail: detail),
      interval: .seconds(10))
  }

  @Test func aReportOlderThanThreeIntervalsFails() {
    let world = World(configuration([program("db")]))
    world.send(.boot)
    world.run(.seconds(2))
    world.send(.checkReported(program: "db", report("disk", true)))
    world.run(.seconds(30))
    #expect(world.core.health(at: world.now).status == .healthy)
    world.run(.milliseconds(1))
    let health = world.core.health(at: world.now)
    #expect(health.status == .unhealthy)
    #expect(health.services[0].checks[0].status == .failing)
    #expect(
      health.reasons == ["db fails its check disk: the last result is 30.001 s old, more than three intervals of 10 s"])
  }

  @Test func aFailingReportIsAReason() {
    let world = World(configuration([program("db")]))
    world.send(.boot)
    world.run(.seconds(2))
    world.send(.checkReported(program: "db", report("disk", false, "2 MB free, 64 needed")))
    #expect(world.core.health(at: world.now).reasons == ["db fails its check disk: 2 MB free, 64 needed"])
    let before = world.records.count
    world.send(.checkReported(program: "db", report("disk", false, "2 MB free, 64 needed")))
    #expect(world.records.count == before, "only a change is an event")
  }

  /// Others may know why a program does not come up; what they said a while ago says nothing of now.
  @Test(arguments: [false, true]) func aFailingReportExplainsAStartThatTakesLong(_ hasBeenUp: Bool) {
    let probe = CheckSpec(probe: .notify, interval: .seconds(5), timeout: .seconds(1), failures: 1)
    let world = World(configuration([program("db") { $0.readiness = probe }])) { _, attempt in
      Behaviour(readyAfter: hasBeenUp && attempt == 1 ? .milliseconds(100) : nil)
    }
    world.send(.boot)
    world.run(.seconds(2))
    if hasBeenUp {
      world.kill("db")
      world.run(.seconds(2))
    }
    let without = world.core.health(at: world.now).reasons
    #expect(without.count == 1 && without[0].hasPrefix("db is STARTING, not ready yet"), "\(without)")
    world.send(.checkReported(program: "db", report("disk", true, "fine")))
    #expect(world.core.health(at: world.now).reasons == without)
    world.send(.checkReported(program: "db", report("database", false, "disk full")))
    #expect(world.core.health(at: world.now).reasons == without.map { "\($0); database: disk full" })
    world.run(.milliseconds(30_001))
    #expect(world.core.health(at: world.now).reasons == without)
  }

  @Test func reportsFromOutsideAreBounded() {
    let world = World(configuration([program("db")]))
    world.send(.boot)
    for number in 0..<100 {
      world.send(.checkReported(program: "db", report("c\(number)", true, String(repeating: "ä", count: 10_000))))
    }
    let checks = world.service("db")?.checks ?? []
    #expect(checks.count == 16)
    #expect(checks.allSatisfy { $0.detail.utf8.count <= 515 })
  }

  @Test func theDatabaseIsWhatIsReportedElseWhatIsProbed() {
    let probe = CheckSpec(
      probe: .postgres(PostgresProbe(socketDirectory: "/run", port: 5432)), interval: .seconds(5), timeout: .seconds(1),
      failures: 1)
    let world = World(configuration([program("db") { $0.readiness = probe }])) { _, _ in
      Behaviour(readyAfter: .milliseconds(100), probeLatency: .zero)
    }
    func database() -> DatabaseStatus? { world.core.health(at: world.now).database }
    #expect(database() == .unknown)
    world.send(.boot)
    world.run(.seconds(2))
    #expect(database() == .connected)
    world.send(.checkReported(program: "db", report("database", false, "too many clients")))
    #expect(database() == .disconnected)
    world.run(.seconds(31))
    #expect(database() == .connected, "the report is stale: the probe decides")
    world.kill("db")
    #expect(database() == .connected, "the process is not gone before its exit is reported")
    world.run(.zero)
    #expect(database() == .disconnected)
    #expect(World(configuration([program("x")])).core.health(at: moment(0)).database == nil)
  }

  @Test func whoCannotReachItsDatabaseMakesItDisconnectedAndIsNotRestarted() {
    let world = World(configuration([program("db"), program("api")]))
    world.send(.boot)
    world.run(.seconds(2))
    let pid = world.core.health(at: world.now).services.first { $0.name == "api" }?.pid
    func health() -> HealthReport { world.core.health(at: world.now) }
    world.send(.checkReported(program: "db", report("database", true, "")))
    world.send(.checkReported(program: "api", report("database", true, "")))
    #expect(health().database == .connected && health().status == .healthy)
    world.send(.checkReported(program: "api", report("database", false, "cannot reach the database at elsewhere:5432")))
    #expect(health().database == .disconnected && health().status == .unhealthy)
    #expect(health().reasons == ["api fails its check database: cannot reach the database at elsewhere:5432"])
    #expect(health().services.first { $0.name == "api" }?.pid == pid)
    #expect(health().services.first { $0.name == "api" }?.restarts == 0)
    world.send(.checkReported(program: "api", report("database", true, "")))
    #expect(health().database == .connected && health().status == .healthy)
  }

  @Test func whoUsesTheDatabaseAndIsDownSaysNothingOfIt() {
    for names in [["api", "db"], ["db", "api"]] {
      let world = World(
        configuration(
          names.map { name in
            program(name) {
              $0.autorestart = .never
              if name == "db" {
                $0.readiness = CheckSpec(
                  probe: .postgres(PostgresProbe(socketDirectory: "/run", port: 5432)), interval: .seconds(5),
                  timeout: .seconds(1), failures: 1)
              }
            }
          })
      ) { _, _ in Behaviour(readyAfter: .milliseconds(100), probeLatency: .zero) }
      world.send(.boot)
      world.run(.seconds(2))
      for name in names { world.send(.checkReported(program: name, report("database", true, ""))) }
      func database() -> DatabaseStatus? { world.core.health(at: world.now).database }
      #expect(database() == .connected, "\(names)")
      world.kill("api")
      world.run(.seconds(1))
      #expect(database() == .connected, "\(names): it is up, whoever else is not")
      world.kill("db")
      world.run(.seconds(1))
      #expect(database() == .disconnected, "\(names)")
    }
  }

  // MARK: The verdict in every state

  @Test func aServiceIsJudgedByItsState() {
    let world = World(
      configuration([program("x") { $0.startretries = 1 }, program("manual") { $0.autostart = false }])
    ) { _, run in
      run == 1
        ? Behaviour(life: .seconds(5), status: .exited(3)) : Behaviour(life: .milliseconds(10), status: .exited(4))
    }
    func status() -> HealthStatus { world.core.health(at: world.now).status }
    #expect(status() == .starting, "not booted")
    world.send(.boot)
    #expect(status() == .starting)
    world.run(.seconds(2))
    #expect(status() == .healthy, "what nobody wants up does not count")
    world.run(.milliseconds(3500))
    #expect(world.state("x") == .backoff)
    #expect(
      world.core.health(at: world.now).reasons == [
        "x could not be started and is tried again: it ended with exit status 4"
      ])
    world.run(.seconds(10))
    #expect(
      world.core.health(at: world.now).reasons == [
        "x is FATAL, it ended with exit status 4; see its log, then start it again"
      ])
    world.request(.start(target: "manual", wait: false))
    world.run(.milliseconds(500))
    #expect(world.service("manual")?.status == .starting)
    #expect(world.service("x")?.lastExit?.status == .exited(4))
  }

  @Test func aPersonsStopIsAReason() {
    let world = World(configuration([program("x")]))
    world.send(.boot)
    world.run(.seconds(2))
    world.request(.stop(target: "x", wait: true, now: false))
    world.run(.seconds(1))
    let health = world.core.health(at: world.now)
    #expect(health.status == .unhealthy)
    #expect(health.services[0].status == .stopped)
    #expect(health.reasons == ["x was stopped by client (pid 7, uid 0)"])
  }

  @Test func livezFailsOnlyWhenAFailureEndsTheSupervisor() {
    let world = World(
      configuration([
        program("x") {
          $0.critical = true
          $0.autorestart = .never
        }, program("y"),
      ])
    ) { name, _ in name == "x" ? Behaviour(life: .seconds(3), status: .exited(9)) : Behaviour(stopDelay: .seconds(2)) }
    world.send(.boot)
    world.run(.milliseconds(3500))
    let health = world.core.health(at: world.now)
    #expect(health.status == .stopped)
    #expect(!health.live.passed)
    #expect(health.live.reasons == ["x is critical and has failed: exit status 9; not expected"])
  }
}
