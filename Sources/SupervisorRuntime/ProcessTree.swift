// The runs and all that descends from them.
//
// When a process ends, the kernel gives its children to the nearest subreaper above it, which is us (PID 1, or
// PR_SET_CHILD_SUBREAPER; prctl(2)), before its parent can wait for it. Hence two facts that all of this rests on:
//
// * Once a run's main process can be waited for, everything that it left behind hangs below *direct* children of ours which are no
//   run's main process ("orphans"). Where there is no orphan, no tree has survivors: one small file of /proc tells.
// * Which run an orphan belongs to can be read from its tag (RunTag.swift), its process group, or its cgroup.
//
// Members are signalled through pidfds that are opened first and checked against the start time after that, so that a pid which
// has been recycled in between is never hit.

import CHiveSys
import Glibc
import SupervisorCore

/// All runs and their processes.
public final class ProcessTree {
  private struct Run {
    /// The main process; nil when it has been reaped.
    var main: Int32?
    var pidfd: Int32?
    /// The process group that the main process made: its pid.
    var group: Int32
    var tag: RunTag?
    var cgroup: Cgroup?
    /// SIGKILL has been sent: whoever turns up later gets it too.
    var isKilled = false
  }

  private struct Waiter {
    var done: () -> Void
    var watches: [Int32: (pidfd: Int32, registration: Registration)] = [:]
    var timer: TimerID?
    var delay = Interval.milliseconds(5)
    /// How often its end was put off until zombies are reaped.
    var reaps = 0
    /// For the wait for everybody.
    var isKilled = false
  }

  /// What is waited for.
  private enum Subject: Hashable {
    case run(RunID)
    case everything
  }

  private let loop: EventLoop
  private let table: ProcessTable
  private let own: Int32
  private var runs: [RunID: Run] = [:]
  private var mains: [Int32: RunID] = [:]
  private var tags: [UInt64: RunID] = [:]
  private var groups: [Int32: RunID] = [:]
  private var waiters: [Subject: Waiter] = [:]
  /// There was no orphan when this was last looked at, and no main process has been reaped since.
  private var isKnownOrphanless = false
  /// Takes the exits that are there and calls `recheck` when there were any: the reaper's.
  var reap: (() -> Void)?
  /// Kernel features to do without, for tests: `pidfdOpen`.
  public var without: KernelFeatures = []
  /// For tests: who a process's children are; nil for a kernel that does not list them (CONFIG_PROC_CHILDREN).
  public var listChildren: ((Int32) -> [Int32]?)?

  /// How many members of a tree are watched at once while its end is awaited: all must end, so a few are enough.
  private static let watched = 32
  /// How often a scan is repeated at once because it found somebody new, who may have forked meanwhile.
  private static let rounds = 16

  /// A tree below this process.
  public init(loop: EventLoop, table: ProcessTable = ProcessTable()) {
    self.loop = loop
    self.table = table
    own = getpid()
  }

  deinit {
    for run in runs.values {
      if let pidfd = run.pidfd { close(pidfd) }
    }
  }

  // MARK: Runs

  /// Takes a child that has just been started, with its pidfd, which is closed when the child has been reaped. `cgroup` is the one of
  /// the start's request, which no other run may be in at the same time.
  public func add(_ run: RunID, _ child: SpawnedChild, tag: RunTag?, cgroup: Cgroup? = nil) {
    add(
      run, Run(main: child.pid, pidfd: child.pidfd, group: child.pid, tag: tag, cgroup: child.inCgroup ? cgroup : nil))
  }

  /// Takes over a run that was started before this process was executed anew.
  public func adopt(_ run: RunID, pid: Int32, tag: RunTag?, cgroup: Cgroup? = nil) {
    let pidfd = hive_pidfd_open(pid)
    add(run, Run(main: pid, pidfd: pidfd >= 0 ? pidfd : nil, group: pid, tag: tag, cgroup: cgroup))
  }

  private func add(_ run: RunID, _ entry: Run) {
    release(run)
    runs[run] = entry
    groups[entry.group] = run
    if let main = entry.main { mains[main] = run }
    if let tag = entry.tag { tags[tag.value] = run }
  }

  /// Forgets a run that is over; whatever is left of it is nobody's from now on.
  public func release(_ run: RunID) {
    guard let entry = runs.removeValue(forKey: run) else { return }
    cancelAwait(run)
    if let pidfd = entry.pidfd { close(pidfd) }
    if let main = entry.main { mains[main] = nil }
    if let tag = entry.tag { tags[tag.value] = nil }
    if groups[entry.group] == run { groups[entry.group] = nil }
  }

