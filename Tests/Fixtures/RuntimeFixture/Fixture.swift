import CHiveSys
import Glibc
import SupervisorCore
import SupervisorRuntime

/// A supervisor without policy: the runtime's pieces, and lists of what they told.
final class Fixture {
  let loop: EventLoop
  let tree: ProcessTree
  let reaper: Reaper
  let spawner: Spawner
  private(set) var signals: Signals?
  var tags = RunTagSource()
  var exits: [RunID: SupervisorCore.ExitStatus] = [:]
  var received: [ReceivedSignal] = []
  private var runs: UInt32 = 0

  static var scenarios: [String: (Fixture) -> ([String]) throws -> Void] {
    [
      "storm": Fixture.storm, "statuses": Fixture.statuses, "orphans": Fixture.orphans, "failures": Fixture.failures,
      "survivors": Fixture.survivors, "strangers": Fixture.strangers, "quiet": Fixture.quiet,
      "forkers": Fixture.forkers, "zombies": Fixture.zombies,
      "handover": Fixture.handover, "remaining": Fixture.remaining, "signals": Fixture.signals,
      "stopped": Fixture.stopped,
      "cgroup": Fixture.cgroup, "threads": Fixture.threads, "bench": Fixture.bench, "bench-stop": Fixture.benchStop,
      "bench-orphans": Fixture.benchOrphans, "group": Fixture.group, "inotify": Fixture.inotify,
      "shortage": Fixture.shortage,
      "postgres": Fixture.postgres,
      "doctor": Fixture.doctor, "doctor-trace": Fixture.doctorTrace,
    ]
  }

  init() throws {
    loop = try EventLoop()
    tree = ProcessTree(loop: loop)
    reaper = Reaper(loop: loop, tree: tree)
    spawner = try Spawner()
    _ = hive_set_subreaper(1)
    reaper.exited = { [unowned self] run, _, status in exits[run] = status }
    signals = try Signals(loop: loop) { [unowned self] signal in
      if signal.number == SIGCHLD { reaper.reap() } else { received.append(signal) }
    }
    // `HIVE_WITHOUT=bits` forces fallbacks, `HIVE_NO_CHILDREN_FILE` the search of the whole table.
    if let bits = getenv("HIVE_WITHOUT").flatMap({ UInt32(String(cString: $0)) }) {
      spawner.without = KernelFeatures(rawValue: bits)
      tree.without = KernelFeatures(rawValue: bits)
    }
    if getenv("HIVE_NO_CHILDREN_FILE") != nil { tree.listChildren = { _ in nil } }
  }

  /// Starts a command as a run of its own.
  @discardableResult
  func start(_ arguments: [String], user: String? = nil, cgroup: Cgroup? = nil, output: Int32? = nil) throws -> RunID {
    var execution = ExecutionSpec(arguments: arguments)
    execution.environment = [EnvironmentEntry("PATH", "/usr/bin:/bin")]
    execution.user = user
    runs += 1
    let run = RunID(program: ProgramID(runs), run: 1)
    var request = SpawnRequest(execution)
    let tag = tags.take()
    request.tag = tag
    request.cgroup = cgroup?.descriptor
    if let output { request.descriptors.append(ChildDescriptor(output, as: 1)) }
    switch spawner.start(request) {
    case .spawned(let child):
      tree.add(run, child, tag: tag, cgroup: cgroup)
      if let pending = child.pending { try watch(pending) }
    case .failed(let failure, let pid):
      if let pid { reaper.discard(pid) }
      throw failure
    }
    return run
  }

  /// Emulated kernels only: the outcome of a start arrives later.
  private func watch(_ pending: PendingStart) throws {
    var registration: Registration?
    registration = try loop.add(pending.descriptor, .readable) { [unowned self] _ in
      if let registration { loop.remove(registration) }
      if case .failure(let failure)? = spawner.conclude(pending) { print("late: \(failure.text)") }
    }
  }

  func shell(_ script: String, user: String? = nil, cgroup: Cgroup? = nil) throws -> RunID {
    try start(["/bin/sh", "-c", script], user: user, cgroup: cgroup)
  }

  /// Turns the loop until something is true, at most 20 s; says so when it never is.
  func turn(_ what: String, until condition: () -> Bool) {
    var isLate = false
    let timer = loop.schedule(after: .seconds(20)) { isLate = true }
    while !condition() && !isLate { loop.turn(wait: true) }
    loop.cancel(timer)
    if isLate { print("never: \(what)") }
  }

  /// Turns the loop until a run's main process has been reaped.
  func turnUntilExit(_ run: RunID) { turn("exit of \(run)") { exits[run] != nil } }

  /// Turns the loop for some time.
  func turn(for interval: Interval) {
    var isOver = false
    loop.schedule(after: interval) { isOver = true }
    while !isOver { loop.turn(wait: true) }
  }

  /// Turns the loop until a condition that nothing announces is true: looked at every few milliseconds.
  func poll(_ what: String, until condition: () -> Bool) {
    for _ in 0..<4000 {
      if condition() { return }
      turn(for: .milliseconds(5))
    }
    print("never: \(what)")
  }

  /// Ends a run with a signal and tells how that went.
  func end(_ run: RunID, _ signal: Int32) {
    var isEnded = false
    tree.end(run, signal: signal) { isEnded = true }
    turn("end of \(run)") { isEnded }
    print("left \(tree.members(run).count) empty \(tree.isEmpty(run))")
  }

  /// How many descriptors are open.
  var descriptors: Int {
    guard let directory = opendir("/proc/self/fd") else { return -1 }
    defer { closedir(directory) }
    var count = 0
    while readdir(directory) != nil { count += 1 }
    return count
  }

  /// How many children there are, zombies included.
  var children: Int { ProcessTable().children(of: getpid())?.count ?? -1 }
}
