// The same text that Fixtures/supervisord_dump.py writes for supervisor 4.3.0, made from our spec.

import SupervisorConfig
import SupervisorCore

/// The dump of a configuration.
func supervisordDump(_ spec: SupervisorSpec, _ input: ConfigurationInput, stripANSI: Bool) -> [String] {
  var lines: [String] = []
  func escape(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }
  func put(_ key: String, _ value: String) { lines.append("\(key)=\(escape(value))") }
  func put(_ key: String, _ value: Int) { put(key, String(value)) }
  func put(_ key: String, _ value: Bool) { put(key, value ? "True" : "False") }

  lines.append("[supervisord]")
  put("identifier", spec.identifier)
  put("loglevel", spec.log.level.rawValue)
  put("logfile_maxbytes", Int(spec.log.maxBytes))
  put("logfile_backups", spec.log.backups)
  put("minfds", spec.minimumDescriptors)
  put("minprocs", spec.minimumProcesses)
  put("umask", String(spec.umask, radix: 8))
  put("silent", spec.log.silent)
  put("nocleanup", spec.keepOldChildLogs)
  put("childlogdir", spec.childLogDirectory)
  put("strip_ansi", stripANSI)
  put("user", spec.user ?? "None")
  for program in spec.programs {
    let execution = program.execution
    lines.append("[\(escape(program.group)):\(escape(program.name))]")
    put("group_priority", program.groupPriority)
    put("priority", program.priority)
    for word in execution.arguments { put("word", word) }
    put("directory", execution.directory ?? "None")
    put("umask", execution.umask.map { String($0, radix: 8) } ?? "None")
    put("autostart", program.autostart)
    put("autorestart", program.autorestart.rawValue)
    put("startsecs", program.startsecs)
    put("startretries", program.startretries)
    put("uid", execution.user.map { name in input.user(name).map { String($0.userID) } ?? "?" } ?? "None")
    put("stopsignal", Int(program.stopPlan[0].signal))
    put("stopwaitsecs", Int(program.stopPlan[0].wait.inSeconds))
    put("stopasgroup", program.stopasgroup)
    put("killasgroup", program.killasgroup)
    put("exitcodes", program.exitcodes.map(String.init).joined(separator: ","))
    put("redirect_stderr", program.redirectStderr)
    let environment = Dictionary(execution.environment.map { ($0.name, $0.value) }, uniquingKeysWith: { $1 })
    let serverURL =
      execution.configuredNames.contains("SUPERVISOR_SERVER_URL") ? nil : environment["SUPERVISOR_SERVER_URL"]
    put("serverurl", serverURL ?? "None")
    for (stream, log) in [("stdout", program.stdout), ("stderr", program.stderr)] {
      switch log.sink {
      case .automatic: put(stream, "AUTO")
      case .discard: put(stream, "NONE")
      case .descriptor(let number): put(stream, "descriptor \(number)")
      case .file(let path): put(stream, path)
      }
      put("\(stream)_maxbytes", Int(log.maxBytes))
      put("\(stream)_backups", log.backups)
    }
    for name in execution.configuredNames { lines.append("env \(name)=\(escape(environment[name] ?? "?"))") }
  }
  return lines
}
