// Where programs run and how they are scheduled: set at their start, changed while they run, and set again when the machine's CPUs change.

import CHiveSys
import CPUTopology
import ControlProtocol
import Glibc
import SupervisorCore

extension Daemon {
  // MARK: At a start

  /// Puts the program's CPUs, policy and priorities into the request of its start.
  func addPinning(of id: ProgramID, to request: inout SpawnRequest) {
    guard let pinning = core.pinning(of: id), let priorities = core.priorities(of: id) else { return }
    request.policy = pinning.policy
    request.execution.nice = priorities.nice
    request.execution.ionice = priorities.ionice
    request.cpus = cpus(for: id, pinning)
    if let home = pins.own.moved {
      if request.cpus == nil { request.cpus = home.forChild() }
      request.environment.append(EnvironmentEntry(HomeCPUs.variable, home.text))
    }
  }

  /// It has been started; this is what the kernel refused.
  func started(_ id: ProgramID, _ refused: [RefusedSetting]) {
    guard let spec = core.spec(of: id), let pinning = core.pinning(of: id), let priorities = core.priorities(of: id)
    else { return }
    if pinning == PinningSpec() && priorities == Priorities() && refused.isEmpty && pins.entries[id] == nil { return }
    pins[id].priorities = priorities
    pins[id].policy = pinning.policy
    pins.note(id, refused, of: Set(RefusedSetting.Setting.allCases))
    for one in refused { say(one, of: spec) }
  }

  /// The CPUs that a program gets; nil: those that the supervisor was started with, which every child has anyway where it has not moved.
  private func cpus(for id: ProgramID, _ pinning: PinningSpec) -> CPUSet? {
    guard pinning.choosesCPUs else {
      if pins.entries[id] != nil {
        pins[id].placement = nil
        pins[id].cpus = nil
      }
      return nil
    }
    watchCPUs()
    lookAtCPUs()
    let placement = pins.view.placement(pinning)
    sayOverrideProblems()
    pins[id].placement = placement
    let isWhole = placement.cpus.isEmpty || placement.cpus == pins.own.allowed()
    pins[id].cpus = isWhole ? nil : placement.cpus
    if let spec = core.spec(of: id) { explain(placement, pinning, of: spec) }
    return pins[id].cpus
  }

  /// Once for each.
  func sayOverrideProblems() {
    for problem in pins.view.overrideProblems where pins.isNew(problem) {
      log.error("\(problem); the cores' classes are what was detected")
    }
  }

  /// Whether the CPUs are not those that were asked for, in a way that is worth telling. Where all cores are alike every class is all of them.
  func isFallback(_ placement: Placement, _ pinning: PinningSpec) -> Bool {
    if case .classes = pinning.cpus, !pins.view.isHybrid { return false }
    return !placement.reasons.isEmpty
  }

  /// Says once why the CPUs are not those that were asked for.
  private func explain(_ placement: Placement, _ pinning: PinningSpec, of spec: ProgramSpec) {
    guard isFallback(placement, pinning) else { return }
    let text =
      "'\(spec.namespec)' asks for \(pinning.cpusText) and runs on CPU \(placement.cpus.list): \(placement.explanation)"
    if pins.isNew(text) { log.info(text) }
  }

  /// Once for each program and cause.
  private func say(_ refused: RefusedSetting, of spec: ProgramSpec) {
    let what =
      refused.whileRunning
      ? "'\(spec.namespec)' stays as it was until it is started again" : "'\(spec.namespec)' runs without"
    let text = "\(what): \(refused.text)" + (refused.remedy.map { "; what would allow it: \($0)" } ?? "")
    if pins.isNew(text) { log.warn(text) }
  }

  // MARK: While it runs

  /// What was asked for has changed: sets it for every thread of the run.
  func pin(_ run: RunID) {
    guard let spec = core.spec(of: run.program), let pinning = core.pinning(of: run.program),
      let priorities = core.priorities(of: run.program)
    else { return }
    let before = pins[run.program]
    var settings = ThreadSettings()
    let wanted = cpus(for: run.program, pinning)
    if pinning.choosesCPUs || before.placement != nil { settings.cpus = wanted ?? pins.own.allowed() }
    if pinning.policy != before.policy { settings.policy = pinning.policy ?? ownPolicy() }
    if priorities.nice != before.priorities.nice {
      settings.nice = (priorities.nice ?? spawner.inherited.nice).map { Int32(clamping: $0) } ?? ownNice()
    }
    if priorities.ionice != before.priorities.ionice {
      settings.ioPriority = priorities.ionice?.kernelValue ?? max(hive_get_io_priority(0), 0)
    }
    guard !settings.isEmpty else { return }
    let outcome = settings.apply { self.tree.members(run) }
    pins[run.program].policy = pinning.policy
    pins[run.program].priorities = priorities
    conclude(outcome, settings, of: run.program, spec)
    log.info(
      "set for \(outcome.threads) threads of \(outcome.processes) processes of '\(spec.namespec)': \(text(settings))")
  }

