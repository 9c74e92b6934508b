// What the configuration says of one process. Values only: the same file gives the same value, and two equal values need no
// restart on reload.

/// Everything that the configuration says of one process (one `[program:x]`, or one of its `numprocs`).
public struct ProgramSpec: Equatable, Sendable {
  /// supervisord's process name (`process_name`).
  public var name: String
  /// supervisord's group name: the program's own name unless a `[group:x]` lists it.
  public var group: String
  /// The name in the section header, `[program:NAME]`. `depends_on` and `[listener]` refer to this or to the process name.
  public var program: String
  /// `process_num`.
  public var number: Int = 0
  /// What "done" means for it.
  public var kind: Kind = .service
  /// Lower starts first and stops last. supervisord's default is 999.
  public var priority: Int = 999
  /// The group's priority; equals `priority` for a homogeneous group.
  public var groupPriority: Int = 999
  /// Start it when the supervisor starts.
  public var autostart: Bool = true
  /// Whether to start it again after it has exited from RUNNING.
  public var autorestart: AutoRestart = .unexpected
  /// How long it must stay up to count as started, in whole seconds; 0 counts at once.
  public var startsecs: Int = 1
  /// Attempts after the first one before FATAL. Negative: never give up.
  public var startretries: Int = 3
  /// Exit statuses that are expected (`autorestart=unexpected` leaves these alone; a oneshot completes with these).
  public var exitcodes: [Int32] = [0]
  /// The signals that stop it, each with the time it has; SIGKILL follows the last one. From `stop_plan`, else from
  /// `stopsignal` and `stopwaitsecs`. Never empty.
  public var stopPlan: [StopStep] = [StopStep(signal: 15, wait: .seconds(10))]
  /// Send the stop signals to the whole process group.
  public var stopasgroup: Bool = false
  /// Send SIGKILL to the whole process group.
  public var killasgroup: Bool = false
  /// What ends the processes that it leaves behind when it is stopped or before it is started again; SIGKILL follows.
  public var treePlan: [StopStep] = [StopStep(signal: 15, wait: .seconds(2))]
  /// What must be true of others before it is started.
  public var dependencies: [Dependency] = []
  /// How it tells that it is ready. nil: RUNNING is all there is to know.
  public var readiness: CheckSpec?
  /// How long it may take to become ready before the attempt counts as failed. nil: as long as it lives.
  public var readyDeadline: Interval?
  /// How it is seen to be alive while RUNNING. `failures` failures in a row restart it.
  public var liveness: CheckSpec?
  /// Delays between attempts. nil: supervisord's 1, 2, 3, … seconds.
  public var backoff: Backoff?
  /// Its final failure ends the supervisor with its own exit status.
  public var critical: Bool = false
  /// What is executed.
  public var execution: ExecutionSpec
  /// Where on the machine it runs, and how it is scheduled.
  public var pinning: PinningSpec = PinningSpec()
  /// Where its output goes.
  public var stdout: LogSpec = LogSpec()
  /// Where its error output goes.
  public var stderr: LogSpec = LogSpec()
  /// Send error output where output goes.
  public var redirectStderr: Bool = false
  /// Where it was written, for messages: file and line of the section header.
  public var origin: Origin = Origin()

  /// A spec with supervisord's defaults.
  public init(name: String, group: String? = nil, program: String? = nil, execution: ExecutionSpec) {
    self.name = name
    self.group = group ?? name
    self.program = program ?? name
    self.execution = execution
  }

  /// supervisord's namespec: `name` when the group has the same name, else `group:name`.
  public var namespec: String { group == name ? name : "\(group):\(name)" }

  /// What "done" means for a process.
  public enum Kind: Equatable, Sendable {
    /// Runs until it is stopped.
    case service
    /// Runs once to completion; an expected exit is success and stays EXITED.
    case oneshot
    /// Runs at each time of the schedule, one run at a time.
    case scheduled(Schedule)
  }
}

/// supervisord's `autorestart`.
public enum AutoRestart: String, Equatable, Sendable {
  /// Never.
  case never = "false"
  /// After an exit whose status is not in `exitcodes`.
  case unexpected = "unexpected"
  /// Always.
  case always = "true"
}

/// One step of a stop plan: a signal, and how long it has to work before the next step.
public struct StopStep: Equatable, Sendable {
  /// The signal's number.
  public var signal: Int32
  /// How long to wait for the exit.
  public var wait: Interval

  /// A step.
  public init(signal: Int32, wait: Interval) {
    self.signal = signal
    self.wait = wait
  }
}

/// Something that must be true of another program first.
public struct Dependency: Equatable, Sendable {
  /// The other program's section name (all of its processes are meant) or namespec.
  public var program: String
  /// What must be true of it.
  public var condition: Condition

  /// A dependency.
  public init(program: String, condition: Condition) {
    self.program = program
    self.condition = condition
  }

