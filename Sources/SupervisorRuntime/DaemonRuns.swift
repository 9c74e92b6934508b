// One run of one program: from the core's `.spawn` to its `.releaseRun`.

import CHiveSys
import Glibc
import SupervisorCore

extension Daemon {
  /// What belongs to one run.
  final class Run {
    let id: RunID
    let tag: RunTag
    var pid: Int32 = 0
    var pumps: [LogPump] = []
    var notifyDescriptor: NotifyDescriptor?
    var pendingStart: Registration?
    var probes: [CheckRole: RunningProbe] = [:]
    /// A start whose outcome came after the process's end would otherwise be told twice.
    var outcomeTold = false
    /// We sent SIGKILL ourselves.
    var killSent = false

    init(id: RunID, tag: RunTag) {
      self.id = id
      self.tag = tag
    }
  }

  /// Starts the program of this run and tells the core how that went.
  func spawn(_ id: RunID) {
    guard let spec = core.spec(of: id.program) else { return }
    let begun = Clock.instant()
    defer { spawnTimes.add(Clock.instant() - begun) }
    let run = Run(id: id, tag: tags.take())
    var request = SpawnRequest(spec.execution)
    request.tag = run.tag
    request.descriptors.append(ChildDescriptor(silentInput.readEnd, as: 0))
    var ours: [Int32] = []
    defer { for descriptor in ours { close(descriptor) } }
    var pipes: [(OutputPipe, ProgramOutput)] = []
    var notifyPipe: OutputPipe?
    do throws(SystemError) {
      let sinks = try outputs(of: id.program, spec)
      let out = try OutputPipe()
      pipes.append((out, sinks.stdout))
      ours.append(out.writeEnd)
      request.descriptors.append(ChildDescriptor(out.writeEnd, as: 1))
      if spec.redirectStderr {
        request.descriptors.append(ChildDescriptor(out.writeEnd, as: 2))
      } else {
        let err = try OutputPipe()
        pipes.append((err, sinks.stderr))
        ours.append(err.writeEnd)
        request.descriptors.append(ChildDescriptor(err.writeEnd, as: 2))
      }
      if case .notifyDescriptor(let number) = spec.readiness?.probe {
        let pipe = try OutputPipe()
        notifyPipe = pipe
        ours.append(pipe.writeEnd)
        request.descriptors.append(ChildDescriptor(pipe.writeEnd, as: number))
      }
    } catch {
      for (pipe, _) in pipes { close(pipe.readEnd) }
      send(
        .spawnFailed(
          id,
          SpawnFailure(
            stage: .prepare, errno: error.errno, text: "\(error)", isShortage: error.isShortage)))
      return
    }
    addListeners(of: spec, to: &request)
    addNotification(of: spec, to: &request)
    if let path = core.spec.controlSocket { request.environment.append(EnvironmentEntry("HIVESUP_SOCKET", path)) }

    addPinning(of: id.program, to: &request)
    let cgroup = cgroups?.cgroup(for: spec.namespec)
    request.cgroup = cgroup?.descriptor

    let outcome = spawner.start(request)
    switch outcome {
    case .failed(let failure, let pid):
      for (pipe, _) in pipes { close(pipe.readEnd) }
      if let notifyPipe { close(notifyPipe.readEnd) }
      if let pid { reaper.discard(pid) }
      send(.spawnFailed(id, failure))
    case .spawned(let child):
      run.pid = child.pid
      runs[id] = run
      tree.add(id, child, tag: run.tag, cgroup: cgroup)
      attach(pipes, notifyPipe, to: run)
      send(.spawned(id, pid: child.pid))
      if let pending = child.pending {
        watch(pending, of: run)
      } else {
        run.outcomeTold = true
        started(id.program, child.refused)
        send(.execSucceeded(id))
      }
    }
  }

  private func attach(_ pipes: [(OutputPipe, ProgramOutput)], _ notifyPipe: OutputPipe?, to run: Run) {
    for (pipe, output) in pipes {
      do throws(SystemError) {
        run.pumps.append(try LogPump(loop: loop, buffer: readBuffer, readEnd: pipe.readEnd, output: output))
      } catch {
        close(pipe.readEnd)
        log.error("cannot read the output of '\(output.program)': \(error)")
      }
    }
    guard let notifyPipe else { return }
    let id = run.id
    do throws(SystemError) {
      run.notifyDescriptor = try NotifyDescriptor(loop: loop, readEnd: notifyPipe.readEnd) { [weak self] in
        self?.send(.notification(id, .ready))
      }
    } catch {
      close(notifyPipe.readEnd)
      log.error("cannot wait for the readiness of run \(id.run): \(error)")
    }
  }

