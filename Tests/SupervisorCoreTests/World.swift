import Testing

@testable import SupervisorCore

/// How one run of a simulated program behaves.
struct Behaviour: Sendable {
  enum Spawn: Sendable {
    /// A process that executes its program.
    case ok
    /// No process: the failure comes at once.
    case refused(SpawnFailure)
    /// A process that cannot execute its program and exits with 127.
    case execFails(SpawnFailure)
  }
  var spawn = Spawn.ok
  /// How long clone and exec take to be reported.
  var execDelay = Interval.zero
  /// Deliver the exit before the exec status.
  var exitIsReportedFirst = false
  /// It exits by itself after this long. nil: it stays.
  var life: Interval?
  var status = SupervisorCore.ExitStatus.exited(0)
  var oomKilled = false
  /// How long it takes to exit on a stop signal. nil: it ignores them.
  var stopDelay: Interval? = .milliseconds(1)
  /// The status it exits with then; nil: terminated by the signal.
  var stopStatus: SupervisorCore.ExitStatus?
  /// Signals that it ignores even so.
  var ignores: Set<Int32> = []
  /// When its probes (or its notification) say that it is ready. nil: never.
  var readyAfter: Interval? = .milliseconds(5)
  /// From when on its ready probes fail again.
  var unreadyAfter: Interval?
  /// From when on it is hung. nil: never.
  var hangsAfter: Interval?
  var probeLatency = Interval.milliseconds(1)
  /// Probes are never answered.
  var probesAreLost = false
  /// It leaves processes behind, which exit on TERM after this long; nil: they need SIGKILL.
  var leavesBehind = false
  var leftStopDelay: Interval? = .milliseconds(1)
}

/// A runtime made of nothing: simulated processes, a simulated clock, and the checks that hold at every action.
final class World {
  final class Run {
    let id: RunID
    let behaviour: Behaviour
    let startedAt: Instant
    let notifies: Bool
    var pid: Int32 = 0
    var isDying = false
    /// The core has been told that there is no process.
    var isReportedGone = false
    /// The core has been told that there is a process.
    var isReportedSpawned = false
    var isReleased = false
    var leavesAlive: Bool
    init(_ id: RunID, _ behaviour: Behaviour, at instant: Instant, notifies: Bool) {
      self.id = id
      self.behaviour = behaviour
      startedAt = instant
      self.notifies = notifies
      leavesAlive = behaviour.leavesBehind
    }
  }

  private struct Entry {
    var time: UInt64
    var order: UInt64
    var body: (World) -> Void
  }

  var core: Supervisor
  private(set) var instant = Instant(nanoseconds: 1_000_000_000_000)
  /// What the wall clock is ahead of the monotonic one.
  var wallOffset: Int64 = 1_790_000_000_000_000_000
  var behave: (String, UInt32) -> Behaviour
  private var queue: [Entry] = []
  private var order: UInt64 = 0
  private var nextPid: Int32 = 100
  private(set) var runs: [RunID: Run] = [:]
  /// The present run of each program.
  private(set) var current: [ProgramID: Run] = [:]
  private(set) var records: [EventRecord] = []
  private var states: [ProgramID: ProcessState] = [:]
  private(set) var lines: [(LogLevel, String)] = []
  private(set) var actions: [(at: Instant, action: Action)] = []
  private(set) var answers: [RequestID: CommandResult] = [:]
  private(set) var listenerModes: [String: ListenerMode] = [:]
  private(set) var exitStatus: Int32?
  private(set) var exitedAt: Instant?
  private(set) var steps = 0
  var asked: Set<RequestID> = []
  var nextRequest: UInt64 = 0
  /// What a reload reads. nil: it cannot be read.
  var newSpec: SupervisorSpec?
  var isQuiet = false
  /// Prints everything: to look into one walk.
  var isTracing = false
  var defects: [String] = []
  private(set) var deadlines = Deadlines()
  private var sameInstant = 0
  private var isStuck = false
  private var completed: Set<ProgramID> = []
  private var wasUp: Set<RunID> = []

  init(
    _ spec: SupervisorSpec, seed: UInt64 = 1,
    _ behave: @escaping (String, UInt32) -> Behaviour = { _, _ in Behaviour() }
  ) {
    self.behave = behave
    core = Supervisor(
      spec: spec,
      at: Moment(instant: instant, wall: WallTime(nanoseconds: Int64(instant.nanoseconds) + wallOffset)), seed: seed)
  }

  var now: Moment {
    Moment(instant: instant, wall: WallTime(nanoseconds: Int64(clamping: instant.nanoseconds) &+ wallOffset))
  }

  func defect(_ text: String) {
    defects.append(text)
    if !isQuiet { Issue.record("\(text)") }
  }

  // MARK: Time

