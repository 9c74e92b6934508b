@testable import SupervisorCore

/// Every deadline that begins in a world, whoever or whatever began it, found from what goes into the core and what comes out of it and not
/// from the core's own timers. Each is looked at whenever time is about to pass: what is due by then must have happened.
///
/// - `shutdown_timeout`, from the moment at which the shutdown begins: asked for, because of a critical failure, or by `start_timeout`;
///   SIGKILL for everything when half the reserve is left;
/// - `start_timeout`, from the boot on, while anything that is started at boot has never been up;
/// - `startsecs` and `ready_deadline`, from the spawn on; the exec status, which is waited for for 1 s;
/// - every step of a stop plan, and the signal that it promises; every step of a tree plan.
struct Deadlines {
  /// What is due of one program.
  private struct Due {
    var state = ProcessState.stopped
    /// The present run, as far as the core has been told.
    var spawned: Instant?
    var executing: Instant?
    var hasFailed = false
    var gone: Instant?
    /// The present step of the stop plan, its end, and its signal while that is not sent.
    var step = -1
    var stepEnd: Instant?
    var signal: Int32?
    var received: Set<Int32> = []
    /// The present step of the tree plan and its end.
    var treeStep = -1
    var treeEnd: Instant?
  }

  private var programs: [ProgramID: Due] = [:]
  /// What is to be up by the end of `start_timeout`; nil when people or a new configuration have had a hand in that.
  private var bootMembers: Set<ProgramID>? = []
  private var startEnd: Instant?
  private(set) var shutdownBegan: Instant?
  private var shutdownEnd: Instant?
  private var killAll: Instant?
  /// Programs whose failure must have begun a shutdown when the event is handled.
  private var failedCritical: [String] = []
  private var critical: Set<ProgramID> = []

  // MARK: What goes in and comes out

  mutating func willHandle(_ event: Event, in world: World) {
    switch event {
    case .boot:
      findCritical(in: world)
      guard !world.core.hasBooted, world.core.shutdown == nil else { break }
      bootMembers = Set(
        world.core.programs.filter { id in
          world.core.spec(of: id).map { $0.autostart && !isScheduled($0) } ?? false
        })
      startEnd = world.core.spec.startTimeout.flatMap { $0 > .zero ? world.instant + $0 : nil }
    case .request(_, .start, _), .request(_, .signal, _): break
    case .request, .reloaded: bootMembers = nil
    case .spawned(let run, _): change(run, in: world) { if $0.spawned == nil { $0.spawned = world.instant } }
    case .execSucceeded(let run): change(run, in: world) { if $0.executing == nil { $0.executing = world.instant } }
    case .spawnFailed(let run, _): change(run, in: world) { $0.hasFailed = true }
    case .exited(let run, _, _): change(run, in: world) { if $0.gone == nil { $0.gone = world.instant } }
    case .treeEnded(let run): change(run, in: world) { $0.treeEnd = nil }
    default: break
    }
  }

  /// Only what concerns the present run counts.
  private mutating func change(_ run: RunID, in world: World, _ body: (inout Due) -> Void) {
    guard world.current[run.program]?.id == run else { return }
    body(&programs[run.program, default: Due()])
  }

  mutating func published(_ record: EventRecord, in world: World) {
    guard let id = record.program, let spec = world.core.spec(of: id) else { return }
    var due = programs[id] ?? Due()
    if let state = record.to {
      due.state = state
      due.stepEnd = nil
      due.signal = nil
      if state == .stopping { due.step = -1 }
      if state == .running, !runsToCompletion(spec) { bootMembers?.remove(id) }
      if case .exited(_, expected: true, _) = record.cause, runsToCompletion(spec) { bootMembers?.remove(id) }
      if critical.contains(id), isFinalFailure(record, spec), shutdownBegan == nil {
        failedCritical.append(record.namespec)
      }
    }
    switch record.cause {
    case .stopSignal(let signal):
      due.step += 1
      let wait = due.step < spec.stopPlan.count ? spec.stopPlan[due.step].wait : .zero
      due.stepEnd = world.instant + max(.zero, wait)
      due.signal = signal
    case .killed where record.to == nil:
      due.stepEnd = nil
      due.signal = 9
    default: break
    }
    programs[id] = due
  }

  private mutating func findCritical(in world: World) {
    critical = Set(world.core.programs.filter { isCritical($0, in: world) })
  }

  private func isCritical(_ id: ProgramID, in world: World) -> Bool { world.core.spec(of: id)?.critical ?? false }

  private func isFinalFailure(_ record: EventRecord, _ spec: ProgramSpec) -> Bool {
    if record.to == .fatal { return true }
    guard record.to == .exited, case .exited(_, expected: false, _) = record.cause else { return false }
    return spec.autorestart == .never || isScheduled(spec)
  }