  /// Only where the kernel is emulated: the outcome of the start comes later.
  private func watch(_ pending: PendingStart, of run: Run) {
    let id = run.id
    let registration = try? loop.add(pending.descriptor, .readable) { [weak self] _ in self?.conclude(pending, id) }
    if let registration {
      run.pendingStart = registration
    } else {
      conclude(pending, id)
    }
  }

  private func conclude(_ pending: PendingStart, _ id: RunID) {
    guard let result = spawner.conclude(pending) else { return }
    guard let run = runs[id] else { return }
    if let registration = run.pendingStart { loop.remove(registration) }
    run.pendingStart = nil
    guard !run.outcomeTold else { return }
    run.outcomeTold = true
    switch result {
    case .success(let refused):
      started(id.program, refused)
      send(.execSucceeded(id))
    case .failure(let failure): send(.spawnFailed(id, failure))
    }
  }

  /// The listeners that name this program, as descriptors from 3 on (sd_listen_fds(3)).
  private func addListeners(of spec: ProgramSpec, to request: inout SpawnRequest) {
    let mine = listeners.filter { $0.isFor(spec) }
    guard !mine.isEmpty else { return }
    for (index, bound) in mine.enumerated() {
      request.descriptors.append(ChildDescriptor(bound.listener.descriptor, as: 3 + Int32(index)))
    }
    request.environment.append(EnvironmentEntry("LISTEN_FDS", "\(mine.count)"))
    request.environment.append(
      EnvironmentEntry("LISTEN_FDNAMES", mine.map(\.spec.name).joined(separator: ":")))
    request.pidVariables.append("LISTEN_PID")
  }

  private func addNotification(of spec: ProgramSpec, to request: inout SpawnRequest) {
    guard let notifySocket else { return }
    let liveness = spec.liveness
    // A PostgreSQL that was built with sd_notify tells when to look; without, it passes this over.
    var isPostgres = false
    if case .postgres = spec.readiness?.probe { isPostgres = true }
    guard isPostgres || spec.readiness?.probe == .notify || liveness?.probe == .notify else { return }
    request.environment.append(EnvironmentEntry("NOTIFY_SOCKET", notifySocket.address))
    guard let liveness, liveness.probe == .notify else { return }
    // sd_watchdog_enabled(3): the program should say WATCHDOG=1 at half of this; it is due within each interval of the check.
    let limit = liveness.interval.nanoseconds / 1000
    request.environment.append(EnvironmentEntry("WATCHDOG_USEC", "\(limit)"))
    request.pidVariables.append("WATCHDOG_PID")
  }

  // MARK: Its end

  /// A watched process was reaped.
  func processExited(_ id: RunID, _ pid: Int32, _ status: ExitStatus) {
    if let ended = commandEnds.removeValue(forKey: id) {
      tree.release(id)
      return ended(status)
    }
    guard let run = runs[id] else { return }
    // What it said before it ended is heard before its end is.
    run.notifyDescriptor?.drain()
    for pump in run.pumps { pump.processEnded() }
    let oomKilled = status.wasKilled && !run.killSent && memory.explainsKill(at: Clock.instant())
    send(.exited(id, status, oomKilled: oomKilled))
  }

  /// Signals a run's main process or its group.
  func signal(_ id: RunID, _ number: Int32, _ scope: SignalScope) {
    guard let run = runs[id] else { return }
    if number == SIGKILL { run.killSent = true }
    let outcome = scope == .group ? tree.signalGroup(id, number) : tree.signalMain(id, number)
    if outcome != 0 && outcome != ESRCH {
      send(.signalFailed(id, signal: number, text: errorText(outcome)))
    }
  }

  /// Nothing of the run is left, or what is left does not concern us any more.
  func release(_ id: RunID) {
    cancelProbes(id)
    guard let run = runs.removeValue(forKey: id) else { return }
    if let registration = run.pendingStart { loop.remove(registration) }
    run.notifyDescriptor?.close()
    // Pipes that a daemonised child still holds are read until it lets go.
    for pump in run.pumps where pump.isOpen { keepReading(pump) }
    tree.release(id)
  }