  func later(_ delay: Interval, _ body: @escaping (World) -> Void) {
    order += 1
    let entry = Entry(time: (instant + delay).nanoseconds, order: order, body: body)
    var low = 0
    var high = queue.count
    while low < high {  // latest first, so that the next one is at the end
      let middle = (low + high) / 2
      let other = queue[middle]
      if (other.time, other.order) > (entry.time, entry.order) { low = middle + 1 } else { high = middle }
    }
    queue.insert(entry, at: low)
  }

  func send(_ event: Event) {
    guard exitStatus == nil else { return }
    steps += 1
    if isTracing { print("\(instant.nanoseconds / 1_000_000 - 1_000_000) ms: \(event)".prefix(400)) }
    var list: [Action] = []
    deadlines.willHandle(event, in: self)
    core.handle(event, at: now, into: &list)
    if core.impossibleSituations > 0 { defect("impossible situation: \(lines.last?.1 ?? "") after \(event)") }
    for action in list { perform(action) }
    deadlines.hasHandled(event, in: self)
  }

  /// Lets time pass, at most this long, until nothing is left to happen.
  func run(_ length: Interval) {
    let end = instant + length
    while exitStatus == nil, !isStuck {
      let event = queue.last?.time ?? .max
      let timer = core.nextDeadline?.nanoseconds ?? .max
      let next = max(instant.nanoseconds, min(event, timer))
      guard min(event, timer) != .max, next <= end.nanoseconds else { break }
      if next > instant.nanoseconds {
        sameInstant = 0
        deadlines.check(in: self)
      } else {
        sameInstant += 1
      }
      if sameInstant > 20_000 {
        isStuck = true
        defect("no time passes: next deadline \(timer), now \(instant.nanoseconds)")
        return
      }
      instant = Instant(nanoseconds: next)
      if event <= next, let entry = queue.popLast() { entry.body(self) } else { send(.timeReached) }
    }
    if exitStatus == nil, end > instant {
      deadlines.check(in: self)
      instant = end
    }
  }

  // MARK: Requests and looks

  @discardableResult
  func request(_ command: Command) -> RequestID {
    nextRequest += 1
    let id = RequestID(nextRequest)
    asked.insert(id)
    send(.request(id, command, by: .client(pid: 7, uid: 0)))
    return id
  }

  /// What a request is answered at once. nil: it waits.
  func ask(_ command: Command) -> CommandResult? {
    let id = request(command)
    return answers[id]
  }

  func signal(_ signal: Int32) { send(.signalReceived(signal, pid: 0, uid: 0)) }
  func id(_ name: String) -> ProgramID { core.resolve(name)?.first ?? ProgramID(0) }
  func state(_ name: String) -> ProcessState? { core.snapshot(of: id(name), at: now)?.state }
  func snapshot(_ name: String) -> ProgramSnapshot? { core.snapshot(of: id(name), at: now) }
  func service(_ name: String) -> ServiceHealth? { core.health(at: now).services.first { $0.name == name } }
  func run(of name: String) -> Run? { current[id(name)] }
  func states(_ name: String) -> [ProcessState] { records.filter { $0.namespec == name }.compactMap(\.to) }
  func spawns(_ name: String) -> [Instant] {
    actions.filter { if case .spawn(let run) = $0.action { run.program == id(name) } else { false } }.map(\.at)
  }
  func signals(_ name: String) -> [Int32] {
    actions.compactMap {
      if case .signal(let run, let signal, _) = $0.action, run.program == id(name), signal != 18 { signal } else { nil }
    }
  }
  func has(_ line: String) -> Bool { lines.contains { $0.1 == line } }
  /// Milliseconds from `start` on.
  func since(_ start: Instant) -> Double { (instant - start).inMilliseconds }

  // MARK: Actions