  mutating func performed(_ action: Action, in world: World) {
    switch action {
    case .spawn(let run):
      let state = programs[run.program]?.state ?? .starting
      programs[run.program] = Due(state: state)
    case .signal(let run, let signal, _):
      // A new stop plan holds at once, so a signal that had to wait for the exec status may be another one by now.
      let plan = world.core.spec(of: run.program)?.stopPlan ?? []
      change(run, in: world) {
        $0.received.insert(signal)
        let isOfStep = plan.indices.contains($0.step) && plan[$0.step].signal == signal
        if $0.signal == signal || isOfStep && $0.signal != 9 { $0.signal = nil }
      }
    case .endTree(let run, _):
      guard let plan = world.core.spec(of: run.program)?.treePlan else { break }
      change(run, in: world) {
        $0.treeStep += 1
        $0.treeEnd = world.instant + max(.zero, $0.treeStep < plan.count ? plan[$0.treeStep].wait : .zero)
      }
    case .killTree(let run): change(run, in: world) { $0.treeEnd = nil }
    case .programChanged(let id):
      if isCritical(id, in: world) { critical.insert(id) } else { critical.remove(id) }
    case .programRemoved(let id): programs[id] = nil
    default: break
    }
  }

  mutating func hasHandled(_ event: Event, in world: World) {
    switch event {
    case .reloaded, .request(_, .reload, _): findCritical(in: world)
    default: break
    }
    if shutdownBegan == nil, world.core.isShuttingDown {
      shutdownBegan = world.instant
      if let limit = world.core.spec.shutdownTimeout {
        shutdownEnd = world.instant + limit
        killAll = world.instant + (limit - Interval(nanoseconds: shutdownReserve(of: limit).nanoseconds / 2))
      }
      if let startEnd, world.instant < startEnd,
        case .failure(let text, SupervisorExit.startTimedOut)? = world.core.shutdown?.reason
      {
        world.defect("too early: \(text)")
      }
    }
    if shutdownBegan == nil, !failedCritical.isEmpty {
      world.defect("\(failedCritical) failed finally, is critical, and nothing is shut down")
    }
    failedCritical = []
    if let shutdownEnd, world.exitStatus != nil, world.instant > shutdownEnd {
      world.defect("ended \((world.instant - shutdownEnd).text) after the deadline of the shutdown by \(event)")
    }
  }

  // MARK: Time is about to pass

  /// What should have happened by now and has not.
  func check(in world: World) {
    let now = world.instant
    if let shutdownEnd, shutdownEnd <= now { world.defect("the deadline of the shutdown has passed: \(reason(world))") }
    if let startEnd, startEnd <= now, shutdownBegan == nil {
      let late = bootMembers ?? []
      if !late.isEmpty || !world.core.boot.isComplete { world.defect("start_timeout has passed without a shutdown") }
    }
    for (id, due) in programs
    where due.state == .starting || due.state == .stopping || due.treeEnd != nil || killAll != nil {
      guard let spec = world.core.spec(of: id) else { continue }
      check(due, spec, at: now, in: world)
    }
  }

  private func check(_ due: Due, _ spec: ProgramSpec, at now: Instant, in world: World) {
    let name = spec.namespec
    let isThere = due.spawned != nil && due.gone == nil
    if due.state == .starting {
      if let gone = due.gone, due.executing != nil || due.hasFailed || gone + .seconds(1) <= now {
        world.defect("\(name) has exited and is still STARTING")
      }
      if isThere, let end = startupEnd(due, spec), end <= now {
        world.defect("\(name) should not be STARTING any more")
      }
    }
    if due.state == .stopping, due.gone == nil {
      if let end = due.stepEnd, end <= now { world.defect("step \(due.step + 1) of the stop plan of \(name) is over") }
      if isThere, let signal = due.signal, signal == 9 || due.executing != nil {
        world.defect("\(name) was never sent signal \(signal)")
      }
    }
    if let end = due.treeEnd, end <= now {
      world.defect("step \(due.treeStep + 1) of the tree plan of \(name) is over")
    }
    if let killAll, killAll <= now, isThere, !due.received.contains(9) {
      world.defect("\(name) is alive without SIGKILL near the end of the shutdown: \(reason(world))")
    }
  }

  /// When it is up, or its attempt has failed, at the latest. nil: it may take as long as it likes.
  private func startupEnd(_ due: Due, _ spec: ProgramSpec) -> Instant? {
    guard let spawned = due.spawned, let executing = due.executing else { return nil }
    if runsToCompletion(spec) { return executing }
    if spec.readiness != nil { return spec.readyDeadline.map { max(spawned + $0, executing) } }
    return max(spawned + .seconds(Double(max(0, spec.startsecs))), executing)
  }

  private func runsToCompletion(_ spec: ProgramSpec) -> Bool { spec.kind != .service }
  private func isScheduled(_ spec: ProgramSpec) -> Bool { spec.kind != .service && spec.kind != .oneshot }
  private func reason(_ world: World) -> String { world.core.shutdown?.text ?? "" }
}
