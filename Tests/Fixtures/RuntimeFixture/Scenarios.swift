import CHiveSys
import Glibc
import SupervisorCore
import SupervisorRuntime

extension Fixture {
  /// `storm N`: N starts as fast as can be. Nothing is lost and nothing is left.
  func storm(_ arguments: [String]) throws {
    let count = arguments.first.flatMap { Int($0) } ?? 2000
    _ = try start(["/bin/true"])
    turn("first exit") { exits.count == 1 }
    let before = descriptors
    for index in 0..<count {
      _ = try start(["/bin/true"])
      if index % 50 == 0 { loop.turn(wait: false) }
    }
    turn("all exits") { exits.count == count + 1 }
    print("exits \(exits.count) clean \(exits.values.allSatisfy { $0 == .exited(0) })")
    print("descriptors \(descriptors - before) children \(children) orphans \(reaper.orphans)")
  }

  /// All 256 exit statuses and all signals that end a process.
  func statuses(_ arguments: [String]) throws {
    var wanted: [RunID: SupervisorCore.ExitStatus] = [:]
    for status in Int32(0)...255 { wanted[try shell("exit \(status)")] = .exited(status) }
    // Stop, continue, window size, urgent data and child: the default action of these ends nobody. 32 and 33 are glibc's.
    let harmless: Set<Int32> = [SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH, 32, 33]
    for signal in Int32(1)...64 where !harmless.contains(signal) {
      let run = try start(["/bin/sleep", "100"])
      wanted[run] = .signaled(signal, core: false)
      if tree.signalMain(run, signal) != 0 { print("cannot send \(signal)") }
    }
    turn("all exits") { exits.count == wanted.count }
    for (run, status) in wanted {
      // Whether a core file was written is the machine's business.
      var seen = exits[run]
      if case .signaled(let number, _)? = seen { seen = .signaled(number, core: false) }
      if seen != status { print("wanted \(status), saw \(String(describing: seen))") }
    }
    print("checked \(wanted.count) children \(children)")
  }

  /// `orphans N`: N double-forked processes end; all are reaped, none is told as a run's.
  func orphans(_ arguments: [String]) throws {
    let count = arguments.first.flatMap { Int($0) } ?? 500
    let run = try shell("i=0; while [ $i -lt \(count) ]; do (exec true &); i=$((i+1)); done")
    turnUntilExit(run)
    poll("all orphans") { reaper.orphans >= UInt64(count) && children == 0 }
    print("orphans \(reaper.orphans) exits \(exits.count) children \(children)")
  }

  /// Starts that fail in the child: reaped in silence.
  func failures(_ arguments: [String]) throws {
    let before = descriptors
    var failed = 0
    for _ in 0..<100 {
      do { _ = try start(["/etc/passwd"]) } catch { failed += 1 }
      var execution = ExecutionSpec(arguments: ["/bin/true"])
      execution.directory = "/no/such/directory"
      if case .failed(_, let pid?) = spawner.start(SpawnRequest(execution)) {
        failed += 1
        reaper.discard(pid)
      }
    }
    poll("reaping") { children == 0 }
    print("failed \(failed) orphans \(reaper.orphans) exits \(exits.count) descriptors \(descriptors - before)")
  }

  /// `inotify N`: that many instances, one after the other.
  func inotify(_ arguments: [String]) throws {
    let wanted = arguments.first.flatMap { Int($0) } ?? 178
    var made = 0
    for _ in 0..<wanted {
      var descriptor = inotify_init1(Int32(IN_CLOEXEC))
      // The collector may be behind; it must catch up.
      if descriptor < 0 {
        poll("the collector") {
          descriptor = inotify_init1(Int32(IN_CLOEXEC))
          return descriptor >= 0
        }
      }
      if inotify_add_watch(descriptor, "/", UInt32(IN_DELETE_SELF)) >= 0 { made += 1 }
      hive_close_in_background(descriptor)
    }
    print("made all \(made == wanted)")
  }

  /// `shortage`: the last descriptors and processes are gone, really. To be run without root's rights.
  func shortage(_ arguments: [String]) throws {
    func attempt() -> String {
      do {
        let run = try start(["/bin/sleep", "1000"])
        defer { turnUntilExit(run) }
        return "started, signal \(tree.signalMain(run, SIGTERM))"
      } catch let failure as SpawnFailure {
        return "\(failure.stage) \(failure.errno) shortage \(failure.isShortage)"
      } catch {
        return "\(error)"
      }
    }
    let descriptors = descriptors
    // `descriptors` counts ., .. and the directory itself: this leaves room for none, one and two more - the pipe, but no pidfd.
    for room in 0...3 {
      guard hive_set_limit(7, UInt64(descriptors - 3 + room), 4096) == 0 else { return print("cannot limit") }
      print("room for \(room): \(attempt())")
    }
    _ = hive_set_limit(7, 4096, 4096)
    guard hive_set_limit(6, 0, 0) == 0 else { return print("cannot limit") }
    print("no process: \(attempt())")
    print("children \(children) orphans \(reaper.orphans)")
  }

