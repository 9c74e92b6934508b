// What `hivesup check` prints: what would be started, when, on what condition, and how long stopping it may take.

import SupervisorCore

/// The plan of a configuration as text for people, lines ending in newlines: tiers with their programs, listeners,
/// deadlines.
public func describePlan(_ spec: SupervisorSpec) -> String {
  var plan = PlanPrinter(spec: spec)
  plan.printHead()
  plan.printTiers()
  plan.printListeners()
  plan.printDeadlines()
  return plan.text
}

private struct PlanPrinter {
  let spec: SupervisorSpec
  let tiers: [[Int]]
  var text = ""

  init(spec: SupervisorSpec) {
    self.spec = spec
    tiers = StartPlan(spec).tiers
  }

  private mutating func line(_ indent: Int, _ words: String) {
    text += String(repeating: "  ", count: indent) + words + "\n"
  }

  mutating func printHead() {
    line(0, "\(spec.container): \(count(spec.programs.count, "program")), \(count(spec.listeners.count, "listener"))")
    var log = spec.log.file.map { "\($0)" } ?? ""
    if !spec.log.silent { log += log.isEmpty ? "standard error" : " and standard error" }
    line(1, "file: \(spec.path)")
    line(1, "log: \(log.isEmpty ? "nowhere" : log), level \(spec.log.level.tag)")
    line(1, "control socket: \(spec.controlSocket ?? "none")")
    if let user = spec.user { line(1, "user: \(user)") }
    if let pidfile = spec.pidfile { line(1, "pid file: \(pidfile)") }
    var own = PinningSpec()
    own.cpus = spec.cpus
    if own.choosesCPUs { line(1, "runs on: \(SupervisorConfig.describe(own)), its programs do not") }
    if !spec.log.silent, spec.log.format != .raw { line(1, "log format: \(spec.log.format.rawValue)") }
  }

  mutating func printTiers() {
    for (number, tier) in tiers.enumerated() {
      let programs = tier.compactMap { spec.programs.indices.contains($0) ? spec.programs[$0] : nil }
      let priorities = Set(programs.map(\.groupPriority)).sorted().map(String.init).joined(separator: ", ")
      line(0, "")
      line(0, "tier \(number + 1) (priority \(priorities))")
      for program in programs { printProgram(program) }
    }
  }

  private mutating func printProgram(_ program: ProgramSpec) {
    var traits = [describe(program.kind)]
    if !program.autostart { traits.append("not started by itself") }
    if program.critical { traits.append("critical") }
    line(1, "\(program.namespec): \(traits.joined(separator: ", "))")
    let execution = program.execution
    line(2, "command: \(shellQuoted(execution.arguments))")
    if let user = execution.user { line(2, "user: \(user)") }
    if let user = execution.userIfRoot { line(2, "user: \(user) where hivesup runs as root") }
    if let directory = execution.directory { line(2, "directory: \(directory)") }
    let place = SupervisorConfig.describe(program.pinning)
    if !place.isEmpty { line(2, "runs on: \(place)") }
    let scheduling = describeScheduling(program)
    if !scheduling.isEmpty { line(2, "scheduled with: \(scheduling)") }
    if !program.dependencies.isEmpty {
      let words = program.dependencies.map { "\($0.program) \(describe($0.condition))" }
      line(2, "starts when: \(words.joined(separator: ", "))")
    }
    if let check = program.readiness {
      let limit = program.readyDeadline.map { ", within \(seconds($0))" } ?? ""
      line(2, "ready when: \(describe(check))\(limit)")
    } else if program.kind == .service {
      line(2, program.startsecs > 0 ? "up when: it has run for \(program.startsecs) s" : "up when: it is started")
    }
    if let check = program.liveness { line(2, "alive while: \(describe(check))") }
    if program.kind == .service { line(2, "restarts: \(restarts(program))") }
    line(2, "stops by: \(describe(program.stopPlan, asGroup: program.stopasgroup))")
    line(
      2,
      "output: \(describe(program.stdout)); errors: \(program.redirectStderr ? "with the output" : describe(program.stderr))"
    )
  }

  mutating func printListeners() {
    guard !spec.listeners.isEmpty else { return }
    line(0, "")
    line(0, "listeners")
    for listener in spec.listeners {
      let owner = listener.program.map { "accepted by \($0)" } ?? "accepted by no program"
      let fallback = listener.fallback == .health ? "health while it does not" : "connections wait while it does not"
      line(
        1,
        "\(listener.name): \(SupervisorConfig.describe(listener.address)), \(owner), \(fallback), backlog \(listener.backlog)"
      )
    }
  }

