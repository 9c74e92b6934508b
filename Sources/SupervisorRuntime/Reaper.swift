// The one owner of all waits. A child that has exited is looked at first (WNOWAIT): while it is a zombie, its pid belongs to it and
// nobody else. Then it is told apart - a program's run, a start that failed, an orphan that was left to us - and then exactly that
// pid is reaped. Callers hear of it after that, so that what they do next cannot meet the zombie.

import CHiveSys
import Glibc
import SupervisorCore

/// Reaps every child of this process.
public final class Reaper {
  /// How many exits one turn of the loop takes, so that a storm of orphans starves nobody.
  static let batch = 256

  private let loop: EventLoop
  private let tree: ProcessTree
  private var discarded: Set<Int32> = []
  private var again: TimerID?

  /// Called before the exits are taken: what their processes have sent is read while it is known whose it is.
  public var willReap: () -> Void = {}
  /// The main process of a run has ended. What it has left behind is `ProcessTree`'s to tell.
  public var exited: (_ run: RunID, _ pid: Int32, _ status: ExitStatus) -> Void = { _, _, _ in }
  /// A process that was left to us has ended.
  public var orphan: (_ pid: Int32, _ status: ExitStatus) -> Void = { _, _ in }
  /// How many orphans have been reaped.
  public private(set) var orphans: UInt64 = 0

  /// A reaper that knows the runs of `tree`. Register a child there in the same turn of the loop in which it was started: exits
  /// are only looked for in `reap`, so that none is missed however quick it is.
  public init(loop: EventLoop, tree: ProcessTree) {
    self.loop = loop
    self.tree = tree
    tree.reap = { [weak self] in self?.reap() }
  }

  /// A child that never became a program (`SpawnOutcome.failed` with a pid): it is reaped without a word.
  public func discard(_ pid: Int32) { discarded.insert(pid) }

  /// Takes the exits that are there. Call it for SIGCHLD (of which one may stand for many, and which also tells of stops and
  /// continues: those are left alone), and once when the signals have been set up.
  public func reap() {
    willReap()
    if let again { loop.cancel(again) }
    again = nil
    var exits: [(pid: Int32, run: RunID?, status: ExitStatus)] = []
    var information = hive_exit()
    var hasReaped = false
    while hive_wait(0, 1, &information) == 1 {
      let pid = information.pid
      let run = tree.mainEnded(pid)
      let isSilent = discarded.remove(pid) != nil
      let status = ExitStatus(information)
      // Failing would mean that somebody else reaps our children; peeking at the same zombie for ever would be worse.
      if hive_wait(pid, 0, &information) != 1 { break }
      hasReaped = true
      if !isSilent { exits.append((pid, run, status)) }
      if exits.count >= Reaper.batch {
        again = loop.schedule(at: Instant(nanoseconds: 0)) { [weak self] in self?.reap() }
        break
      }
    }
    // SIGCHLD also tells of stops, and of what has been taken before it arrived.
    if !hasReaped { return }
    tree.childrenChanged()
    for exit in exits {
      if let run = exit.run {
        exited(run, exit.pid, exit.status)
      } else {
        orphans &+= 1
        orphan(exit.pid, exit.status)
      }
    }
    tree.recheck()
  }
}

extension ExitStatus {
  /// From waitid(2).
  init(_ information: hive_exit) {
    switch information.code {
    case Int32(CLD_EXITED): self = .exited(information.status & 0xFF)
    case Int32(CLD_DUMPED): self = .signaled(information.status, core: true)
    default: self = .signaled(information.status, core: false)
    }
  }
}
