// `hivesup PROGRAM …`: the init of one program, where no supervision is wanted (`docker run IMAGE psql …`). tini's contract
// (github.com/krallin/tini), and two promises more:
//
// * every signal that can be caught is handed to the program, once; its exit status is ours, 128 + n for signal n;
// * whatever is orphaned is reaped: as PID 1, or as a subreaper (prctl(2));
// * the program has its own process group, which owns the terminal, no signal ignored or blocked, and our descriptors as they are;
// * what outlives it gets TERM and its time, and KILL only then (tini and dumb-init leave a daemon to the kernel's KILL);
// * Ctrl-Z stops us with it where a shell could continue us, and is undone where nobody could (InitTerminal.swift).

import CHiveSys
import Glibc
import SupervisorCore

/// Runs one program as its init.
public final class ProgramInit {
  /// Not executable, or not startable for another reason (POSIX shells, env(1), Docker).
  public static let cannotExecute: Int32 = 126
  /// Not found.
  public static let notFound: Int32 = 127

  /// How long what outlives the program may take for its TERM. Docker's own patience is 10 s for all of it.
  static let patience = Interval.seconds(5)
  /// How long the kernel may take to end what has been killed; what is in uninterruptible sleep may take for ever.
  static let patienceAfterKill = Interval.seconds(2)

  private static let run = RunID(program: ProgramID(1), run: 1)

  private let loop: EventLoop
  private let tree: ProcessTree
  private let reaper: Reaper
  private let terminal = InitTerminal()
  private var pid: Int32 = 0
  /// The program's end; nil while it runs.
  private var status: Int32?
  /// A stop came through us and nobody has continued the program since: it is wanted.
  private var isStopWanted = false

  private init(loop: EventLoop) {
    self.loop = loop
    tree = ProcessTree(loop: loop)
    reaper = Reaper(loop: loop, tree: tree)
    reaper.exited = { [weak self] _, _, status in self?.ended(status) }
  }

  /// Starts `file` with `arguments` (the first is its own name), and returns the exit status when it and all that it left has ended. What
  /// cannot be done is said with `report`.
  public static func run(
    file: String, arguments: [UnsafeMutablePointer<CChar>?], report: (String) -> Void
  ) -> Int32 {
    do throws(SystemError) {
      let loop = try EventLoop()
      let host = ProgramInit(loop: loop)
      // First of all, so that a signal during the rest reaches the program.
      let signals = try Signals(forwarded, loop: loop) { [weak host] in host?.received($0) }
      if getpid() != 1 && hive_set_subreaper(1) != 0 {
        report("cannot become the reaper of orphans: \(errorText(errno)); what daemonises is lost sight of")
      }
      let start = ProgramStart(file: file, arguments: arguments, takesTerminal: host.terminal.isOurs)
      switch start.start() {
      case .failure(let refused):
        report(refused.text)
        return refused.status
      case .success(let child):
        host.pid = child.pid
        host.tree.add(ProgramInit.run, child, tag: nil)
      }
      host.reaper.reap()
      withExtendedLifetime(signals) { loop.run() }
      return host.status ?? cannotExecute
    } catch {
      report("\(error)")
      return cannotExecute
    }
  }

  /// What is taken from the kernel for the program: all that can be caught. A fault of our own (SEGV, ILL, …) ends us all the same: the
  /// kernel unblocks what it forces (force_sig(), kernel/signal.c). glibc keeps 32 and 33 for itself.
  static var forwarded: [Int32] { (1...64).filter { ![SIGKILL, SIGSTOP, 32, 33].contains($0) } }

  // MARK: Signals

  /// `Signals` drops TTIN and TTOU: they are the terminal's word to a whole process group, never meant for another one.
  private func received(_ signal: ReceivedSignal) {
    switch signal.number {
    case SIGCHLD:
      reaper.reap()
      if status == nil {
        let stopped = hive_wait_stopped(pid)
        if stopped != 0 { self.stopped(by: stopped) }
      }
      return
    // Our own write to a closed pipe.
    case SIGPIPE where signal.pid == getpid(): return
    case SIGTSTP: isStopWanted = true
    case SIGCONT:
      isStopWanted = false
      if status == nil { terminal.handOver(to: pid) }
    default: break
    }
    if status == nil {
      _ = tree.signalMain(ProgramInit.run, signal.number)
    } else {
      tree.signalRemaining(signal.number)
    }
  }

  /// Ctrl-Z, or a read of the terminal from the background. STOP is somebody's deliberate act and stays.
  private func stopped(by signal: Int32) {
    guard [SIGTSTP, SIGTTIN, SIGTTOU].contains(signal) else { return }
    let hasStopped = InitTerminal.stopSelf(by: signal, withGroup: !isStopWanted)
    if isStopWanted && !hasStopped { return }
    isStopWanted = false
    let hasTerminal = terminal.handOver(to: pid)
    // Continued in the background without a shell, it would read again and be stopped again, without end.
    if signal != SIGTSTP && !hasStopped && !hasTerminal { return }
    _ = kill(-pid, SIGCONT)
  }

  // MARK: The end

  private func ended(_ status: ExitStatus) {
    self.status = status.shellStatus
    // A Ctrl-C from now on is for us.
    terminal.takeBack(from: pid)
    tree.endRemaining(signal: SIGTERM) { [weak self] in self?.loop.stop() }
    loop.schedule(after: ProgramInit.patience) { [weak self] in self?.killRemaining() }
  }

  private func killRemaining() {
    tree.endRemaining(signal: SIGKILL) { [weak self] in self?.loop.stop() }
    loop.schedule(after: ProgramInit.patienceAfterKill) { [weak self] in self?.loop.stop() }
  }
}