  private func conclude(_ outcome: ThreadOutcome, _ settings: ThreadSettings, of id: ProgramID, _ spec: ProgramSpec) {
    var touched: Set<RefusedSetting.Setting> = []
    if settings.cpus != nil { touched.insert(.cpus) }
    if settings.nice != nil { touched.insert(.nice) }
    if settings.policy != nil { touched.insert(.policy) }
    if settings.ioPriority != nil { touched.insert(.ioPriority) }
    let refused = RefusedSetting.Setting.allCases.compactMap { setting in
      outcome.refused[setting].map {
        RefusedSetting(setting, requested(setting, settings, spec), error: $0, whileRunning: true)
      }
    }
    pins.note(id, refused, of: touched)
    for one in refused { say(one, of: spec) }
  }

  private func requested(_ setting: RefusedSetting.Setting, _ settings: ThreadSettings, _ spec: ProgramSpec) -> String {
    switch setting {
    case .cpus: settings.cpus?.list ?? ""
    case .nice: settings.nice.map { "\($0)" } ?? ""
    case .policy: settings.policy?.text ?? ""
    case .ioPriority: settings.ioPriority.flatMap { IOPriority(kernel: $0) }?.text ?? "none"
    case .memoryPolicy: spec.execution.memoryPolicy?.text ?? ""
    }
  }

  private func text(_ settings: ThreadSettings) -> String {
    var parts: [String] = []
    if let cpus = settings.cpus { parts.append("CPU \(cpus.list)") }
    if let policy = settings.policy { parts.append("policy \(policy.text)") }
    if let nice = settings.nice { parts.append("nice \(nice)") }
    if let priority = settings.ioPriority { parts.append("I/O \(IOPriority(kernel: priority)?.text ?? "by nice")") }
    return parts.joined(separator: ", ")
  }

  private func ownNice() -> Int32 {
    var nice: Int32 = 0
    return hive_get_nice(0, &nice) == 0 ? nice : 0
  }

  private func ownPolicy() -> SchedulingPolicy {
    var (policy, priority): (Int32, Int32) = (0, 0)
    guard hive_get_policy(0, &policy, &priority) == 0 else { return .other }
    return SchedulingPolicy(kernel: policy, priority: priority) ?? .other
  }

  // MARK: When the machine's CPUs change

  /// From now on the kernel tells when CPUs come, go, or are taken from the container's cpuset.
  func watchCPUs() {
    guard pins.watch == nil else { return }
    let watch = CPUChangeWatch(loop: loop)
    watch.changed = { [weak self] in
      guard let self else { return }
      // Quick enough a change and its opposite leave the machine as it was, but not the threads' CPUs.
      if !self.lookAtCPUs() {
        self.placeSelf()
        self.pinAgain()
      }
    }
    pins.watch = watch
    log.debug(
      watch.sources.isEmpty
        ? "nothing tells when CPUs come and go: they are looked at when a program starts, or somebody asks"
        : "changes of the machine's CPUs are told by \(watch.sources.joined(separator: " and "))")
  }

  /// Looks whether the CPUs are what they were, and if not, moves every program that asks for some. Nothing is read as long as none does.
  @discardableResult
  func lookAtCPUs() -> Bool {
    let changes = pins.view.look()
    guard !changes.isEmpty else { return false }
    log.info("the CPUs that may be used have changed: \(changes.joined(separator: "; "))")
    placeSelf()
    pinAgain()
    return true
  }

  /// The kernel takes a thread's own CPUs away when none of them is left, and (before Linux 6.2) with every change of the cpuset. A thread
  /// that has chosen fewer of the program's CPUs for itself keeps them.
  private func pinAgain() {
    for run in runs.keys.sorted(by: { $0.program < $1.program }) {
      guard let spec = core.spec(of: run.program), let pinning = core.pinning(of: run.program), pinning.choosesCPUs,
        run == core.run(of: run.program)
      else { continue }
      let before = pins[run.program].cpus
      let placement = pins.view.placement(pinning)
      guard let own = pins.own.allowed(), !placement.cpus.isEmpty else { continue }
      pins[run.program].placement = placement
      pins[run.program].cpus = placement.cpus == own ? nil : placement.cpus
      let target = placement.cpus
      var settings = ThreadSettings()
      settings.cpus = target
      settings.keeps = { present in
        present == target
          || present.isSubset(of: target) && !(before.map { present == $0 || present == $0.intersection(own) } ?? false)
      }
      let outcome = settings.apply { self.tree.members(run) }
      conclude(outcome, settings, of: run.program, spec)
      explain(placement, pinning, of: spec)
    }
  }

  // MARK: How it is