  private func perform(_ action: Action) {
    if isTracing { print("    \(action)".prefix(300)) }
    if case .publish(let record) = action {
      if let last = records.last, record.seq != last.seq + 1 { defect("the event numbers have a gap") }
      records.append(record)
      deadlines.published(record, in: self)
      if let id = record.program, let state = record.to { states[id] = state }
      if record.to == .running, let id = record.program, let run = current[id] { wasUp.insert(run.id) }
      return
    }
    if case .log(let level, let text) = action {
      lines.append((level, text))
      return
    }
    actions.append((instant, action))
    deadlines.performed(action, in: self)
    if exitStatus != nil { defect("\(action) after the exit") }
    switch action {
    case .publish, .log, .reopenLogs, .programAdded, .programChanged, .pin: break
    case .spawn(let run): spawn(run)
    case .signal(let id, let signal, _): deliver(signal, to: id)
    case .endTree(let id, _): endTree(id, kill: false)
    case .killTree(let id): endTree(id, kill: true)
    case .releaseRun(let id):
      guard let run = runs[id] else { return defect("released \(id), which never was") }
      if !run.isReportedGone { defect("released \(id), which is alive") }
      if run.isReleased { defect("released \(id) twice") }
      run.isReleased = true
    case .probe(let id, let role, let timeout): probe(id, role, timeout)
    case .cancelProbes: break
    case .listener(let name, let mode): listenerModes[name] = mode
    case .rereadConfiguration(let who):
      if let newSpec {
        later(.zero) { $0.send(.reloaded(newSpec, by: who)) }
      } else {
        later(.zero) { $0.send(.reloadFailed("cannot parse it", by: who)) }
      }
    case .answer(let id, let result):
      if answers[id] != nil { defect("request \(id) was answered twice") }
      if !asked.contains(id) { defect("request \(id) was answered but never asked") }
      answers[id] = result
    case .programRemoved(let id):
      if let run = current[id], !run.isReleased {
        defect("program \(id) was removed while run \(run.id) is not released")
      }
      current[id] = nil
    case .endRemaining: endRemaining(kill: false)
    case .killRemaining: endRemaining(kill: true)
    case .exit(let status):
      exitStatus = status
      exitedAt = instant
    }
  }

  private func spawn(_ id: RunID) {
    guard let spec = core.spec(of: id.program) else { return defect("spawned a program that is not known") }
    if let before = current[id.program] {
      if !before.isReportedGone { defect("two runs of \(spec.namespec) at once") }
      if !before.isReleased { defect("\(spec.namespec) was started before what it left behind was gone") }
    }
    if core.isShuttingDown { defect("\(spec.namespec) was started during the shutdown") }
    checkDependencies(spec)
    let behaviour = behave(spec.name, id.run)
    let notifies: Bool
    switch spec.readiness?.probe {
    case .notify?, .notifyDescriptor?: notifies = true
    default: notifies = false
    }
    let run = Run(id, behaviour, at: instant, notifies: notifies)
    runs[id] = run
    current[id.program] = run
    completed.remove(id.program)
    let delay = behaviour.execDelay
    if case .refused(let failure) = behaviour.spawn {
      run.leavesAlive = false
      later(delay) {
        run.isReportedGone = true
        $0.send(.spawnFailed(id, failure))
      }
      return
    }
    nextPid += 1
    run.pid = nextPid
    let pid = nextPid
    later(delay) {
      run.isReportedSpawned = true
      $0.send(.spawned(id, pid: pid))
    }
    var exec = Event.execSucceeded(id)
    if case .execFails(let failure) = behaviour.spawn {
      exec = .spawnFailed(id, failure)
      run.leavesAlive = false
    }
    let execDelay = behaviour.exitIsReportedFirst ? delay + .milliseconds(3) : delay
    later(execDelay) { $0.send(exec) }
    if case .execFails = behaviour.spawn {
      die(run, .exited(127), after: delay + .milliseconds(1))
    } else if behaviour.exitIsReportedFirst {
      die(run, behaviour.status, after: delay + .milliseconds(1))
    } else {
      if let life = behaviour.life { later(delay + life) { $0.die(run, behaviour.status, after: .zero) } }
      if notifies, let ready = behaviour.readyAfter {
        later(ready) { if !run.isReportedGone { $0.send(.notification(id, .ready)) } }
      }
    }
  }

  /// Independent of the core's own evaluation: from what it published and what this world knows.
  private func checkDependencies(_ spec: ProgramSpec) {
    for dependency in spec.dependencies {
      // What is on its way out of the configuration is nobody's dependency any more.
      let others = core.records.filter {
        !$0.isRemoving && ($0.spec.program == dependency.program || $0.spec.namespec == dependency.program)
      }.map(\.id)
      if others.isEmpty { defect("\(spec.name) was started although \(dependency.program) does not exist") }
      for other in others {
        guard let run = current[other] else {
          defect("\(spec.name) was started before \(dependency.program) ever was")
          continue
        }
        let isCompletion = core.spec(of: other).map { $0.kind != .service } ?? false
        switch dependency.condition {
        case .started:
          if run.isReportedGone, !completed.contains(other) || !isCompletion {
            defect("\(spec.name) was started while \(dependency.program) is down")
          }
        case .ready, .healthy:
          let holds = isCompletion ? completed.contains(other) : !run.isReportedGone && wasUp.contains(run.id)
          if !holds { defect("\(spec.name) was started before \(dependency.program):\(dependency.condition.rawValue)") }
        case .completed:
          if !completed.contains(other) { defect("\(spec.name) was started before \(dependency.program):completed") }
        }
      }
    }
  }