  /// What must be true of the other program.
  public enum Condition: String, CaseIterable, Equatable, Sendable {
    /// It has been spawned and is STARTING or RUNNING, or (a oneshot or scheduled one) it has completed since.
    case started
    /// It is RUNNING and, where it declares `ready=`, ready.
    case ready
    /// It is a oneshot or scheduled program that has exited with an expected status since its last start.
    case completed
    /// It is ready, and its liveness check passes.
    case healthy
  }
}

/// A readiness or liveness check.
public struct CheckSpec: Equatable, Sendable {
  /// How it asks.
  public var probe: Probe
  /// Time from the end of one probe to the start of the next.
  public var interval: Interval
  /// How long one probe may take.
  public var timeout: Interval
  /// How many failures in a row it takes to change the verdict to failing.
  public var failures: Int

  /// A check.
  public init(probe: Probe, interval: Interval, timeout: Interval, failures: Int) {
    self.probe = probe
    self.interval = interval
    self.timeout = timeout
    self.failures = failures
  }
}

/// How a check asks.
public enum Probe: Equatable, Sendable {
  /// The program tells by sd_notify(3) (`NOTIFY_SOCKET`): `READY=1`. As a liveness check: `WATCHDOG=1` (`WATCHDOG_USEC`).
  case notify
  /// The program writes a newline to this descriptor when it is ready (s6's notification-fd).
  case notifyDescriptor(Int32)
  /// A startup packet on PostgreSQL's unix socket: ready when the server asks for authentication or accepts.
  case postgres(PostgresProbe)
  /// `GET` on a TCP or unix address; 200…399 passes.
  case http(HTTPProbe)
  /// A TCP connection is accepted.
  case tcp(host: String, port: UInt16)
  /// A unix stream connection is accepted.
  case unix(path: String)
  /// A command exits with 0. It runs with the program's own user, directory and environment.
  case exec([String])

  /// The dialect's name, as in the configuration and in the health document.
  public var type: String {
    switch self {
    case .notify, .notifyDescriptor: "notify"
    case .postgres: "postgres"
    case .http: "http"
    case .tcp: "tcp"
    case .unix: "unix"
    case .exec: "exec"
    }
  }
}

/// Where a `postgres` probe asks, and as whom.
public struct PostgresProbe: Equatable, Sendable {
  /// The directory of the unix socket (`unix_socket_directories`).
  public var socketDirectory: String
  /// The port, which names the socket file `.s.PGSQL.PORT`.
  public var port: UInt16
  /// The role in the startup packet. It need not exist: the answer to an unknown role proves as much.
  public var user: String
  /// The database in the startup packet.
  public var database: String

  /// A probe.
  public init(socketDirectory: String, port: UInt16 = 5432, user: String = "postgres", database: String = "postgres") {
    self.socketDirectory = socketDirectory
    self.port = port
    self.user = user
    self.database = database
  }

  /// The socket's path.
  public var socketPath: String { "\(socketDirectory)/.s.PGSQL.\(port)" }
}

/// Where an `http` probe asks.
public struct HTTPProbe: Equatable, Sendable {
  /// Where to connect.
  public var address: SocketAddress
  /// The `Host` header.
  public var host: String
  /// The path and query, beginning with `/`.
  public var target: String

  /// A probe.
  public init(address: SocketAddress, host: String, target: String) {
    self.address = address
    self.host = host
    self.target = target
  }
}

/// Where to listen or to connect.
public enum SocketAddress: Equatable, Hashable, Sendable {
  /// A TCP address: an IPv4 or IPv6 literal, `localhost`, or `*` for all interfaces, and a port.
  case tcp(host: String, port: UInt16)
  /// A unix stream socket.
  case unix(path: String)
}

/// `backoff=`: exponential delays between attempts.
public struct Backoff: Equatable, Sendable {
  /// The first delay.
  public var initial: Interval
  /// Each delay is the one before times this.
  public var factor: Double
  /// No delay is longer than this.
  public var maximum: Interval
  /// Each delay is lengthened by a random part of itself, at most this fraction (0…1).
  public var jitter: Double

  /// A backoff.
  public init(initial: Interval, factor: Double, maximum: Interval, jitter: Double) {
    self.initial = initial
    self.factor = factor
    self.maximum = maximum
    self.jitter = jitter
  }
}

