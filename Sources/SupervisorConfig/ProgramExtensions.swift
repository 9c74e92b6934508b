// `[program:x]`: our own keys, which supervisord ignores.

import SupervisorCore

/// Reads what supervisord does not know.
func readExtensions(
  _ reader: SectionReader, _ input: ConfigurationInput, _ spec: inout ProgramSpec
) -> [PendingDependency] {
  spec.kind = readKind(reader, input)
  readChecks(reader, &spec)
  spec.backoff = reader.optional("backoff", backoffValue)
  spec.critical = reader.value("critical", false, booleanValue)
  if let plan = reader.optional("stop_plan", stopPlanValue) {
    spec.stopPlan = plan
    if let other = reader.firstSet(["stopsignal", "stopwaitsecs"]) {
      reader.warning(
        "stop_plan", "is used instead of \(other)", remedy: "remove \(other) where only hivesup reads the file")
    }
  }
  spec.treePlan = reader.value("tree_plan", spec.treePlan, treePlanValue)
  readExecution(reader, input, &spec.execution)
  readPinning(reader, &spec)
  return reader.value("depends_on", [], dependenciesValue)
}

/// `type`, `schedule` and `timezone`.
private func readKind(_ reader: SectionReader, _ input: ConfigurationInput) -> ProgramSpec.Kind {
  let name = reader.text("type").map { stripped($0).lowercased() } ?? "service"
  // Of whatever type: their values are looked at now, not when the type is right.
  let schedule = readSchedule(reader, input, isScheduled: name == "scheduled")
  if name == "service" || name == "oneshot" {
    for key in ["schedule", "timezone"] where reader.has(key) {
      reader.error(key, "has no effect without type=scheduled", remedy: "add type=scheduled, or remove \(key)")
    }
  }
  switch name {
  case "service": return .service
  case "oneshot": return .oneshot
  case "scheduled": return schedule.map { .scheduled($0) } ?? .oneshot
  default:
    reader.error(
      "type", "not a type: \(pythonRepresentation(name))", remedy: "write service, oneshot or scheduled",
      suggestion: nearest(to: name, among: ["service", "oneshot", "scheduled"]))
    return .service
  }
}

private func readSchedule(_ reader: SectionReader, _ input: ConfigurationInput, isScheduled: Bool) -> Schedule? {
  if isScheduled, !reader.has("schedule") {
    reader.error("type", "type=scheduled needs a schedule", remedy: "add schedule=, e.g. schedule=30 3 * * *")
  }
  let zoneName = reader.text("timezone").map(stripped) ?? "UTC"
  let zone = reader.converted(zoneName, "timezone") { name throws(ValueProblem) in try zoneValue(name, input) }
  guard let text = reader.text("schedule").map(stripped) else { return nil }
  let cron = reader.converted(text, "schedule") { text throws(ValueProblem) in
    do throws(CronError) {
      return try CronExpression(text)
    } catch {
      throw ValueProblem(
        "not a schedule: \(error.text)",
        remedy: "write minute, hour, day of month, month and day of week, e.g. 30 3 * * *")
    }
  }
  guard let zone, let cron else { return nil }
  return Schedule(expression: text, zoneName: zoneName, cron: cron, zone: zone)
}

/// A zone by its IANA name.
private func zoneValue(_ name: String, _ input: ConfigurationInput) throws(ValueProblem) -> TimeZoneRules {
  if name == "UTC" || name == "Etc/UTC" { return .utc }
  let isName =
    !name.isEmpty && !name.begins(with: "/") && name.utf8.count <= 64
    && split(name, on: "/").allSatisfy { part in
      !part.isEmpty && part != "." && part != ".."
        && part.utf8.allSatisfy {
          (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0)
            || "_+-.".utf8.contains($0)
        }
    }
  guard isName, let bytes = input.zoneInformation(name) else {
    throw ValueProblem(
      "cannot find the time zone \(pythonRepresentation(name))",
      remedy: "write an IANA name such as Europe/Berlin, and install the package tzdata")
  }
  do throws(TimeZoneError) {
    return try TimeZoneRules(tzif: bytes)
  } catch {
    throw ValueProblem(
      "cannot read the time zone \(pythonRepresentation(name)): \(error.text)",
      remedy: "install the package tzdata again")
  }
}

/// `ready` and `liveness` with what belongs to them.
private func readChecks(_ reader: SectionReader, _ spec: inout ProgramSpec) {
  spec.readiness = readCheck("ready", interval: .seconds(5), reader)
  spec.liveness = readCheck("liveness", interval: .seconds(10), reader)
  spec.readyDeadline = reader.optional("ready_deadline", optionalDurationValue) ?? nil
  if spec.readyDeadline != nil, !reader.has("ready") {
    reader.warning("ready_deadline", "has no effect without ready=", remedy: "add ready=, or remove the key")
  }
  if case .notifyDescriptor? = spec.liveness?.probe {
    reader.error(
      "liveness", "notify-fd tells readiness only",
      remedy: "write liveness=notify for sd_notify's WATCHDOG=1, or another check")
  }
}

private func readCheck(_ key: String, interval: Interval, _ reader: SectionReader) -> CheckSpec? {
  let interval = reader.value("\(key)_interval", interval, positiveDurationValue)
  let timeout = reader.value("\(key)_timeout", .seconds(1), positiveDurationValue)
  let failures = reader.value("\(key)_failures", 3) { text throws(ValueProblem) in
    try integerValue(text, in: 1...1_000_000)
  }
  guard let text = reader.text(key) else {
    if !reader.has(key), let other = reader.firstSet(["\(key)_interval", "\(key)_timeout", "\(key)_failures"]) {
      reader.warning(other, "has no effect without \(key)=", remedy: "add \(key)=, or remove the key")
    }
    return nil
  }
  if stripped(text).isEmpty || stripped(text).lowercased() == "none" { return nil }
  guard let probe = reader.converted(text, key, probeValue) else { return nil }
  return CheckSpec(probe: probe, interval: interval, timeout: timeout, failures: failures)
}

/// What the kernel shall know about the process.
private func readExecution(_ reader: SectionReader, _ input: ConfigurationInput, _ execution: inout ExecutionSpec) {
  execution.environmentFiles = reader.value("env_file", []) { text throws(ValueProblem) in
    try environmentFilesValue(text, in: input)
  }
  execution.secrets = reader.value("secrets", [], secretsValue)
  execution.groups = reader.optional("groups") { text throws(ValueProblem) in
    let names = listValue(text)
    for name in names where !input.groupExists(name) {
      throw ValueProblem(
        "Invalid group name \(name)",
        remedy: "create the group (groupadd --system \(name)), or name one from /etc/group")
    }
    return names
  }
  for resource in KnownKeys.limitedResources {
    let limit = reader.optional("limit_\(resource)") { text throws(ValueProblem) in
      try limitValue(text, resource: resource)
    }
    if let limit { execution.limits.append(limit) }
  }
  execution.nice = reader.optional("nice") { text throws(ValueProblem) in try integerValue(text, in: -20...19) }
  execution.ionice = reader.optional("ionice") { text throws(ValueProblem) in
    do throws(PinningProblem) { return try IOPriority(text) } catch { throw ValueProblem(error) }
  }
  execution.oomScoreAdjust = reader.optional("oom_score_adj") { text throws(ValueProblem) in
    try integerValue(text, in: -1000...1000)
  }
  execution.noNewPrivileges = reader.value("no_new_privileges", false, booleanValue)
}