  /// The process exits after a while, once.
  func die(_ run: Run, _ status: SupervisorCore.ExitStatus, after delay: Interval) {
    later(delay) {
      if run.isDying { return }
      run.isDying = true
      run.isReportedGone = true
      if case .exited(let code) = status, case .ok = run.behaviour.spawn, let spec = $0.core.spec(of: run.id.program),
        spec.exitcodes.contains(code)
      {
        $0.completed.insert(run.id.program)
      }
      $0.send(.exited(run.id, status, oomKilled: run.behaviour.oomKilled))
    }
  }

  /// The process of this program exits now.
  func kill(_ name: String, _ status: SupervisorCore.ExitStatus = .signaled(9, core: false)) {
    if let run = run(of: name), run.isReportedSpawned { die(run, status, after: .zero) }
  }

  private func deliver(_ signal: Int32, to id: RunID) {
    guard let run = runs[id] else { return defect("signalled \(id), which never was") }
    if run.isReportedGone || !run.isReportedSpawned { defect("signal \(signal) to \(id), which has no process") }
    let behaviour = run.behaviour
    if signal == 9 {
      die(run, .signaled(9, core: false), after: .milliseconds(1))
    } else if [1, 2, 3, 15].contains(signal), let delay = behaviour.stopDelay, !behaviour.ignores.contains(signal) {
      die(run, behaviour.stopStatus ?? .signaled(signal, core: false), after: delay)
    }
  }

  private func endTree(_ id: RunID, kill: Bool) {
    guard let run = runs[id] else { return defect("ended the tree of \(id), which never was") }
    if !run.isReportedGone { defect("ended the tree of \(id) while its main process is alive") }
    if run.isReleased { defect("ended the tree of \(id) after its release") }
    if !run.leavesAlive {
      later(.zero) { $0.send(.treeEnded(id)) }
    } else if kill || run.behaviour.leftStopDelay != nil {
      let delay = kill ? .milliseconds(1) : run.behaviour.leftStopDelay ?? .zero
      later(delay) {
        guard run.leavesAlive else { return }
        run.leavesAlive = false
        $0.send(.treeEnded(id))
      }
    }
  }

  private func endRemaining(kill: Bool) {
    let left = runs.values.filter { $0.leavesAlive && $0.isReportedGone }
    if left.isEmpty {
      later(.zero) { $0.send(.remainingEnded) }
    } else if kill || left.allSatisfy({ $0.behaviour.leftStopDelay != nil }) {
      let delay = kill ? .milliseconds(1) : left.compactMap(\.behaviour.leftStopDelay).max() ?? .zero
      later(delay) {
        for run in left { run.leavesAlive = false }
        $0.send(.remainingEnded)
      }
    }
  }

  private func probe(_ id: RunID, _ role: CheckRole, _ timeout: Interval) {
    guard let run = runs[id] else { return defect("probed \(id), which never was") }
    if run.isReportedGone || !run.isReportedSpawned { defect("probed \(id), which has no process") }
    // As it was when the probe was asked for: the same event may have gone on to stop the program.
    let state = states[id.program]
    if state != .running, role == .liveness || state != .starting {
      defect("\(role) probe of \(id) in state \(state?.name ?? "")")
    }
    if run.behaviour.probesAreLost { return }
    let latency = min(run.behaviour.probeLatency, timeout)
    later(latency) {
      let age = $0.instant - run.startedAt
      let hangs = run.behaviour.hangsAfter.map { age >= $0 } ?? false
      let isReady = run.behaviour.readyAfter.map { age >= $0 } ?? false
      let isUnready = run.behaviour.unreadyAfter.map { age >= $0 } ?? false
      let passed = role == .ready ? isReady && !isUnready && !hangs : !hangs
      $0.send(
        .probeFinished(
          id, role, ProbeResult(passed: passed, latency: latency, detail: passed ? "" : "connection refused")))
    }
  }
}

// MARK: Specs

func program(_ name: String, _ change: (inout ProgramSpec) -> Void = { _ in }) -> ProgramSpec {
  var spec = ProgramSpec(name: name, execution: ExecutionSpec(arguments: ["/bin/\(name)"]))
  change(&spec)
  return spec
}

func configuration(_ programs: [ProgramSpec], _ change: (inout SupervisorSpec) -> Void = { _ in }) -> SupervisorSpec {
  var spec = SupervisorSpec()
  spec.programs = programs
  spec.log.level = .debug
  change(&spec)
  return spec
}

let probed = CheckSpec(
  probe: .tcp(host: "127.0.0.1", port: 1), interval: .seconds(5), timeout: .seconds(1), failures: 3)
let notifying = CheckSpec(probe: .notify, interval: .seconds(5), timeout: .seconds(1), failures: 3)

let notFound = SpawnFailure(
  stage: .exec, errno: 2, text: "cannot execute /bin/x: No such file or directory", isShortage: false)
let shortage = SpawnFailure(
  stage: .clone, errno: 11, text: "cannot create a process: Resource temporarily unavailable", isShortage: true)