/// What is executed, and as what.
public struct ExecutionSpec: Equatable, Sendable {
  /// The words of the command. `arguments[0]` without a slash is searched in PATH at each start.
  public var arguments: [String]
  /// The whole environment of the child, except what the runtime adds for descriptors (`LISTEN_FDS`, `NOTIFY_SOCKET`, …),
  /// `env_file`, `secrets` and the user's `HOME`, `USER`, `LOGNAME`. Sorted by key.
  public var environment: [EnvironmentEntry] = []
  /// Names that the configuration sets itself (`environment=`), which `user=` and `env_file` therefore leave alone.
  public var configuredNames: [String] = []
  /// Files of `NAME=value` lines, read at each start.
  public var environmentFiles: [EnvironmentFile] = []
  /// Names whose value is read from the file that `NAME_FILE` names, at each start.
  public var secrets: [String] = []
  /// The working directory.
  public var directory: String?
  /// The umask, or the supervisor's own.
  public var umask: UInt32?
  /// A user name or numeric id.
  public var user: String?
  /// Like `user`, but only where the supervisor runs as root; otherwise its own user stays.
  public var userIfRoot: String?
  /// Supplementary groups by name or id. nil: those that the group database gives the user.
  public var groups: [String]?
  /// Resource limits: setrlimit(2)'s resource by name.
  public var limits: [ResourceLimit] = []
  /// nice(2) value.
  public var nice: Int?
  /// ioprio_set(2).
  public var ionice: IOPriority?
  /// set_mempolicy(2). nil: the supervisor's own.
  public var memoryPolicy: MemoryPolicy?
  /// /proc/self/oom_score_adj, -1000…1000.
  public var oomScoreAdjust: Int?
  /// prctl(PR_SET_NO_NEW_PRIVS).
  public var noNewPrivileges: Bool = false

  /// What to execute.
  public init(arguments: [String]) { self.arguments = arguments }
}

/// One entry of an environment.
public struct EnvironmentEntry: Equatable, Hashable, Sendable {
  /// The name.
  public var name: String
  /// The value.
  public var value: String

  /// An entry.
  public init(_ name: String, _ value: String) {
    self.name = name
    self.value = value
  }
}

/// One `env_file`.
public struct EnvironmentFile: Equatable, Sendable {
  /// The path.
  public var path: String
  /// Whether its absence is no error (written with a leading `-`, as in systemd).
  public var optional: Bool

  /// A file.
  public init(path: String, optional: Bool) {
    self.path = path
    self.optional = optional
  }
}

/// One resource limit.
public struct ResourceLimit: Equatable, Sendable {
  /// setrlimit(2)'s name in lower case without the prefix: `nofile`, `core`, `nproc`, …
  public var resource: String
  /// The soft limit; `UInt64.max` is infinity.
  public var soft: UInt64
  /// The hard limit; `UInt64.max` is infinity.
  public var hard: UInt64

  /// A limit.
  public init(resource: String, soft: UInt64, hard: UInt64) {
    self.resource = resource
    self.soft = soft
    self.hard = hard
  }
}

/// ioprio_set(2): class and level.
public enum IOPriority: Equatable, Sendable {
  /// IOPRIO_CLASS_RT with level 0 (highest) … 7.
  case realtime(Int)
  /// IOPRIO_CLASS_BE with level 0 (highest) … 7.
  case bestEffort(Int)
  /// IOPRIO_CLASS_IDLE.
  case idle
}

/// Where one output stream goes.
public struct LogSpec: Equatable, Sendable {
  /// The sink.
  public var sink: Sink = .automatic
  /// How lines look on the container's own output. Files always get the bytes as they are.
  public var format: LogFormat = .raw
  /// Rotate when the file is larger, in bytes; 0 never rotates.
  public var maxBytes: Int64 = 50 * 1024 * 1024
  /// How many rotated files are kept; 0 truncates instead.
  public var backups: Int = 10
  /// Remove ANSI escape sequences.
  public var stripANSI: Bool = false

  /// supervisord's defaults.
  public init() {}

  /// Where bytes go.
  public enum Sink: Equatable, Sendable {
    /// `AUTO`: a file of the supervisor's choosing in `childlogdir`.
    case automatic
    /// `NONE`: nowhere but into the tail buffer.
    case discard
    /// A file.
    case file(String)
    /// The supervisor's own descriptor 1 or 2 (`/dev/stdout`, `/dev/fd/2`, …), inherited and never reopened.
    case descriptor(Int32)
  }
}

/// How a program's lines look on the container's own output.
public enum LogFormat: String, CaseIterable, Equatable, Sendable {
  /// As they are.
  case raw
  /// `2026-11-20T10:00:00.000Z program stdout | line`.
  case prefix
  /// One JSON object a line.
  case json
}

/// A `[listener:NAME]`: a socket that the supervisor binds at its start and keeps for its life.
public struct ListenerSpec: Equatable, Sendable {
  /// The name, which the program sees in `LISTEN_FDNAMES`.
  public var name: String
  /// Where it listens.
  public var address: SocketAddress
  /// listen(2)'s backlog.
  public var backlog: Int32 = 1024
  /// The program (section name) that inherits it and accepts on it.
  public var program: String?
  /// What the supervisor does while no program accepts.
  public var fallback: Fallback = .none
  /// For unix sockets: the mode.
  public var mode: UInt32 = 0o777
  /// Where it was written.
  public var origin: Origin = Origin()

