// The body as a whole: one loop, one core, and the only way between them. Kernel → `send(event)` → `Supervisor.handle` → `perform(action)`.
//
// Events that actions cause (a spawn that succeeds at once, a tree that is empty) are queued behind the one being handled, so the core
// never sees an event in the middle of another, and no call nests.

import CHiveSys
import Glibc
import SupervisorConfig
import SupervisorCore

/// What `hivesupd` is started with.
public struct DaemonOptions {
  /// The configuration in force.
  public var spec: SupervisorSpec
  /// Reads the configuration again (HUP, `POST /v1/reload`): the new one, or the text of what is wrong with it.
  public var reread: () -> Result<SupervisorSpec, ConfigurationRefused>
  /// The program's own version.
  public var version: String

  /// Options.
  public init(
    spec: SupervisorSpec, version: String, reread: @escaping () -> Result<SupervisorSpec, ConfigurationRefused>
  ) {
    self.spec = spec
    self.version = version
    self.reread = reread
  }
}

/// A configuration that was read again and cannot be used.
public struct ConfigurationRefused: Error, Equatable, Sendable {
  /// Every error, one a line.
  public var text: String
  /// With this text.
  public init(_ text: String) { self.text = text }
}

/// The supervisor's body.
public final class Daemon {
  let loop: EventLoop
  let options: DaemonOptions
  let spawner: Spawner
  let reaper: Reaper
  let tree: ProcessTree
  let memory: OutOfMemoryCounter
  let pins: PinBoard
  let probes: ProbeRunner
  /// One cgroup for each program, where this is the container's PID 1 and may make them.
  let cgroups: ProgramCgroups?
  let log: MainLog
  let files = LogFiles()
  let readBuffer = ReadBuffer()
  /// The programs' standard input: a pipe that is never written and never closed, as supervisord's are to begin with. With /dev/null
  /// a program that reads its input (`cat`, a shell, many servers' consoles) would end at once.
  let silentInput: OutputPipe
  let standardOutput: ContainerOutput
  let standardError: ContainerOutput
  var core: Supervisor
  var tags = RunTagSource()
  var runs: [RunID: Run] = [:]
  var orphanPumps: [ObjectIdentifier: LogPump] = [:]
  var outputs: [ProgramID: Outputs] = [:]
  var listeners: [BoundListener] = []
  var notifySocket: NotifySocket?
  var control: ControlSocket?
  var server: HTTPServer?
  var publicServer: HTTPServer?
  var pendingAnswers: [RequestID: (CommandResult) -> Void] = [:]
  var eventFollowers: [UInt64: (EventRecord) -> Void] = [:]
  var nextRequest: UInt64 = 1
  var nextCommandRun: UInt32 = 1
  var commandEnds: [RunID: (ExitStatus) -> Void] = [:]
  var spawnTimes = SpawnTimes()
  var thermal: ThermalReport?
  var exitStatus: Int32?
  /// Whether the loop runs: nothing may wait any more.
  var hasStarted = false

  private var signals: Signals?
  private var clockWatch: Int32 = -1
  private var queue: [Event] = []
  private var queueHead = 0
  private var isHandling = false
  private var actions: [Action] = []
  private var coreTimer: TimerID?
  private var coreDeadline: Instant?
  private var pageTimer: TimerID?
  private var releasedAtWakeup: UInt64 = 0

  /// Sets everything up that can fail; nothing is started yet. `signals` is made first by `main`, so that no signal is lost.
  public init(_ options: DaemonOptions, loop: EventLoop) throws(StartupError) {
    self.options = options
    self.loop = loop
    let spec = options.spec
    do throws(SystemError) {
      spawner = try Spawner()
      silentInput = try OutputPipe()
      // Children expect a descriptor that waits.
      _ = fcntl(silentInput.readEnd, F_SETFL, 0)
    } catch {
      throw StartupError("\(error)")
    }
    probes = ProbeRunner(loop: loop)
    pins = PinBoard { name in getenv(name).map { String(cString: $0) } }
    standardOutput = ContainerOutput(loop: loop, descriptor: 1, format: spec.log.format)
    standardError = ContainerOutput(loop: loop, descriptor: 2, format: spec.log.format)
    var logFile: RotatingFile?
    if let path = spec.log.file {
      do throws(SystemError) {
        logFile = try files.file(path, maxBytes: spec.log.maxBytes, backups: spec.log.backups)
      } catch {
        throw StartupError("cannot open the log file: \(error)")
      }
    }
    log = MainLog(
      level: spec.log.level, file: logFile, container: spec.log.silent ? nil : standardError, format: spec.log.format,
      tailBytes: spec.tailBytes)
    core = Supervisor(spec: spec, at: Clock.now(), seed: Daemon.seed())
    tree = ProcessTree(loop: loop)
    reaper = Reaper(loop: loop, tree: tree)
    let place = CgroupPlace.detect()
    memory = OutOfMemoryCounter(place: place, loop: loop)
    cgroups = getpid() == 1 ? ProgramCgroups(place: place) : nil
    try finishInit()
  }

  private func finishInit() throws(StartupError) {
    if getpid() != 1 && hive_set_subreaper(1) != 0 {
      log.warn(
        "cannot become the reaper of orphans: \(errorText(errno)); what daemonises under a program is lost sight of")
    }
    reaper.exited = { [weak self] run, pid, status in self?.processExited(run, pid, status) }
    // "READY=1" and an exit at once: in this order.
    reaper.willReap = { [weak self] in self?.notifySocket?.drain() }
    reaper.orphan = { [weak self] pid, status in self?.log.debug("reaped unknown pid \(pid) (\(status.text))") }
    watchMemory()
    raiseLimits()
    prepareChildLogs()
    try bindListeners()
    openNotifySocket()
    try openControlSocket()
    watchClock()
    loop.beforeSleep = { [weak self] in
      self?.armCoreTimer()
      self?.armPageRelease()
    }
  }