  /// The pid of a run's main process, until it has been reaped.
  public func pid(of run: RunID) -> Int32? { runs[run]?.main }

  /// The run whose main process this is.
  public func run(ofMain pid: Int32) -> RunID? { mains[pid] }

  /// The run that a process belongs to, by descent, tag or group; nil for processes of nobody.
  public func run(containing pid: Int32) -> RunID? {
    var current = pid
    for _ in 0..<128 {
      if let run = mains[current] { return run }
      guard let entry = table.entry(current) else { return nil }
      if entry.parent == own { return owner(ofOrphan: entry) }
      current = entry.parent
    }
    return nil
  }

  /// The reaper has found this main process dead and is about to reap it.
  func mainEnded(_ pid: Int32) -> RunID? {
    guard let run = mains.removeValue(forKey: pid) else { return nil }
    if let pidfd = runs[run]?.pidfd { close(pidfd) }
    runs[run]?.pidfd = nil
    runs[run]?.main = nil
    return run
  }

  /// What is known of our children is out of date.
  func childrenChanged() { isKnownOrphanless = false }

  // MARK: Questions

  /// Whether nothing of a run is left. For all exits of one batch together this costs one read of a small file, as long as no run
  /// has left anything behind.
  public func isEmpty(_ run: RunID) -> Bool {
    guard let entry = runs[run] else { return true }
    if entry.main != nil { return false }
    // Nobody can join a tree that is empty: "no orphans at all", read after the main process was reaped, stays true for it.
    if !isKnownOrphanless {
      isKnownOrphanless = orphans().isEmpty
      if !isKnownOrphanless && !hasNoOrphans(run) { return false }
    }
    return entry.cgroup?.isEmpty ?? true
  }

  /// An orphan that ends while we look hands its children to us behind our back: so none of them may be the run's, and none may
  /// have come while we looked.
  private func hasNoOrphans(_ run: RunID) -> Bool {
    for _ in 0..<ProcessTree.rounds {
      let before = orphans()
      for orphan in before {
        if let process = table.entry(orphan), process.isAlive, owner(ofOrphan: process) == run { return false }
      }
      if Set(orphans()).isSubset(of: before) { return true }
    }
    return false
  }

  /// The living processes of a run, the main process first, parents before children.
  public func members(_ run: RunID) -> [ProcessEntry] {
    guard let entry = runs[run] else { return [] }
    var roots: [Int32] = []
    if let main = entry.main { roots.append(main) }
    for orphan in orphans() {
      if let process = table.entry(orphan), owner(ofOrphan: process) == run { roots.append(orphan) }
    }
    if let cgroup = entry.cgroup { roots += cgroup.processes() }
    return closure(of: roots)
  }

  /// All living processes below this one, for the end of the supervisor. Processes that were put into the container from outside
  /// (`docker exec`, nsenter) are not among them: they are somebody else's until they are left to us.
  public func remainingProcesses() -> [ProcessEntry] { closure(of: children()).filter { $0.pid != own } }

  // MARK: Signals

  /// Sends a signal to a run's main process. Returns 0 or errno; ESRCH when it has ended.
  public func signalMain(_ run: RunID, _ signal: Int32) -> Int32 {
    guard let entry = runs[run], let main = entry.main else { return ESRCH }
    if let pidfd = entry.pidfd {
      if hive_pidfd_signal(pidfd, signal) == 0 { return 0 }
      if errno != ENOSYS && errno != EPERM { return errno }
    }
    // Without pidfds the pid is as good: it cannot be recycled before it has been reaped, and then `main` is nil.
    return kill(main, signal) == 0 ? 0 : errno
  }

  /// Sends a signal to the process group of a run, as supervisord's `stopasgroup` and `killasgroup`. Returns 0 or errno; ESRCH when
  /// the main process has been reaped: its group's number may be anybody's then, and `signal` finds who is left.
  public func signalGroup(_ run: RunID, _ signal: Int32) -> Int32 {
    guard let entry = runs[run], entry.main != nil else { return ESRCH }
    return kill(-entry.group, signal) == 0 ? 0 : errno
  }

  /// Sends a signal to every process of a run, and looks again until nobody new turns up; returns how many got it. Stopped processes
  /// are continued (as systemd does), or they would not see it. After SIGKILL, also who is found later while the end is
  /// awaited gets it.
  @discardableResult
  public func signal(_ run: RunID, _ signal: Int32) -> Int {
    if signal == SIGKILL {
      runs[run]?.isKilled = true
      runs[run]?.cgroup?.kill()
    }
    return self.signal(signal) { self.members(run) }
  }