  private func keepReading(_ pump: LogPump) {
    let key = ObjectIdentifier(pump)
    orphanPumps[key] = pump
    pump.onEnd = { [weak self] in self?.orphanPumps[key] = nil }
  }

  // MARK: sd_notify

  func openNotifySocket() {
    do throws(SystemError) {
      notifySocket = try NotifySocket(loop: loop) { [weak self] sender, notification in
        self?.notified(sender, notification) ?? false
      }
    } catch {
      log.error("\(error): programs with ready=notify will not be seen to be ready")
    }
  }

  /// Whether the sender belongs to a run: its main process, or a descendant.
  private func notified(_ sender: NotifySender, _ notification: Notification) -> Bool {
    guard let id = tree.run(ofMain: sender.pid) ?? tree.run(containing: sender.pid) else { return false }
    if notification.isReady { send(.notification(id, .ready)) }
    if notification.isReloading { send(.notification(id, .reloading)) }
    if notification.isStopping { send(.notification(id, .stopping)) }
    if notification.isAlive { send(.notification(id, .watchdog)) }
    if notification.wantsRestart { send(.notification(id, .watchdogTrigger)) }
    if let status = notification.status { send(.notification(id, .status(status))) }
    return true
  }

  // MARK: Probes

  func probe(_ id: RunID, _ role: CheckRole, timeout: Interval) {
    guard let run = runs[id], let spec = core.spec(of: id.program) else { return }
    guard let check = role == .ready ? spec.readiness : spec.liveness else { return }
    run.probes[role]?.cancel()
    run.probes[role] = probes.start(
      check.probe, timeout: timeout,
      execute: { [weak self] arguments, ended throws(SpawnFailure) in
        guard let self else {
          throw SpawnFailure(stage: .prepare, errno: 0, text: "cannot run a check: stopping", isShortage: false)
        }
        return try self.runCommand(arguments, of: id.program, spec, ended: ended)
      },
      completion: { [weak self] result in
        self?.runs[id]?.probes[role] = nil
        self?.send(.probeFinished(id, role, result))
      })
  }

  func cancelProbes(_ id: RunID) {
    guard let run = runs[id] else { return }
    for probe in run.probes.values { probe.cancel() }
    run.probes = [:]
  }

  /// Runs the command of an `exec` check as the program itself would run.
  private func runCommand(
    _ arguments: [String], of program: ProgramID, _ spec: ProgramSpec, ended: @escaping (ExitStatus, String) -> Void
  ) throws(SpawnFailure) -> ProbeCommand {
    let begun = Clock.instant()
    defer { spawnTimes.add(Clock.instant() - begun) }
    var execution = spec.execution
    execution.arguments = arguments
    var request = SpawnRequest(execution)
    addPinning(of: program, to: &request)
    let tag = tags.take()
    request.tag = tag
    let output = ProgramOutput(program: spec.name, stream: "check", tailBytes: 1024)
    let pipe: OutputPipe
    do throws(SystemError) {
      pipe = try OutputPipe()
    } catch {
      throw SpawnFailure(stage: .pipe, errno: error.errno, text: "\(error)", isShortage: error.isShortage)
    }
    request.descriptors = [ChildDescriptor(pipe.writeEnd, as: 1), ChildDescriptor(pipe.writeEnd, as: 2)]
    defer { close(pipe.writeEnd) }
    switch spawner.start(request) {
    case .failed(let failure, let pid):
      close(pipe.readEnd)
      if let pid { reaper.discard(pid) }
      throw failure
    case .spawned(let child):
      let id = RunID(program: ProgramID(.max), run: nextCommandRun)
      nextCommandRun &+= 1
      let pump = try? LogPump(loop: loop, buffer: readBuffer, readEnd: pipe.readEnd, output: output)
      if pump == nil { close(pipe.readEnd) }
      tree.add(id, child, tag: tag)
      commandEnds[id] = { status in
        pump?.close()
        ended(status, String(decoding: output.tail.tail(1024).bytes, as: UTF8.self))
      }
      return ProbeCommand { [weak self] in
        guard let self, self.commandEnds[id] != nil else { return }
        self.commandEnds[id] = { _ in pump?.close() }
        self.tree.signal(id, SIGKILL)
      }
    }
  }
}

extension ExitStatus {
  /// Ended by SIGKILL, which is how the kernel's out-of-memory killer ends processes.
  var wasKilled: Bool {
    if case .signaled(SIGKILL, _) = self { true } else { false }
  }
}