  mutating func printDeadlines() {
    line(0, "")
    line(0, "deadlines")
    line(
      1,
      "start: " + (spec.startTimeout.map { "everything is ready within \(seconds($0)), or all is stopped" } ?? "none"))
    let budget = StopBudget(spec)
    guard !budget.longest.isEmpty else {
      line(1, "stop: nothing stays up")
      return
    }
    guard let timeout = spec.shutdownTimeout, let available = budget.available else {
      line(1, "stop: no deadline for all; at worst \(budget.sum)")
      return
    }
    line(
      1,
      "stop: all within \(seconds(timeout)), of which \(seconds(timeout - available)) are kept for what is left at the end: \(seconds(available)) for stop plans"
    )
    guard budget.share != nil else {
      line(2, "at worst \(budget.sum): fits, \(seconds(available - budget.total)) to spare")
      return
    }
    // The core shortens all plans in proportion; a tier that ends early leaves its time to the later ones.
    line(
      2,
      "at worst \(budget.sum): \(seconds(budget.total - available)) too much, so every step would be shortened to \(budget.percent) %"
    )
    for (_, program) in budget.longest {
      line(3, "\(program.namespec): \(describe(budget.shortened(program), asGroup: false))")
    }
  }

  private func count(_ number: Int, _ noun: String) -> String { "\(number) \(noun)\(number == 1 ? "" : "s")" }

  private func describe(_ kind: ProgramSpec.Kind) -> String {
    switch kind {
    case .service: "service"
    case .oneshot: "oneshot"
    case .scheduled(let schedule): "scheduled at \(schedule.expression) (\(schedule.zoneName))"
    }
  }

  private func describe(_ condition: Dependency.Condition) -> String {
    switch condition {
    case .started: "is started"
    case .ready: "is ready"
    case .completed: "has completed"
    case .healthy: "is healthy"
    }
  }

  private func describe(_ check: CheckSpec) -> String {
    let times = "every \(seconds(check.interval)), \(seconds(check.timeout)) each, \(count(check.failures, "failure"))"
    switch check.probe {
    case .notify: return "it says so (sd_notify)"
    case .notifyDescriptor(let descriptor): return "it writes a newline to descriptor \(descriptor)"
    case .postgres(let probe): return "postgres answers on \(probe.socketPath) (\(times))"
    case .http(let probe):
      return "GET \(probe.target) on \(SupervisorConfig.describe(probe.address)) succeeds (\(times))"
    case .tcp(let host, let port):
      return "\(SupervisorConfig.describe(.tcp(host: host, port: port))) accepts (\(times))"
    case .unix(let path): return "\(path) accepts (\(times))"
    case .exec(let words): return "\(shellQuoted(words)) exits with 0 (\(times))"
    }
  }

  private func restarts(_ program: ProgramSpec) -> String {
    let delays =
      program.backoff.map {
        "after \(seconds($0.initial)) growing by \($0.factor) to \(seconds($0.maximum))"
      } ?? "after 1 s, 2 s, 3 s, …"
    let attempts =
      program.startretries < 0 ? "without end" : "\(count(program.startretries, "further attempt")) to start"
    switch program.autorestart {
    case .never: return "never once it is up; \(attempts), \(delays)"
    case .always: return "always; \(attempts), \(delays)"
    case .unexpected:
      let codes = program.exitcodes.map(String.init).joined(separator: ", ")
      return "\(codes.isEmpty ? "after every exit" : "unless it exits with \(codes)"); \(attempts), \(delays)"
    }
  }

  private func describe(_ plan: [StopStep], asGroup: Bool) -> String {
    var words = plan.map { "\(signalName($0.signal)) \(seconds(max($0.wait, .zero)))" }
    words.append("SIGKILL")
    return words.joined(separator: " → ") + (asGroup ? ", to the whole process group" : "")
  }

  private func describe(_ log: LogSpec) -> String {
    switch log.sink {
    case .automatic: return "a file in \(spec.childLogDirectory)\(rotation(log))"
    case .discard: return "nowhere"
    case .file(let path): return "\(path)\(rotation(log))"
    case .descriptor(let number):
      return (number == 1 ? "standard output" : "standard error")
        + (log.format == .raw ? "" : " as \(log.format.rawValue)")
    }
  }

  private func rotation(_ log: LogSpec) -> String {
    log.maxBytes > 0 ? " (rotated at \(log.maxBytes) bytes, \(log.backups) kept)" : ""
  }
}