  /// Sends a signal to every process below this one.
  @discardableResult
  public func signalRemaining(_ signal: Int32) -> Int {
    if signal == SIGKILL { waiters[.everything]?.isKilled = true }
    return self.signal(signal) { self.remainingProcesses() }
  }

  private func signal(_ signal: Int32, _ find: () -> [ProcessEntry]) -> Int {
    var done: Set<Int32> = []
    for _ in 0..<ProcessTree.rounds {
      let found = find().filter { !done.contains($0.pid) }
      if found.isEmpty { break }
      for process in found {
        done.insert(process.pid)
        send(signal, to: process)
      }
      // A process that got this signal may fork until it has handled it; only those that die of it at once are worth a hunt.
      if signal != SIGKILL { break }
    }
    return done.count
  }

  private func send(_ signal: Int32, to process: ProcessEntry) {
    let pidfd = without.contains(.pidfdOpen) ? -1 : hive_pidfd_open(process.pid)
    defer { if pidfd >= 0 { close(pidfd) } }
    // Opened first, compared after that: if it is the same process now, the pidfd is that process's.
    guard let now = table.entry(process.pid), now.startTime == process.startTime, now.isAlive else { return }
    let deliver: (Int32) -> Void = { number in
      if pidfd < 0 || hive_pidfd_signal(pidfd, number) != 0 && errno == ENOSYS { _ = kill(process.pid, number) }
    }
    deliver(signal)
    if now.state == UInt8(ascii: "T") && signal != SIGKILL && signal != SIGCONT && signal != SIGSTOP {
      deliver(SIGCONT)
    }
  }

  // MARK: Waiting for the end

  /// Sends a signal to all that is left of a run (SIGKILL: also to whoever turns up later), and calls `ended` once, when nothing is
  /// left: later than this call, but in the same turn of the loop when there is nothing now.
  public func end(_ run: RunID, signal: Int32, _ ended: @escaping () -> Void) {
    if !isEmpty(run) { self.signal(run, signal) }
    awaitEmpty(run, ended)
  }

  /// The same for every process below this one.
  public func endRemaining(signal: Int32, _ ended: @escaping () -> Void) {
    awaitNothingRemaining(ended)
    signalRemaining(signal)
  }

  /// Calls `done` once, later than this call, when nothing of the run is left. Nothing ticks meanwhile where the kernel has pidfds.
  /// A second call for the same run replaces the first.
  public func awaitEmpty(_ run: RunID, _ done: @escaping () -> Void) { wait(for: .run(run), done) }

  /// Calls `done` once, later than this call, when there is no process below this one.
  public func awaitNothingRemaining(_ done: @escaping () -> Void) { wait(for: .everything, done) }

  /// Stops waiting for a run's end.
  public func cancelAwait(_ run: RunID) { cancel(.run(run)) }

  private func wait(for subject: Subject, _ done: @escaping () -> Void) {
    cancel(subject)
    waiters[subject] = Waiter(done: done)
    // Always later: the caller's state is in order by then.
    waiters[subject]?.timer = loop.schedule(at: Instant(nanoseconds: 0)) { [weak self] in self?.check(subject) }
  }

  private func cancel(_ subject: Subject) {
    guard let waiter = waiters.removeValue(forKey: subject) else { return }
    if let timer = waiter.timer { loop.cancel(timer) }
    for watch in waiter.watches.values { unwatch(watch) }
  }

  /// The reaper is done with a batch: those who wait may have got what they wait for.
  func recheck() {
    if waiters.isEmpty { return }
    for subject in Array(waiters.keys) { checkReaped(subject) }
  }

  /// A process has ended as soon as it is a zombie, which pidfds and /proc may tell before SIGCHLD does. Who waits starts the program
  /// anew, and that must not find the old one's pids still taken: `kill -0` of a pid file's number says that a zombie is alive.
  private func check(_ subject: Subject) {
    guard waiters[subject] != nil else { return }
    reap?()
    checkReaped(subject)
  }

  private func checkReaped(_ subject: Subject) {
    guard var waiter = waiters[subject] else { return }
    if let timer = waiter.timer { loop.cancel(timer) }
    waiter.timer = nil
    if isOver(subject) { return finishReaped(subject, waiter) }
    var left = survivors(of: subject)
    if isKilled(subject) && !left.isEmpty {
      for process in left { send(SIGKILL, to: process) }
      left = survivors(of: subject)
    }
    if left.isEmpty && isOver(subject) { return finishReaped(subject, waiter) }
    watch(left, subject, &waiter)
    waiters[subject] = waiter
  }