  /// A listener.
  public init(name: String, address: SocketAddress) {
    self.name = name
    self.address = address
  }

  /// What the supervisor does while no program accepts.
  public enum Fallback: String, Equatable, Sendable {
    /// Connections wait in the queue.
    case none
    /// The supervisor accepts: health on the health paths, 503 on all others.
    case health
  }
}

/// Where something was written in the configuration.
public struct Origin: Equatable, Hashable, Sendable {
  /// The file's path.
  public var file: String = ""
  /// The line, from 1; 0 when unknown.
  public var line: Int = 0

  /// An origin.
  public init(file: String = "", line: Int = 0) {
    self.file = file
    self.line = line
  }
}

/// The whole configuration: `[supervisord]` with its programs and listeners.
public struct SupervisorSpec: Equatable, Sendable {
  /// The processes, in the order of (group priority, group, priority, name).
  public var programs: [ProgramSpec] = []
  /// The sockets that outlive every program.
  public var listeners: [ListenerSpec] = []
  /// `identifier`.
  public var identifier: String = "supervisor"
  /// `container`: the name in the health document.
  public var container: String = "hivesup"
  /// One deadline for stopping everything. nil: every program has its own stop plan, as in supervisord.
  public var shutdownTimeout: Interval?
  /// Everything that is started at boot must be ready within this, or the supervisor stops all and exits. nil: no such limit.
  public var startTimeout: Interval?
  /// The control socket's path. nil: none.
  public var controlSocket: String?
  /// The supervisor's own log.
  public var log: MainLogSpec = MainLogSpec()
  /// `pidfile`. nil: none.
  public var pidfile: String?
  /// `childlogdir`.
  public var childLogDirectory: String = "/tmp"
  /// `nocleanup`.
  public var keepOldChildLogs: Bool = false
  /// `minfds`.
  public var minimumDescriptors: Int = 1024
  /// `minprocs`.
  public var minimumProcesses: Int = 200
  /// `umask`, octal.
  public var umask: UInt32 = 0o022
  /// `user`: what the supervisor itself becomes.
  public var user: String?
  /// `directory`.
  public var directory: String?
  /// `cpu_class` or `cpu_affinity` of `[supervisord]`: where the supervisor itself runs. Its programs do not inherit it.
  public var cpus: CPUDemand = .any
  /// How many bytes of each program's output are kept for `ctl tail`.
  public var tailBytes: Int = 16 * 1024
  /// How many events the ring keeps.
  public var eventCapacity: Int = 1024
  /// The file it was read from.
  public var path: String = ""

  /// An empty configuration.
  public init() {}
}

/// The supervisor's own log.
public struct MainLogSpec: Equatable, Sendable {
  /// The file; nil: only standard error.
  public var file: String?
  /// Rotate when larger, in bytes; 0 never rotates.
  public var maxBytes: Int64 = 50 * 1024 * 1024
  /// How many rotated files are kept.
  public var backups: Int = 10
  /// The least level that is written.
  public var level: LogLevel = .info
  /// Do not copy the log to standard error.
  public var silent: Bool = false
  /// How lines look on standard error.
  public var format: LogFormat = .raw

  /// supervisord's defaults.
  public init() {}
}

/// supervisord's log levels with its numbers (supervisor/loggers.py).
public enum LogLevel: Int, CaseIterable, Comparable, Sendable {
  /// `CRIT`.
  case critical = 50
  /// `ERRO`.
  case error = 40
  /// `WARN`.
  case warn = 30
  /// `INFO`.
  case info = 20
  /// `DEBG`.
  case debug = 10
  /// `TRAC`.
  case trace = 5
  /// `BLAT`.
  case blather = 3

  /// supervisord's four letters.
  public var tag: String {
    switch self {
    case .critical: "CRIT"
    case .error: "ERRO"
    case .warn: "WARN"
    case .info: "INFO"
    case .debug: "DEBG"
    case .trace: "TRAC"
    case .blather: "BLAT"
    }
  }

  /// Less severe first.
  public static func < (a: LogLevel, b: LogLevel) -> Bool { a.rawValue < b.rawValue }
}

/// When a scheduled program runs.
public struct Schedule: Equatable, Sendable {
  /// The cron expression as written.
  public var expression: String
  /// The time zone's IANA name, for messages.
  public var zoneName: String
  /// The parsed expression.
  public var cron: CronExpression
  /// The zone's rules.
  public var zone: TimeZoneRules

  /// A schedule.
  public init(expression: String, zoneName: String, cron: CronExpression, zone: TimeZoneRules) {
    self.expression = expression
    self.zoneName = zoneName
    self.cron = cron
    self.zone = zone
  }
}
