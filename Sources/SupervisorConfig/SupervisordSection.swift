// `[supervisord]`.

import SupervisorCore

/// What `[supervisord]` says, for itself and for all programs.
struct SupervisordSettings {
  /// The spec without programs and listeners.
  var spec = SupervisorSpec()
  /// `environment=`, in the order of writing.
  var environment: [(name: String, value: String)] = []
  /// `strip_ansi`.
  var stripANSI = false
  /// `log_format`.
  var logFormat = LogFormat.raw
}

/// Reads `[supervisord]`.
func readSupervisord(_ reader: SectionReader, _ input: ConfigurationInput) -> SupervisordSettings {
  var settings = SupervisordSettings()
  var spec = SupervisorSpec()
  spec.path = input.path
  spec.minimumDescriptors = reader.value("minfds", spec.minimumDescriptors) { text throws(ValueProblem) in
    try integerValue(text, in: 0...Int(Int32.max))
  }
  spec.minimumProcesses = reader.value("minprocs", spec.minimumProcesses) { text throws(ValueProblem) in
    try integerValue(text, in: 0...Int(Int32.max))
  }
  readDaemonSettings(reader, input, &spec)
  spec.umask = reader.value("umask", spec.umask, modeValue)
  readMainLog(reader, input, &spec)
  // Its directory need not exist: the supervisor makes it, as that of the control socket. /run may be an empty tmpfs.
  spec.pidfile = reader.text("pidfile").map { input.absolutePath(input.expandingUser($0)) }
  spec.identifier = reader.text("identifier") ?? spec.identifier
  spec.childLogDirectory =
    reader.optional("childlogdir") { text throws(ValueProblem) in
      joinPath(input.workingDirectory, try input.existingDirectory(text))
    } ?? input.temporaryDirectory
  spec.keepOldChildLogs = reader.value("nocleanup", false, booleanValue)
  settings.stripANSI = reader.value("strip_ansi", false, booleanValue)
  if let text = reader.expandedTwice("environment") {
    settings.environment = readEnvironment(text, reader, "environment")
  }

  spec.container = reader.value("container", spec.container, containerNameValue)
  spec.shutdownTimeout = reader.optional("shutdown_timeout", optionalDurationValue) ?? nil
  spec.startTimeout = reader.optional("start_timeout", optionalDurationValue) ?? nil
  spec.controlSocket =
    reader.optional("control_socket") { text throws(ValueProblem) in
      stripped(text).lowercased() == "none" ? nil : try socketPath(text)
    } ?? "/run/hivesup/control.sock"
  spec.tailBytes = reader.value("tail_bytes", spec.tailBytes) { text throws(ValueProblem) in
    let bytes = try byteSizeValue(text)
    guard (0...16 * 1024 * 1024).contains(bytes) else {
      throw ValueProblem("\(text) is out of range", remedy: "write a size from 0 to 16MB")
    }
    return Int(bytes)
  }
  spec.eventCapacity = reader.value("event_capacity", spec.eventCapacity) { text throws(ValueProblem) in
    try integerValue(text, in: 1...1_000_000)
  }
  spec.cpus = readCPUs(reader)
  settings.logFormat = reader.value("log_format", .raw, wordValue)
  spec.log.format = settings.logFormat
  settings.spec = spec
  return settings
}

/// `user`, `nodaemon` and `directory`.
private func readDaemonSettings(_ reader: SectionReader, _ input: ConfigurationInput, _ spec: inout SupervisorSpec) {
  spec.user = reader.text("user")
  if let user = spec.user, let record = reader.converted(user, "user", input.userValue), !input.isRoot,
    record.userID != input.effectiveUserID
  {
    reader.error(
      "user", "Can't drop privilege as nonroot user",
      remedy: "start hivesup as root, or remove user= from [supervisord]")
  }
  let nodaemon = reader.value("nodaemon", false, booleanValue)
  if reader.has("nodaemon"), !nodaemon {
    reader.warning(
      "nodaemon", "hivesup always stays in the foreground",
      remedy: "write nodaemon=true; a service manager or a container starts hivesup in the background")
  }
  let directory = reader.optional("directory", input.existingDirectory)
  if let directory, !nodaemon {
    spec.directory = joinPath(input.workingDirectory, directory)
  } else if directory != nil {
    reader.warning(
      "directory", "is not used with nodaemon=true, as in supervisord, which changes its directory when it daemonizes",
      remedy: "set directory= in the programs that need it")
  }
}

/// The supervisor's own log.
private func readMainLog(_ reader: SectionReader, _ input: ConfigurationInput, _ spec: inout SupervisorSpec) {
  spec.log.maxBytes = reader.value("logfile_maxbytes", spec.log.maxBytes, byteSizeValue)
  spec.log.backups = reader.value("logfile_backups", spec.log.backups, integerValue)
  spec.log.level = reader.value("loglevel", spec.log.level, logLevelValue)
  spec.log.silent = reader.value("silent", false, booleanValue)
  guard let text = reader.text("logfile") else { return }
  if text.lowercased() == "syslog" {
    reader.error(
      "logfile", "cannot log to syslog: hivesup does not do that yet",
      remedy: "write a file, or remove logfile= for standard error")
    return
  }
  if text.lowercased() == "none" || text.lowercased() == "off" {
    reader.warning(
      "logfile", "\(text) means no file here; supervisord would write a file of that name",
      remedy: "remove logfile=, or write ./\(text) for the file")
    return
  }
  // These are the container's own output or nothing: the log is on standard error already.
  if inheritedDescriptor(text) != nil || text == "/dev/null" { return }
  spec.log.file = reader.converted(text, "logfile") { text throws(ValueProblem) in
    input.absolutePath(try input.existingDirectoryPath(text))
  }
}

/// `container=`.
private func containerNameValue(_ text: String) throws(ValueProblem) -> String {
  let name = stripped(text)
  guard (1...64).contains(name.utf8.count), name.unicodeScalars.allSatisfy({ $0.value >= 0x20 && $0.value != 0x7F })
  else {
    throw ValueProblem(
      "not a container's name: \(pythonRepresentation(text))", remedy: "write 1 to 64 printable characters")
  }
  return name
}

/// An `environment=`, with a warning for what supervisord would drop without a word.
func readEnvironment(_ text: String, _ reader: SectionReader, _ key: String) -> [(name: String, value: String)] {
  do throws(EnvironmentProblem) {
    let result = try environmentPairs(text)
    if let token = result.dropped.first {
      reader.warning(
        key, "\(pythonRepresentation(token)) is ignored: a comma was expected there, as in supervisord",
        remedy: "put the value in double quotes" + reader.remedyForCut(key))
    }
    return result.pairs
  } catch {
    switch error {
    case .unevenPairs:
      reader.error(
        key, "Unexpected end of key/value pairs in value '\(text)'",
        remedy: "write NAME=\"value\",NAME2=\"value2\"; quote what is more than letters, digits and _/.+-():"
          + reader.remedyForCut(key))
    case .words(let problem):
      reader.error(key, problem.text, remedy: "close every quote" + reader.remedyForCut(key))
    }
    return []
  }
}