  /// `survivors SIGNAL`: daemons that have left group, session, parent and environment outlive the main process, which is killed.
  func survivors(_ arguments: [String]) throws {
    let signal = arguments.first.flatMap { Int32($0) } ?? SIGTERM
    let user = arguments.dropFirst().first
    let run = try shell(
      """
      setsid sh -c '(setsid env -i /bin/sleep 1000 &) ; (exec /bin/sleep 1000 &)' &
      (trap '' HUP; setsid sh -c '/bin/sleep 1000 & /bin/sleep 1000 & wait' &)
      exec /bin/sleep 1000
      """, user: user)
    // The main process, two lone daemons, and a daemon with two children.
    poll("six members") { tree.members(run).filter { $0.name == "sleep" }.count == 5 && tree.members(run).count == 6 }
    let other = try start(["/bin/sleep", "1000"])
    _ = tree.signalMain(run, SIGKILL)
    turnUntilExit(run)
    print("exit \(String(describing: exits[run]?.shellStatus ?? -1)) survivors \(tree.members(run).count)")
    end(run, signal)
    print("other \(tree.members(other).count) alive \(exits[other] == nil)")
    end(other, SIGKILL)
    print("children \(children)")
  }

  /// Orphans that are nobody's do not keep a run from being over, and are not hit.
  func strangers(_ arguments: [String]) throws {
    // A child that is started behind the runtime's back, with no tag: to the tree it is a stranger's orphan.
    let stranger = try start(["/bin/sleep", "1000"])
    guard let pid = tree.pid(of: stranger) else { return print("never: pid") }
    tree.release(stranger)
    let run = try shell("exit 0")
    turnUntilExit(run)
    print("empty \(tree.isEmpty(run)) members \(tree.members(run).count)")
    end(run, SIGKILL)
    print("stranger \(kill(pid, 0) == 0) owner \(String(describing: tree.run(containing: pid)))")
    kill(pid, SIGKILL)
  }

  /// The wait for a survivor's own end does not tick.
  func quiet(_ arguments: [String]) throws {
    let run = try shell("setsid sh -c '(trap \"\" TERM; sleep 1; sleep 0.2) & wait' & sleep 0.1; exit 3")
    turnUntilExit(run)
    var isEnded = false
    let wakeups = loop.wakeups
    tree.end(run, signal: SIGCONT) { isEnded = true }
    turn("end") { isEnded }
    print("empty \(tree.isEmpty(run)) quiet \(loop.wakeups - wakeups < 12) wakeups \(loop.wakeups - wakeups)")
  }

  /// The end of a tree is told when its processes have been reaped, not when they are dead; also when they were dead before anybody
  /// asked.
  func zombies(_ arguments: [String]) throws {
    var met = 0
    var isAsked = false
    var unasked = 0
    reaper.willReap = { isAsked = true }
    reaper.orphan = { _, _ in
      if !isAsked { unasked += 1 }
      isAsked = false
    }
    for isDeadBefore in [true, false] {
      for _ in 0..<20 {
        let run = try shell("sleep 1000 & exit 0")
        turnUntilExit(run)
        guard let survivor = tree.members(run).first?.pid else { return print("no survivor") }
        if isDeadBefore {
          kill(survivor, SIGKILL)
          while ProcessTable().entry(survivor)?.isAlive == true { usleep(1000) }
        }
        var isEnded = false
        tree.end(run, signal: SIGTERM) {
          isEnded = true
          if kill(survivor, 0) == 0 { met += 1 }
        }
        turn("end") { isEnded }
      }
    }
    print("met \(met) unasked \(unasked) children \(children)")
  }

  /// A tree that forks faster than one scan can follow is killed all the same.
  func forkers(_ arguments: [String]) throws {
    // Bounded by its own count in case that the test fails.
    let run = try shell("f() { [ $1 -lt 400 ] && { setsid sh -c 'sleep 50' & f $(($1+1)); }; wait; }; f 0")
    poll("twenty members") { tree.members(run).count > 20 }
    end(run, SIGKILL)
    turnUntilExit(run)
    poll("reaping") { children == 0 }
    print("children \(children)")
  }

