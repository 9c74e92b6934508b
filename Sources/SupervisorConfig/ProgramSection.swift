// `[program:x]`: supervisord's keys (supervisor/options.py `_processes_from_section`, 4.3.0).

import SupervisorCore

/// What all programs share while they are read.
struct ProgramContext {
  let input: ConfigurationInput
  let settings: SupervisordSettings
  let inherited: EnvironmentBase
  /// More processes than this are a mistake, and would fill the memory of PID 1.
  static let mostProcesses = 10_000
}

/// One process, before the names in its dependencies are known to exist.
struct ParsedProcess {
  var spec: ProgramSpec
  /// The section, for what is found out later.
  let reader: SectionReader
  /// `depends_on`.
  let dependencies: [PendingDependency]
}

/// Reads one `[program:x]` as processes of a group, sorted by priority and name. Everything wrong is reported; what
/// comes back then is for further checks only.
func readProgram(_ section: SectionReader, group: String, _ context: ProgramContext) -> [ParsedProcess] {
  var reader = section
  let header = split(section.section.name, on: ":", maxSplits: 1)
  let written = header.count == 2 ? header[1] : ""
  // A wrong name is no reason not to look at the keys.
  let program = reader.converted(written, "", nameValue) ?? stripped(written)
  reader.expansions["program_name"] = .text(program)
  reader.expansions["group_name"] = .text(group)
  if !reader.has("command") {
    reader.error(
      "", "program section \(section.section.name) does not specify a command", remedy: "add command=", suggestion: nil)
  }
  var template = ProgramSpec(name: program, group: group, program: program, execution: ExecutionSpec(arguments: []))
  template.origin = Origin(file: section.section.file, line: section.section.line)
  readLifecycle(reader, &template)
  readUser(reader, context.input, &template)
  template.execution.umask = reader.optional("umask", modeValue)
  warnOfMissingFeatures(reader)

  let nameText = reader.option("process_name")?.value ?? "%(program_name)s"
  let nameFormat = reader.converted(nameText, "process_name", nameValue) ?? nameText
  var count = reader.value("numprocs", 1, integerValue)
  var first = reader.value("numprocs_start", 0, integerValue)
  let isNumbered = nameFormat.contains(bytesOf: "%(process_num)")
  if count > 1, !isNumbered {
    reader.error(
      "process_name", "%(process_num) must be present within process_name when numprocs > 1",
      remedy: "write process_name=%(program_name)s_%(process_num)02d")
  }
  if count > ProgramContext.mostProcesses {
    reader.error(
      "numprocs", "\(count) processes are too many", remedy: "write at most \(ProgramContext.mostProcesses)")
  }
  if !(-1_000_000_000...1_000_000_000).contains(first) {
    reader.error("numprocs_start", "\(first) is out of range", remedy: "write a number from -1000000000 to 1000000000")
    first = 0
  }
  // Where that was wrong, the other keys are looked at all the same, for one process.
  if count > ProgramContext.mostProcesses || !isNumbered { count = min(count, 1) }
  if count < 1 {
    reader.warning(
      "numprocs", "no process is ever started, as in supervisord", remedy: "write numprocs=1, or autostart=false")
    return []
  }
  var processes: [ParsedProcess] = []
  for number in first..<(first + count) {
    reader.expansions["process_num"] = .number(number)
    reader.expansions["numprocs"] = .number(count)
    var spec = template
    spec.number = number
    let dependencies = readProcess(&reader, nameFormat, context, &spec)
    processes.append(ParsedProcess(spec: spec, reader: reader, dependencies: dependencies))
  }
  return processes.sorted { precedes($0.spec.name, $1.spec.name) }
}

/// The keys that supervisord reads once for all processes of a program.
private func readLifecycle(_ reader: SectionReader, _ spec: inout ProgramSpec) {
  spec.priority = reader.value("priority", spec.priority, integerValue)
  spec.groupPriority = spec.priority
  spec.autostart = reader.value("autostart", true, booleanValue)
  spec.autorestart = reader.value("autorestart", .unexpected, autoRestartValue)
  spec.startsecs = reader.value("startsecs", spec.startsecs, integerValue)
  spec.startretries = reader.value("startretries", spec.startretries, integerValue)
  spec.exitcodes = reader.value("exitcodes", spec.exitcodes, exitCodesValue)
  let signal = reader.value("stopsignal", 15, signalValue)
  let wait = reader.value("stopwaitsecs", 10, integerValue)
  spec.stopasgroup = reader.value("stopasgroup", false, booleanValue)
  spec.killasgroup = reader.value("killasgroup", spec.stopasgroup, booleanValue)
  if spec.stopasgroup, !spec.killasgroup, reader.has("killasgroup") {
    reader.error(
      "killasgroup", "Cannot set stopasgroup=true and killasgroup=false", remedy: "remove killasgroup=false")
  }
  spec.redirectStderr = reader.value("redirect_stderr", false, booleanValue)
  spec.stopPlan = [StopStep(signal: signal, wait: .seconds(Double(wait)))]
}

