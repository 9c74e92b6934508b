// What can happen to the supervisor, and what it may ask for. Kernel → runtime → `handle(event, at:)` → actions → runtime:
// there is no other way in and no way back.

/// Names one process of the configuration for as long as the supervisor lives; never used again after a removal.
public struct ProgramID: Hashable, Comparable, Sendable {
  /// A running number.
  public var number: UInt32
  /// The id with this number.
  public init(_ number: UInt32) { self.number = number }
  /// In order of creation.
  public static func < (a: ProgramID, b: ProgramID) -> Bool { a.number < b.number }
}

/// Names one run of one process: events of an earlier run are recognised by it and dropped.
public struct RunID: Hashable, Sendable {
  /// Which process.
  public var program: ProgramID
  /// Which run of it, from 1.
  public var run: UInt32
  /// A run.
  public init(program: ProgramID, run: UInt32) {
    self.program = program
    self.run = run
  }
}

/// A client's request that waits for its answer.
public struct RequestID: Hashable, Sendable {
  /// A running number.
  public var number: UInt64
  /// The id with this number.
  public init(_ number: UInt64) { self.number = number }
}

/// Who asked for something.
public enum Requester: Equatable, Sendable {
  /// The configuration (`autostart`, a schedule, a dependency).
  case configuration
  /// A client on the control socket.
  case client(pid: Int32, uid: UInt32)
  /// A signal to the supervisor; pid 0 is the kernel or a process outside of our namespace.
  case signal(Int32, pid: Int32, uid: UInt32)
  /// The supervisor itself: a failed liveness check, a critical program's end, a missed start timeout.
  case supervisor(String)
}

/// At which step a start failed, in the order in which the child does them.
public enum SpawnStage: Int32, CaseIterable, Sendable {
  /// The command's words are empty or its file was not found or may not be executed.
  case command = 1
  /// A log file, an `env_file`, a secret or the user database could not be read.
  case prepare = 2
  /// pipe2(2).
  case pipe = 3
  /// clone(2).
  case clone = 4
  /// setpgid/setsid.
  case session = 5
  /// dup2 of the descriptors.
  case descriptors = 6
  /// setrlimit(2).
  case limits = 7
  /// nice, ionice, oom_score_adj.
  case priority = 8
  /// setgroups(2).
  case groups = 9
  /// setgid(2).
  case gid = 10
  /// setuid(2).
  case uid = 11
  /// chdir(2).
  case directory = 12
  /// prctl(PR_SET_NO_NEW_PRIVS).
  case noNewPrivileges = 13
  /// execve(2).
  case exec = 14
  /// cgroup.procs, sched_setaffinity and what else the kernel may refuse.
  case resources = 15
}

/// Why a start failed.
public struct SpawnFailure: Error, Equatable, Sendable {
  /// At which step.
  public var stage: SpawnStage
  /// errno; 0 when the kernel was not asked.
  public var errno: Int32
  /// The sentence for people: "cannot change to directory /x: No such file or directory".
  public var text: String
  /// Whether it is a lack of something (EAGAIN, EMFILE, ENOMEM, …) that may pass: such an attempt is repeated and never
  /// counts towards `startretries`.
  public var isShortage: Bool

  /// A failure.
  public init(stage: SpawnStage, errno: Int32, text: String, isShortage: Bool) {
    self.stage = stage
    self.errno = errno
    self.text = text
    self.isShortage = isShortage
  }
}

/// What one probe found.
public struct ProbeResult: Equatable, Sendable {
  /// Whether it passed.
  public var passed: Bool
  /// How long it took.
  public var latency: Interval
  /// What it saw, for people; empty when there is nothing to say.
  public var detail: String

  /// A result.
  public init(passed: Bool, latency: Interval, detail: String = "") {
    self.passed = passed
    self.latency = latency
    self.detail = detail
  }
}

/// Which of a program's checks.
public enum CheckRole: String, CaseIterable, Sendable {
  /// `ready=`.
  case ready
  /// `liveness=`.
  case liveness
}

