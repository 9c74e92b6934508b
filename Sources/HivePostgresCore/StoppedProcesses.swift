// A server process that a SIGSTOP has frozen keeps its locks and lightweight locks: one such backend can stall every writer while
// the postmaster, and every check that only reads, finds nothing wrong. PostgreSQL has no remedy of its own. The process is not
// ill, it is only not scheduled: SIGCONT makes it go on where it was, and nothing is lost.

import Glibc

/// Notices frozen children of the postmaster and lets them go on.
///
/// The postmaster itself belongs to PID 1, whose liveness check replaces it. While it is stopped as well, somebody has stopped the
/// whole server (for a snapshot of the volume, say), and its children are left alone. A process that a debugger holds (state t)
/// is named and left alone.
struct StoppedProcesses {
  /// A job-control stop that lasts this long was no shell's.
  static let grace = Duration.milliseconds(900)

  /// One look at the server's processes.
  struct Verdict: Equatable {
    /// To be sent SIGCONT.
    var resume: [ProcessIdentity] = []
    /// Stopped by a signal: work stands still.
    var stopped: [pid_t] = []
    /// Held by a debugger.
    var traced: [pid_t] = []
    /// The postmaster is stopped itself.
    var postmasterStopped = false
  }

  private var seen: [(identity: ProcessIdentity, since: ContinuousClock.Instant)] = []

  /// What to do about the postmaster and its children, seen at `now`.
  mutating func judge(
    postmaster: ProcessInfo, children: [ProcessInfo], at now: ContinuousClock.Instant
  ) -> Verdict {
    var verdict = Verdict()
    verdict.postmasterStopped = postmaster.state == "T"
    verdict.traced = ([postmaster] + children).filter { $0.state == "t" }.map(\.identity.pid)
    let stopped = children.filter { $0.state == "T" }
    verdict.stopped = stopped.map(\.identity.pid)
    seen = stopped.map { child in
      (child.identity, seen.first { $0.identity == child.identity }?.since ?? now)
    }
    guard !verdict.postmasterStopped else { return verdict }
    verdict.resume = seen.filter { now - $0.since >= StoppedProcesses.grace }.map(\.identity)
    return verdict
  }

  /// The postmaster of the cluster and its children as /proc shows them; nil when no postmaster runs that this process may see.
  static func server(of dataDirectory: String) -> (postmaster: ProcessInfo, children: [ProcessInfo])? {
    postmaster(of: dataDirectory).map { ($0, ProcessTable.children($0.identity.pid)) }
  }

  /// The postmaster alone.
  static func postmaster(of dataDirectory: String) -> ProcessInfo? {
    guard let bytes = try? FileSystem.read(Path.join(dataDirectory, "postmaster.pid")),
      case .process(let content) = PostmasterFile(parsing: bytes), !content.standalone,
      let postmaster = ProcessTable.info(content.pid), !postmaster.isDead,
      // The number may be another container's, or somebody else's by now.
      FileSystem.linkTarget("/proc/\(content.pid)/cwd") == ProcessTable.realPath(dataDirectory)
    else { return nil }
    return postmaster
  }
}