  /// A survivor that hands its place to a child again and again while it is being looked for is never overlooked.
  func handover(_ arguments: [String]) throws {
    let run = try shell(
      "(setsid sh -c 'i=0; f() { [ $1 -lt 300 ] && { (exec sleep 0.002); $0 -c x; }; }; "
        + "i=0; while [ $i -lt 200 ]; do (sleep 0.005 &); sleep 0.004; i=$((i+1)); done' &); exit 0")
    turnUntilExit(run)
    let began = Clock.instant()
    var looks = 0
    var isEnded = false
    tree.awaitEmpty(run) { isEnded = true }
    while !isEnded && looks < 100_000 {
      loop.turn(wait: false)
      // A chain of 200 steps of 4 ms and more: whoever says "empty" before that has overlooked one.
      if tree.isEmpty(run) && Clock.instant() - began < .milliseconds(700) { return print("overlooked") }
      looks += 1
      if isEnded && Clock.instant() - began < .milliseconds(700) { return print("ended too early") }
      turn(for: .milliseconds(1))
    }
    print("ended \(isEnded) empty \(tree.isEmpty(run))")
  }

  /// The final sweep: every process below, whatever run it was of.
  func remaining(_ arguments: [String]) throws {
    for _ in 0..<3 {
      _ = try shell("(setsid sh -c 'trap \"\" TERM; while :; do sleep 0.1; done' &); setsid sleep 1000 & sleep 1000")
    }
    poll("many") { tree.remainingProcesses().count >= 12 }
    var isEnded = false
    tree.endRemaining(signal: SIGTERM) { isEnded = true }
    turn(for: .milliseconds(300))
    let stubborn = Set(tree.remainingProcesses().map(\.name))
    print("after TERM ended \(isEnded) stubborn \(stubborn.contains("sh"))")
    tree.endRemaining(signal: SIGKILL) { isEnded = true }
    turn("the end") { isEnded }
    print("ended \(isEnded) remaining \(tree.remainingProcesses().count) children \(children)")
  }

  /// Every signal that is taken arrives once, with its sender; stop signals of the terminal do not stop.
  func signals(_ arguments: [String]) throws {
    let quiet: Set<Int32> = [SIGCHLD, SIGTTIN, SIGTTOU]
    for signal in Signals.all {
      received = []
      kill(getpid(), signal)
      loop.turn(wait: false)
      let isRight = received.allSatisfy { $0.number == signal && $0.pid == getpid() && $0.uid == getuid() }
      if !isRight || received.count != (quiet.contains(signal) ? 0 : 1) { print("signal \(signal): \(received)") }
    }
    // glibc's own two are in no mask of its making, and must not end us.
    for signal in Int32(32)...33 { kill(getpid(), signal) }
    // Real-time signals queue; a hundred take several turns and none is lost.
    received = []
    for _ in 0..<100 { kill(getpid(), 40) }
    turn("a hundred") { received.count == 100 }
    // Writing to a closed pipe answers EPIPE.
    var ends: [Int32] = [0, 0]
    pipe(&ends)
    close(ends[0])
    let written = write(ends[1], "x", 1)
    print("signals \(Signals.all.count) queued \(received.count) epipe \(written == -1 && errno == EPIPE)")
  }

  /// A stopped survivor sees the signal that ends it.
  func stopped(_ arguments: [String]) throws {
    let run = try shell("(setsid sleep 1000 &); exec sleep 1000")
    poll("two") { tree.members(run).filter { $0.name == "sleep" }.count == 2 }
    guard let main = tree.pid(of: run) else { return print("never: pid") }
    let survivor = tree.members(run).first { $0.pid != main }
    guard let survivor else { return print("never: survivor") }
    kill(survivor.pid, SIGSTOP)
    poll("stop") { ProcessTable().entry(survivor.pid)?.state == UInt8(ascii: "T") }
    // Stops of children are SIGCHLDs too, and are not exits.
    kill(main, SIGSTOP)
    kill(main, SIGCONT)
    turn(for: .milliseconds(50))
    print("exits \(exits.count)")
    _ = tree.signalMain(run, SIGTERM)
    turnUntilExit(run)
    end(run, SIGTERM)
  }

  /// `cgroup`: two runs of a program, one after the other, in its cgroup are found and killed there, tag or not.
  func cgroup(_ arguments: [String]) throws {
    var cgroups = ProgramCgroups(place: CgroupPlace.detect())
    guard let base = cgroups?.path else { return print("no cgroup can be made") }
    var paths: [String] = []
    for _ in 0..<2 {
      guard let cgroup = cgroups?.cgroup(for: "group:a/b") else { return print("no cgroup can be made") }
      paths.append(cgroup.path)
      let run = try shell("(setsid sh -c 'ulimit -x 7; exec env -i sleep 1000' &); exec sleep 1000", cgroup: cgroup)
      poll("two") { cgroup.processes().count == 2 && tree.members(run).filter { $0.name == "sleep" }.count == 2 }
      print("populated \(!cgroup.isEmpty)")
      _ = tree.signalMain(run, SIGKILL)
      turnUntilExit(run)
      print("survivors \(tree.members(run).count) empty \(tree.isEmpty(run))")
      end(run, SIGKILL)
      tree.release(run)
    }
    print("removed \(paths.allSatisfy { access($0, F_OK) != 0 })")
    cgroups = nil
    print("nothing left \(access(base, F_OK) != 0)")
  }