/// `user` and `user_if_root`.
private func readUser(_ reader: SectionReader, _ input: ConfigurationInput, _ spec: inout ProgramSpec) {
  spec.execution.user = reader.text("user")
  spec.execution.userIfRoot = reader.text("user_if_root")
  if let user = spec.execution.userIfRoot, user.isEmpty {
    spec.execution.userIfRoot = nil
  } else if let user = spec.execution.userIfRoot, input.isRoot {
    _ = reader.converted(user, "user_if_root", input.userValue)
  }
  guard let user = spec.execution.user else { return }
  if let record = reader.converted(user, "user", input.userValue) {
    if case .value = pythonInteger(user) { spec.execution.user = String(record.userID) }
    if !input.isRoot, record.userID != input.effectiveUserID {
      reader.warning(
        "user", "cannot become \(user): hivesup does not run as root, so the program will fail to start",
        remedy: "start hivesup as root, or write user_if_root=\(user)")
    }
  }
  if spec.execution.userIfRoot != nil {
    reader.error("user_if_root", "cannot be set beside user=", remedy: "remove one of the two")
  }
}

/// What supervisord can and we cannot yet.
private func warnOfMissingFeatures(_ reader: SectionReader) {
  for stream in ["stdout", "stderr"] {
    if reader.value("\(stream)_capture_maxbytes", 0, byteSizeValue) > 0 {
      reader.warning(
        "\(stream)_capture_maxbytes", "hivesup does not capture process communication yet",
        remedy: "remove the key, or write 0")
    }
    if reader.value("\(stream)_events_enabled", false, booleanValue) {
      reader.warning(
        "\(stream)_events_enabled", "hivesup does not send log events to listeners yet",
        remedy: "remove the key, or write false")
    }
    if reader.value("\(stream)_syslog", false, booleanValue) {
      reader.error(
        "\(stream)_syslog", "cannot log to syslog: hivesup does not do that yet",
        remedy: "write \(stream)_logfile=/dev/stdout, a file or NONE")
    }
  }
}

/// The keys that may differ between the processes of a program.
private func readProcess(
  _ reader: inout SectionReader, _ nameFormat: String, _ context: ProgramContext, _ spec: inout ProgramSpec
) -> [PendingDependency] {
  var own: [(name: String, value: String)] = []
  if let option = reader.option("environment"), let text = reader.expanded(option.value, "environment") {
    own = readEnvironment(text, reader, "environment")
  }
  for (name, value) in own { reader.expansions["ENV_" + name] = .text(value) }

  if let name = reader.expanded(nameFormat, "process_name"),
    let valid = reader.converted(name, "process_name", nameValue)
  {
    spec.name = valid
  } else {
    spec.name += "_\(spec.number)"  // Reported already; that all have this name is not another error.
  }
  spec.execution.directory = reader.text("directory")
  if spec.execution.directory == "" {
    reader.error(
      "directory", "cannot change to a directory without a name", remedy: "name a directory, or remove the key")
  }
  spec.stdout = readLog("stdout", reader, context, isRedirected: false)
  spec.stderr = readLog("stderr", reader, context, isRedirected: spec.redirectStderr)
  spec.execution.arguments = readCommand(reader)
  let dependencies = readExtensions(reader, context.input, &spec)

  var overlay = ["SUPERVISOR_ENABLED": "1", "SUPERVISOR_PROCESS_NAME": spec.name, "SUPERVISOR_GROUP_NAME": spec.group]
  if let url = reader.text("serverurl"), !url.isEmpty, stripped(url).uppercased() != "AUTO" {
    overlay["SUPERVISOR_SERVER_URL"] = url
  }
  var configured: Set<String> = []
  for (name, value) in context.settings.environment + own {
    overlay[name] = value
    configured.insert(name)
  }
  spec.execution.environment = context.inherited.overlaid(with: overlay)
  spec.execution.configuredNames = configured.sorted(by: precedes)
  return dependencies
}

/// The words of the command. supervisord finds out at the start of the program that it has none; we say so now.
private func readCommand(_ reader: SectionReader) -> [String] {
  guard let text = reader.text("command") else { return [] }
  do throws(ShellWordProblem) {
    let words = try shellWords(text)
    if words.isEmpty || words[0].isEmpty {
      reader.error(
        "command", "command is empty", remedy: "write the program and its arguments" + reader.remedyForCut("command"))
    }
    return words
  } catch {
    reader.error(
      "command", "can't parse command \(pythonRepresentation(text)): \(error.text)",
      remedy: "close every quote" + reader.remedyForCut("command"))
    return []
  }
}

/// Where a stream goes.
private func readLog(_ stream: String, _ reader: SectionReader, _ context: ProgramContext, isRedirected: Bool)
  -> LogSpec
{
  var log = LogSpec()
  log.stripANSI = context.settings.stripANSI
  log.format = reader.value("log_format", context.settings.logFormat, wordValue)
  log.backups = reader.value("\(stream)_logfile_backups", log.backups, integerValue)
  log.maxBytes = reader.value("\(stream)_logfile_maxbytes", log.maxBytes, byteSizeValue)
  let key = "\(stream)_logfile"
  if let text = reader.expandedTwice(key) {
    log.sink =
      reader.converted(text, key) { text throws(ValueProblem) in try sinkValue(text, in: context.input) } ?? .discard
  }
  if log.sink == .automatic, log.maxBytes <= 0 {
    reader.warning(
      "\(stream)_logfile_maxbytes", "AUTO logging used for \(key) without rollover",
      remedy: "set \(stream)_logfile_maxbytes > 0 to avoid filling up the file system")
  }
  if isRedirected {
    switch log.sink {
    case .file, .descriptor:
      reader.warning(
        key, "redirect_stderr=true, so the file is ignored", remedy: "remove \(key), or redirect_stderr")
    case .automatic, .discard: break
    }
    log.sink = .discard
  }
  return log
}