  /// What was asked for and what the kernel has.
  func pinningDocument(of id: ProgramID, pid: Int32) -> PinningDocument {
    var document = PinningDocument()
    guard let spec = core.spec(of: id), let pinning = core.pinning(of: id), let priorities = core.priorities(of: id)
    else { return document }
    let entry = pins.entries[id]
    if pinning.choosesCPUs {
      document.requested = pinning.cpus.text
      document.threads = pinning.threads.rawValue
      document.explanation = entry?.placement?.explanation ?? ""
      document.isFallback = entry?.placement.map { isFallback($0, pinning) } ?? false
    }
    document.isLive = core.livePin(of: id) != nil
    document.policyRequested = pinning.policy?.text
    document.niceRequested = priorities.nice
    document.ioniceRequested = priorities.ionice?.text
    document.memoryPolicy = spec.execution.memoryPolicy?.text
    document.refused = (entry?.refused ?? []).map { RefusalDocument($0) }
    document.readKernel(pid, pinning.choosesCPUs ? entry?.placement : nil)
    return document
  }

  /// A program's document with what the kernel has.
  func document(_ program: ProgramSnapshot, at now: Moment) -> ProgramDocument {
    var document = ProgramDocument(program, at: now)
    document.pinning = pinningDocument(of: program.id, pid: program.pid)
    return document
  }

  /// What of it is worth a graph.
  func writePinning(_ programs: [ProgramSnapshot], to page: inout PrometheusWriter) {
    page.metric("hivesup_process_cpus", .gauge, help: "On how many CPUs the main process may run.")
    for program in programs where program.pid > 0 {
      guard let cpus = Affinity.current(of: program.pid) else { continue }
      page.sample("hivesup_process_cpus", [("name", program.namespec)], cpus.count)
    }
    if pins.own.moved != nil, let cpus = Affinity.current() {
      page.sample("hivesup_process_cpus", [("name", Daemon.ownName)], cpus.count)
    }
    page.metric(
      "hivesup_process_setting_refused", .gauge,
      help: "1 for what the kernel refused of a program's CPUs and priorities: it runs without.")
    for program in programs {
      for refused in pins.entries[program.id]?.refused ?? [] {
        page.sample(
          "hivesup_process_setting_refused", [("name", program.namespec), ("setting", refused.setting.rawValue)], 1)
      }
    }
    for refused in pins.own.refused.map({ [$0] }) ?? [] {
      page.sample(
        "hivesup_process_setting_refused", [("name", Daemon.ownName), ("setting", refused.setting.rawValue)], 1)
    }
    page.metric("hivesup_cpu_changes_total", .counter, help: "How often the CPUs that may be used were found changed.")
    page.sample("hivesup_cpu_changes_total", [], pins.view.changes)
  }
}

extension RefusalDocument {
  init(_ refused: RefusedSetting) {
    self.init(
      setting: refused.setting.rawValue, requested: refused.requested, message: refused.text, remedy: refused.remedy)
  }
}

extension PinningDocument {
  /// What the kernel has for a process.
  /// - Parameter placement: what was chosen for it; nil: nothing.
  mutating func readKernel(_ pid: Int32, _ placement: Placement?) {
    guard pid > 0 else { return }
    if let cpus = Affinity.current(of: pid) {
      self.cpus = cpus.list
      if let placement, placement.cpus == cpus { coreClass = placement.coreClass?.rawValue }
    }
    var (number, priority): (Int32, Int32) = (0, 0)
    if hive_get_policy(pid, &number, &priority) == 0 {
      policy = SchedulingPolicy(kernel: number, priority: priority)?.text ?? "\(number)"
    }
    var nice: Int32 = 0
    if hive_get_nice(pid, &nice) == 0 { self.nice = Int(nice) }
    let value = hive_get_io_priority(pid)
    if value >= 0 { ionice = IOPriority(kernel: value)?.text ?? "none" }
  }
}

extension LivePin {
  /// What a client asks for; nil: as the configuration says.
  static func asked(_ request: PinRequest) throws(PinningProblem) -> LivePin? {
    if request.reset { return nil }
    var pin = LivePin()
    if let classes = request.coreClass { pin.cpus = try CPUDemand(classes: classes) }
    if let cpus = request.cpus { pin.cpus = try CPUDemand(cpus: cpus) }
    if let threads = request.threads { pin.threads = try ThreadUse(threads) }
    if let policy = request.policy { pin.policy = try SchedulingPolicy(policy) }
    if let nice = request.nice { pin.nice = try self.nice(nice) }
    if let ionice = request.ionice { pin.ionice = try IOPriority(ionice) }
    return pin
  }

  private static func nice(_ text: String) throws(PinningProblem) -> Int {
    guard let nice = Int(text), (-20...19).contains(nice) else {
      throw PinningProblem("'\(text)' is no nice value", remedy: "write a whole number from -20 (first) to 19 (last)")
    }
    return nice
  }
}