  /// Who has died since the reaper looked is reaped first. Not for ever: a tracer may keep a zombie from us.
  private func finishReaped(_ subject: Subject, _ waiter: Waiter) {
    guard waiter.reaps < ProcessTree.rounds, hasZombies() else { return finish(subject, waiter) }
    var waiter = waiter
    waiter.reaps += 1
    waiter.timer = loop.schedule(at: Instant(nanoseconds: 0)) { [weak self] in self?.check(subject) }
    waiters[subject] = waiter
  }

  /// Whether an orphan is dead and has not been reaped; whose it was cannot be told any more.
  private func hasZombies() -> Bool {
    !isKnownOrphanless && orphans().contains { pid in table.entry(pid).map { !$0.isAlive } ?? false }
  }

  private func finish(_ subject: Subject, _ waiter: Waiter) {
    waiters[subject] = waiter
    cancel(subject)
    waiter.done()
  }

  private func survivors(of subject: Subject) -> [ProcessEntry] {
    switch subject {
    case .run(let run): members(run)
    case .everything: remainingProcesses()
    }
  }

  private func isKilled(_ subject: Subject) -> Bool {
    switch subject {
    case .run(let run): runs[run]?.isKilled ?? false
    case .everything: waiters[subject]?.isKilled ?? false
    }
  }

  /// A main process that is dead and has not been reaped is not over: its exit has not been told yet.
  private func isOver(_ subject: Subject) -> Bool {
    switch subject {
    case .run(let run): isEmpty(run)
    // Whatever is below us hangs below a direct child, of which zombies are about to be reaped: then we are called again.
    case .everything: children().isEmpty
    }
  }

  /// Watches some of those who are left by pidfd; by a timer where that cannot be had.
  private func watch(_ left: [ProcessEntry], _ subject: Subject, _ waiter: inout Waiter) {
    let wanted = left.prefix(ProcessTree.watched)
    for (pid, watch) in waiter.watches where !wanted.contains(where: { $0.pid == pid }) {
      unwatch(watch)
      waiter.watches[pid] = nil
    }
    var unwatched = left.isEmpty
    for process in wanted where waiter.watches[process.pid] == nil {
      let pidfd = without.contains(.pidfdOpen) ? -1 : hive_pidfd_open(process.pid)
      let registration =
        pidfd < 0 ? nil : try? loop.add(pidfd, .readable) { [weak self] _ in self?.check(subject) }
      if let registration {
        waiter.watches[process.pid] = (pidfd, registration)
      } else {
        if pidfd >= 0 { close(pidfd) }
        unwatched = true
      }
    }
    // Without pidfds, and for what is about to be reaped by us (the reaper will call `recheck`), look again soon.
    if unwatched && waiter.watches.isEmpty {
      waiter.timer = loop.schedule(after: waiter.delay) { [weak self] in self?.check(subject) }
      waiter.delay = min(Interval(nanoseconds: waiter.delay.nanoseconds &* 2), .milliseconds(100))
    }
  }

  private func unwatch(_ watch: (pidfd: Int32, registration: Registration)) {
    loop.remove(watch.registration)
    close(watch.pidfd)
  }

  // MARK: Looking

  /// Our direct children that are no run's main process.
  private func orphans() -> [Int32] { children().filter { mains[$0] == nil } }

  private func children() -> [Int32] {
    if let children = listChildren.map({ $0(own) }) ?? table.children(of: own) { return children }
    return table.all().filter { $0.parent == own }.map(\.pid)
  }

  /// Whose an orphan is. The tag decides where there is one; a group's number alone could be a recycled one when the run's main
  /// process has been reaped, but not while a process with that number, which would be a stranger, leads it.
  private func owner(ofOrphan process: ProcessEntry) -> RunID? {
    if let tag = table.tag(process.pid), RunTag.range.contains(tag) { return tags[tag] }
    return process.pid != process.group ? groups[process.group] : nil
  }

  /// The living among `roots` and all their descendants, each once, parents before children.
  private func closure(of roots: [Int32]) -> [ProcessEntry] {
    var seen: Set<Int32> = [own]
    var result: [ProcessEntry] = []
    var queue = roots
    var next = 0
    var parents: [Int32: [Int32]]?
    while next < queue.count {
      let pid = queue[next]
      next += 1
      guard seen.insert(pid).inserted else { continue }
      guard let entry = table.entry(pid) else { continue }
      if entry.isAlive { result.append(entry) }
      if let children = listChildren.map({ $0(pid) }) ?? table.childrenOfAllThreads(of: pid) {
        queue += children
      } else {
        if parents == nil { parents = Dictionary(grouping: table.all(), by: \.parent).mapValues { $0.map(\.pid) } }
        queue += parents?[pid] ?? []
      }
    }
    return result
  }
}