/// A result that another process reports over the control socket (`hive-postgres monitor`).
public struct ReportedCheck: Equatable, Sendable {
  /// The check's name in the health document, e.g. `database`, `disk`.
  public var name: String
  /// The dialect's name, e.g. `sql`.
  public var type: String
  /// Its result.
  public var result: ProbeResult
  /// How often it is reported: older than three of these counts as failing.
  public var interval: Interval

  /// A reported check.
  public init(name: String, type: String, result: ProbeResult, interval: Interval) {
    self.name = name
    self.type = type
    self.result = result
    self.interval = interval
  }
}

/// What a program told over `NOTIFY_SOCKET` (sd_notify(3)) or its notification descriptor (s6).
public enum Notification: Equatable, Sendable {
  /// `READY=1`, or the newline on the notification descriptor.
  case ready
  /// `RELOADING=1`: not ready until the next `READY=1`.
  case reloading
  /// `STOPPING=1`: it drains; it counts as unready from now on.
  case stopping
  /// `STATUS=…`: one line for people.
  case status(String)
  /// `WATCHDOG=1`: alive.
  case watchdog
  /// `WATCHDOG=trigger`: the program itself asks to be treated as hung.
  case watchdogTrigger
}

/// Everything that can happen to the supervisor. The runtime turns each kernel event into exactly one of these.
///
/// Of one run the runtime reports, in whichever order the kernel lets it find out:
/// - `spawnFailed` alone, when no process came to be; or
/// - `spawned` first, then `execSucceeded` or `spawnFailed` (exactly one of them) and `exited` (exactly once) in either order; and
/// - `treeEnded` once after each `endTree` or `killTree` that finds or leaves nothing alive.
/// Events of a run that is over are dropped, so a late one is harmless.
public enum Event: Sendable {
  /// The supervisor is set up: start what `autostart` says. Once.
  case boot
  /// A client asks for something; answered by exactly one `.answer` (at once or later).
  case request(RequestID, Command, by: Requester)
  /// The client of this request went away: its answer is not wanted any more (what it asked for still happens).
  case requestAbandoned(RequestID)
  /// clone(2) succeeded.
  case spawned(RunID, pid: Int32)
  /// execve(2) succeeded (the close-on-exec pipe closed without a report).
  case execSucceeded(RunID)
  /// The start failed: before there was a process, or in the child before execve(2) (its `exited` comes as well).
  case spawnFailed(RunID, SpawnFailure)
  /// The process was reaped. `oomKilled`: the kernel's out-of-memory killer ended it.
  case exited(RunID, ExitStatus, oomKilled: Bool)
  /// Nothing that the run left behind is alive any more. Reported at once when `endTree` finds nothing.
  case treeEnded(RunID)
  /// A signal could not be delivered for another reason than that the process is gone (EPERM, …).
  case signalFailed(RunID, signal: Int32, text: String)
  /// The program told something.
  case notification(RunID, Notification)
  /// A probe ended (or its time ran out: `passed` is false then).
  case probeFinished(RunID, CheckRole, ProbeResult)
  /// Another process reports a check of a program (name or namespec).
  case checkReported(program: String, ReportedCheck)
  /// The supervisor itself received a signal.
  case signalReceived(Int32, pid: Int32, uid: UInt32)
  /// The accept queue of a listener that a program should serve grows (`TCP_INFO`): the program hangs.
  case listenerStalled(String, text: String)
  /// That queue moves again.
  case listenerRecovered(String)
  /// The re-read configuration that `.rereadConfiguration` asked for.
  case reloaded(SupervisorSpec, by: Requester)
  /// It could not be read; the running one stays.
  case reloadFailed(String, by: Requester)
  /// Something that others should know and that changes nothing: it goes into the event ring and the log.
  case remark(String, isWarning: Bool)
  /// No process but the supervisor is left (the answer to `.endRemaining` and `.killRemaining`; at once when there is none).
  case remainingEnded
  /// `nextDeadline` has come, or the wall clock was set (TFD_TIMER_CANCEL_ON_SET). Harmless at any time.
  case timeReached
}
