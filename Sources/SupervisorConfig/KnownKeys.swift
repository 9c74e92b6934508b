// Which sections and keys exist. docs/configuration.md has one table row for each of these, and a test compares the
// two.

/// The kinds of sections.
public enum SectionKind: String, CaseIterable, Sendable {
  /// `[supervisord]`.
  case supervisord
  /// `[include]`.
  case include
  /// `[program:NAME]`.
  case program
  /// `[group:NAME]`.
  case group
  /// `[listener:NAME]`, ours.
  case listener
  /// `[unix_http_server]`, also `[unix_http_server:NAME]`.
  case unixHTTPServer = "unix_http_server"
  /// `[inet_http_server]`, also `[inet_http_server:NAME]`.
  case inetHTTPServer = "inet_http_server"
  /// `[supervisorctl]`.
  case supervisorctl
  /// `[rpcinterface:NAME]`.
  case rpcInterface = "rpcinterface"
  /// `[ctlplugin:NAME]`.
  case ctlPlugin = "ctlplugin"
  /// `[eventlistener:NAME]`.
  case eventListener = "eventlistener"
  /// `[fcgi-program:NAME]`.
  case fcgiProgram = "fcgi-program"

  /// Whether the section's header carries a name after a colon.
  public var isNamed: Bool {
    switch self {
    case .program, .group, .listener, .rpcInterface, .ctlPlugin, .eventListener, .fcgiProgram: true
    case .supervisord, .include, .unixHTTPServer, .inetHTTPServer, .supervisorctl: false
    }
  }

  /// Whether the section may have keys that nobody knows beforehand: they are arguments of a plugin.
  public var isOpen: Bool { self == .rpcInterface || self == .ctlPlugin }

  /// Whether the key exists in this kind of section.
  public func knows(_ key: String) -> Bool { isOpen || KnownKeys.keys(of: self).contains(key) }
}

/// The keys of each kind of section.
public enum KnownKeys {
  /// The kind of a section by its header; nil for one that nobody knows. supervisord takes whatever begins with the
  /// name of a server section for one.
  public static func kind(ofSection name: String) -> SectionKind? {
    if let colon = name.utf8.firstIndex(of: UInt8(ascii: ":")) {
      let prefix = String(name[name.startIndex..<colon])
      if let kind = SectionKind(rawValue: prefix) {
        return kind.isNamed || kind == .unixHTTPServer || kind == .inetHTTPServer ? kind : nil
      }
      return nil
    }
    guard let kind = SectionKind(rawValue: name), !kind.isNamed else { return nil }
    return kind
  }

  /// All keys of a kind of section.
  public static func keys(of kind: SectionKind) -> Set<String> {
    switch kind {
    case .supervisord: supervisord
    case .include: ["files"]
    case .program: program
    case .group: ["programs", "priority"]
    case .listener: ["address", "backlog", "program", "fallback", "mode"]
    case .unixHTTPServer: ["file", "chmod", "chown", "username", "password"]
    case .inetHTTPServer: ["port", "username", "password"]
    case .supervisorctl: ["serverurl", "username", "password", "prompt", "history_file"]
    case .rpcInterface: ["supervisor.rpcinterface_factory"]
    case .ctlPlugin: ["supervisor.ctl_factory"]
    case .eventListener: eventListener
    case .fcgiProgram: fcgiProgram
    }
  }

  /// The keys that supervisord does not know, and therefore ignores.
  public static func extensionKeys(of kind: SectionKind) -> Set<String> {
    switch kind {
    case .supervisord: Set(supervisordExtensions)
    case .program: Set(programExtensions + limits)
    case .listener: keys(of: .listener)
    default: []
    }
  }

  /// setrlimit(2)'s resources, in lower case and without their prefix.
  public static let limitedResources = [
    "as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio",
    "rttime",
    "sigpending", "stack",
  ]

  private static let supervisordOriginals = [
    "logfile", "logfile_maxbytes", "logfile_backups", "loglevel", "pidfile", "umask", "nodaemon", "silent", "minfds",
    "minprocs", "nocleanup", "childlogdir", "user", "directory", "strip_ansi", "environment", "identifier",
  ]
  private static let supervisordExtensions = [
    "container", "shutdown_timeout", "start_timeout", "control_socket", "tail_bytes", "event_capacity", "log_format",
    "cpu_class", "cpu_affinity", "environment_defaults",
  ]
  private static let programOriginals = [
    "command", "process_name", "numprocs", "numprocs_start", "priority", "autostart", "autorestart", "startsecs",
    "startretries", "exitcodes", "stopsignal", "stopwaitsecs", "stopasgroup", "killasgroup", "user", "directory",
    "umask",
    "environment", "serverurl", "redirect_stderr", "stdout_logfile", "stdout_logfile_maxbytes",
    "stdout_logfile_backups",
    "stdout_capture_maxbytes", "stdout_events_enabled", "stdout_syslog", "stderr_logfile", "stderr_logfile_maxbytes",
    "stderr_logfile_backups", "stderr_capture_maxbytes", "stderr_events_enabled", "stderr_syslog",
  ]
  private static let programExtensions = [
    "type", "schedule", "timezone", "depends_on", "ready", "ready_interval", "ready_timeout", "ready_failures",
    "ready_deadline", "liveness", "liveness_interval", "liveness_timeout", "liveness_failures", "backoff", "critical",
    "stop_plan", "tree_plan", "user_if_root", "groups", "env_file", "secrets", "nice", "ionice", "oom_score_adj",
    "no_new_privileges", "log_format", "cpu_class", "cpu_affinity", "cpu_smt", "sched_policy", "numa_policy",
  ]
  private static let limits = limitedResources.map { "limit_" + $0 }
  private static let supervisord = Set(supervisordOriginals + supervisordExtensions)
  private static let program = Set(programOriginals + programExtensions + limits)
  private static let eventListener = Set(programOriginals + ["events", "buffer_size", "result_handler"])
  private static let fcgiProgram = Set(
    programOriginals + ["socket", "socket_backlog", "socket_owner", "socket_mode"])
}