  /// A process whose first thread has ended looks like a zombie and is none. Needs python3.
  func threads(_ arguments: [String]) throws {
    let run = try shell(
      "(setsid python3 -c 'import threading,time,ctypes; threading.Thread(target=time.sleep, args=(1000,)).start(); "
        + "ctypes.CDLL(None).pthread_exit(None)' &); exit 0")
    turnUntilExit(run)
    poll("a leader that is gone") { tree.members(run).contains { $0.state == UInt8(ascii: "Z") } }
    print("empty \(tree.isEmpty(run))")
    end(run, SIGKILL)
  }

  /// Signals to the group reach the group; afterwards its number is not used any more.
  func group(_ arguments: [String]) throws {
    let run = try shell("sleep 1000 & sleep 1000 & wait")
    poll("three") { tree.members(run).filter { $0.name == "sleep" }.count == 2 }
    print("group \(tree.signalGroup(run, SIGTERM))")
    turnUntilExit(run)
    poll("orphans") { tree.isEmpty(run) }
    print("gone \(tree.signalGroup(run, SIGTERM) == ESRCH) main \(tree.signalMain(run, SIGTERM) == ESRCH)")
  }

  /// `doctor [ROOT]`: what the doctor finds, one feature a line, with proc and cgroups at another place.
  func doctor(_ arguments: [String]) throws {
    var doctor = Doctor()
    if let root = arguments.first { (doctor.proc, doctor.cgroups) = (root, root) }
    let report = doctor.examine()
    for finding in report.findings {
      print(
        "\(finding.feature) \(finding.available) \(([finding.detail] + [finding.remedy].compactMap { $0 }).joined(separator: "; "))"
      )
    }
    print("fit \(report.isFit)")
  }

  /// The doctor's trials put everything back.
  func doctorTrace(_ arguments: [String]) throws {
    func state() -> [String] {
      ["oom_score_adj", "limits"].map { file in
        var text = [UInt8](repeating: 0, count: 4096)
        let descriptor = open("/proc/self/\(file)", O_RDONLY | O_CLOEXEC)
        defer { close(descriptor) }
        return String(decoding: text.prefix(max(0, read(descriptor, &text, text.count))), as: UTF8.self)
      } + [
        "\(getpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0))", "\(hive_get_io_priority(0))",
        "\(hive_is_subreaper())",
        "\(descriptors)", "\(children)",
      ]
    }
    let before = state()
    _ = Doctor().examine()
    let after = state()
    print("same \(before == after)")
    if before != after { print(before, after) }
  }

  /// `postgres BINDIR DIRECTORY USER`: PostgreSQL's processes each make a session of their own and write over their environment. After
  /// kill -9 of the postmaster, one that hangs is found and ended.
  func postgres(_ arguments: [String]) throws {
    guard arguments.count == 3 else { return print("usage: postgres BINDIR DIRECTORY USER") }
    let (binaries, directory, user) = (arguments[0], arguments[1], arguments[2])
    let data = "\(directory)/data"
    let initdb = try start(["\(binaries)/initdb", "--no-sync", "--auth=trust", "-D", data], user: user)
    turn("initdb") { exits[initdb] != nil }
    guard exits[initdb] == .exited(0) else { return print("cannot initdb: \(String(describing: exits[initdb]))") }
    let run = try start(
      [
        "\(binaries)/postgres", "-D", data, "-c", "fsync=off", "-c", "listen_addresses=", "-c",
        "unix_socket_directories=\(directory)",
      ], user: user)
    poll("the server") { access("\(directory)/.s.PGSQL.5432", F_OK) == 0 && tree.members(run).count >= 5 }
    guard let main = tree.pid(of: run) else { return print("never: pid") }
    // Each does it itself a moment after the fork (InitPostmasterChild()).
    poll("sessions of their own") {
      let processes = tree.members(run)
      let leavers = processes.filter { $0.pid != main && $0.group != main && $0.session == $0.pid }
      return leavers.count == processes.count - 1
    }
    let processes = tree.members(run)
    let leavers = processes.filter { $0.pid != main && $0.group != main && $0.session == $0.pid }
    print("left group and session \(leavers.count >= 4)")
    guard let hung = leavers.first else { return print("never: a process of the server") }
    kill(hung.pid, SIGSTOP)
    _ = tree.signalMain(run, SIGKILL)
    turnUntilExit(run)
    poll("the others' end") { tree.members(run).count == 1 }
    print("survivor \(tree.members(run).map(\.pid) == [hung.pid]) owner \(tree.run(containing: hung.pid) == run)")
    end(run, SIGQUIT)
  }
}