  /// Handles signals, starts what is to be started, and runs until the core says exit. Returns the exit status.
  public func run(signals: Signals) -> Int32 {
    self.signals = signals
    hasStarted = true
    writePidfile()
    log.info("supervisord started with pid \(getpid())")
    placeSelf()
    send(.boot)
    reaper.reap()
    loop.run()
    tearDown()
    return exitStatus ?? SupervisorExit.success
  }

  /// A signal to the supervisor.
  public func received(_ signal: ReceivedSignal) {
    if signal.number == SIGCHLD {
      reaper.reap()
    } else {
      send(.signalReceived(signal.number, pid: signal.pid, uid: signal.uid))
    }
  }

  // MARK: Into the core and out of it

  /// Tells the core. Events come out in the order in which they went in.
  func send(_ event: Event) {
    queue.append(event)
    guard !isHandling else { return }
    isHandling = true
    while queueHead < queue.count {
      let next = queue[queueHead]
      queueHead += 1
      actions.removeAll(keepingCapacity: true)
      core.handle(next, at: Clock.now(), into: &actions)
      let batch = actions
      for action in batch { perform(action) }
    }
    queue.removeAll(keepingCapacity: queue.count <= 64)
    queueHead = 0
    isHandling = false
  }

  private func armCoreTimer() {
    let deadline = core.nextDeadline
    if deadline == coreDeadline && (coreTimer != nil || deadline == nil) { return }
    if let coreTimer { loop.cancel(coreTimer) }
    coreTimer = nil
    coreDeadline = deadline
    guard let deadline else { return }
    coreTimer = loop.schedule(at: deadline) { [weak self] in
      self?.coreTimer = nil
      self?.coreDeadline = nil
      self?.send(.timeReached)
    }
  }

  /// Starting (and a burst of requests) touches code that is not needed again for hours. A while after the loop was last busy, those
  /// pages are given back; nothing is armed while nothing happens.
  private func armPageRelease() {
    guard pageTimer == nil, loop.wakeups != releasedAtWakeup else { return }
    pageTimer = loop.schedule(after: Daemon.pageReleaseDelay) { [weak self] in
      guard let self else { return }
      self.pageTimer = nil
      hive_release_code_pages()
      // This very wake-up is no work.
      self.releasedAtWakeup = self.loop.wakeups
    }
  }

  private static let pageReleaseDelay = Interval.seconds(3)

  /// A schedule's next run is computed from the wall clock: when that is set, it is computed anew.
  private func watchClock() {
    guard options.spec.programs.contains(where: { if case .scheduled = $0.kind { true } else { false } }) else {
      return
    }
    clockWatch = hive_clock_watch()
    guard clockWatch >= 0 else { return }
    let descriptor = clockWatch
    _ = try? loop.add(descriptor, .readable) { [weak self] _ in
      var expirations: UInt64 = 0
      _ = read(descriptor, &expirations, 8)
      _ = hive_clock_watch_again(descriptor)
      self?.send(.timeReached)
    }
  }

  private static func seed() -> UInt64 {
    var generator = SystemRandomNumberGenerator()
    return generator.next()
  }

  // MARK: Beginning and end

  /// supervisord's minfds and minprocs: the soft limits are raised as far as the hard ones let them, and root raises those too. What
  /// children get is what was there before.
  private func raiseLimits() {
    for (name, wanted, key) in [
      ("nofile", options.spec.minimumDescriptors, "minfds"), ("nproc", options.spec.minimumProcesses, "minprocs"),
    ] where wanted > 0 {
      guard let resource = ResourceLimits.number(of: name) else { continue }
      let goal = UInt64(wanted)
      var (soft, hard): (UInt64, UInt64) = (0, 0)
      guard hive_get_limit(resource, &soft, &hard) == 0, soft < goal else { continue }
      spawner.inherited.limits.append(ResourceLimit(resource: name, soft: soft, hard: hard))
      if hive_set_limit(resource, goal, max(hard, goal)) == 0 { continue }
      _ = hive_set_limit(resource, min(goal, hard), hard)
      log.warn("cannot raise the limit \(name) to \(wanted): its hard limit is \(hard); raise that, or lower \(key)")
    }
  }

  private func writePidfile() {
    guard let path = options.spec.pidfile else { return }
    do throws(DirectoryRefused) {
      try ParentDirectory.make(for: path)
    } catch {
      log.critical("could not write pidfile \(path): \(error)")
      return
    }
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else {
      log.critical("could not write pidfile \(path): \(errorText(errno))")
      return
    }
    let text = Array("\(getpid())\n".utf8)
    _ = write(descriptor, text, text.count)
    close(descriptor)
  }

  private func tearDown() {
    if let path = options.spec.pidfile { unlink(path) }
    control?.close()
    // What killed leftovers said last.
    for pump in orphanPumps.values { pump.close() }
    cgroups?.removeDirectory()
    for bound in listeners { bound.listener.removeFile() }
    ContainerOutput.finish([standardOutput, standardError], within: .milliseconds(200))
  }
}

/// Why the daemon cannot start at all.
public struct StartupError: Error, CustomStringConvertible, Sendable {
  /// "cannot …".
  public var description: String
  /// With this text.
  public init(_ description: String) { self.description = description }
}
