import CHiveSys
import Glibc
import SupervisorCore
import Testing

@testable import SupervisorRuntime

@Suite("Spawner: what a child gets")
struct SpawnerTests {
  @Test("Arguments and environment arrive as they are, spaces, quotes, empty words and UTF-8 included")
  func argumentsAndEnvironment() throws {
    var spec = ExecutionSpec(arguments: [
      "/bin/sh", "-c", #"printf '[%s]' "$0" "$@" "$A" "$B""#, "", "a b", "\"'", "ü\n", "",
    ])
    spec.environment = [EnvironmentEntry("A", "1 2"), EnvironmentEntry("B", "="), EnvironmentEntry("PATH", "/bin")]
    #expect(try run(spec).output == "[][a b][\"'][ü\n][][1 2][=]")
  }

  @Test("The environment is exactly the given one")
  func wholeEnvironment() throws {
    var spec = ExecutionSpec(arguments: ["/usr/bin/env"])
    spec.environment = [EnvironmentEntry("A", "1"), EnvironmentEntry("B", "")]
    var request = SpawnRequest(spec)
    request.environment = [EnvironmentEntry("B", "runtime"), EnvironmentEntry("LISTEN_FDS", "0")]
    #expect(try Set(run(request, with: Spawner()).lines) == ["A=1", "B=runtime", "LISTEN_FDS=0"])
  }

  @Test("Large environments and many arguments go through; a later small start is not disturbed by them")
  func largeVectors() throws {
    let spawner = try Spawner()
    var spec = shell("echo $#; echo ${#BIG}; env | wc -l")
    spec.arguments += ["sh"] + (0..<3000).map { "argument-\($0)" }
    spec.environment += [EnvironmentEntry("BIG", String(repeating: "x", count: 100_000))]
    spec.environment += (0..<2000).map { EnvironmentEntry("V\($0)", "value \($0)") }
    let lines = try run(SpawnRequest(spec), with: spawner).lines
    #expect(lines[0] == "3000")
    #expect(lines[1] == "100000")
    #expect(try run(SpawnRequest(shell("env | grep -c V1")), with: spawner).output == "0\n")
  }

  @Test("LISTEN_PID and WATCHDOG_PID are the child's own pid, and win over a configured value")
  func pidVariables() throws {
    var request = SpawnRequest(shell("echo $$ $LISTEN_PID $WATCHDOG_PID; env | grep -c ^LISTEN_PID="))
    request.execution.environment.append(EnvironmentEntry("LISTEN_PID", "1"))
    request.pidVariables = ["LISTEN_PID", "WATCHDOG_PID"]
    let lines = try run(request, with: Spawner()).lines
    let words = lines[0].split(separator: " ")
    #expect(words.count == 3 && words[0] == words[1] && words[1] == words[2])
    #expect(lines[1] == "1")
  }

  @Test(
    "A child has exactly the descriptors that it was given, whatever the parent has open and however they are numbered")
  func descriptorHygiene() throws {
    // Descriptors without close-on-exec, as a container runtime may hand them down.
    var leaks: [Int32] = []
    for _ in 0..<20 { leaks.append(dup(2)) }
    leaks.append(fcntl(2, F_DUPFD, 700))
    defer { for leak in leaks { close(leak) } }
    // The glob opens the directory itself as one more number, which `test -e` no longer finds.
    let script = "for f in /proc/self/fd/*; do n=${f##*/}; [ -e /proc/$$/fd/$n ] && echo $n; done"
    #expect(try run(shell(script)).lines == ["0", "1", "2"])
  }

  @Test("Descriptors reach their targets in every order, also where source and target numbers cross")
  func descriptorShuffle() throws {
    let spawner = try Spawner()
    // Five files with their own number as content, at low numbers of our own that overlap with the targets.
    let directory = try ScratchDirectory.shared()
    var sources: [Int32] = []
    for index in 0..<5 {
      sources.append(open(try directory.file("f\(index)", "\(index)\n"), O_RDONLY | O_CLOEXEC))
    }
    defer { for source in sources { close(source) } }
    let orders: [[Int]] = [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [1, 2, 3, 4, 0], [2, 0, 4, 1, 3]]
    for order in orders {
      for target in [Int32(3), 5, sources[0] - 1, sources[0], sources[2]] where target > 2 {
        var request = SpawnRequest(shell((0..<5).map { "cat <&\(target + Int32($0))" }.joined(separator: "; ")))
        // Shell redirections take one digit only: targets above 9 are read through /dev/fd.
        if target + 5 > 9 {
          request.execution = shell((0..<5).map { "cat /proc/self/fd/\(target + Int32($0))" }.joined(separator: "; "))
        }
        for (offset, index) in order.enumerated() {
          request.descriptors.append(ChildDescriptor(sources[index], as: target + Int32(offset)))
          lseek(sources[index], 0, SEEK_SET)
        }
        #expect(
          try run(request, with: spawner).lines == order.map { "\($0)" }, "order \(order), first target \(target)")
      }
    }
  }

  @Test("Numbers between the targets are closed")
  func gapsAreClosed() throws {
    var request = SpawnRequest(shell("for f in /proc/self/fd/*; do n=${f##*/}; [ -e /proc/$$/fd/$n ] && echo $n; done"))
    let leak = fcntl(2, F_DUPFD, 5)
    defer { close(leak) }
    request.descriptors = [ChildDescriptor(2, as: 4), ChildDescriptor(2, as: 9)]
    #expect(try run(request, with: Spawner()).lines == ["0", "1", "2", "4", "9"])
  }

  @Test("Standard input is /dev/null, and reading it ends at once")
  func standardInput() throws {
    #expect(try run(shell("readlink /proc/self/fd/0; cat")).output == "/dev/null\n")
  }

  @Test("A child has its own process group in the supervisor's session")
  func processGroup() throws {
    let words = try run(shell("cut -d' ' -f1,5,6 /proc/$$/stat")).output.split(whereSeparator: {
      $0 == " " || $0 == "\n"
    })
    #expect(words.count == 3 && words[0] == words[1])
    #expect(words.last.flatMap { Int32($0) } == getsid(0))
  }

  @Test("A child starts with no signal blocked, caught or ignored, whatever the parent does")
  func signalsAreReset() throws {
    var blocked = sigset_t()
    var before = sigset_t()
    sigfillset(&blocked)
    pthread_sigmask(SIG_BLOCK, &blocked, &before)
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
    #expect(hive_ignore_signal(SIGPIPE) == 0)
    #expect(hive_ignore_signal(SIGUSR2) == 0)
    #expect(hive_ignore_signal(64) == 0)
    defer { signal(SIGUSR2, SIG_DFL) }
    let report = try run(shell("cat /proc/self/status"))
    for key in ["SigBlk", "SigIgn", "SigCgt", "SigPnd", "ShdPnd"] {
      #expect(report.field(key) == "0000000000000000", "\(key)")
    }
  }

  @Test("The parent's signal mask is as before, after a success and after every kind of failure")
  func parentMaskIsRestored() throws {
    func mask() -> [Int32] {
      var set = sigset_t()
      pthread_sigmask(SIG_BLOCK, nil, &set)
      return (1...64).filter { sigismember(&set, $0) == 1 }
    }
    var wanted = sigset_t()
    var old = sigset_t()
    sigemptyset(&wanted)
    sigaddset(&wanted, SIGUSR1)
    pthread_sigmask(SIG_SETMASK, &wanted, &old)
    defer { pthread_sigmask(SIG_SETMASK, &old, nil) }
    let before = [SIGUSR1]
    #expect(mask() == before)
    let spawner = try Spawner()
    _ = try run(SpawnRequest(shell("true")), with: spawner)
    #expect(mask() == before)
    spawner.pipeError = EMFILE
    _ = try failure(SpawnRequest(shell("true")), with: spawner)
    #expect(mask() == before)
    spawner.pipeError = 0
    spawner.cloneError = EAGAIN
    _ = try failure(SpawnRequest(shell("true")), with: spawner)
    #expect(mask() == before)
    spawner.cloneError = 0
    _ = try failure(SpawnRequest(ExecutionSpec(arguments: ["/etc/passwd"])), with: spawner)
    #expect(mask() == before)
  }

  @Test("umask, directory, nice and resource limits are as asked for")
  func attributes() throws {
    var spec = shell("umask; pwd; nice; ulimit -n; ulimit -Hn; ulimit -c")
    spec.umask = 0o027
    spec.directory = "/usr/share"
    spec.nice = Int(getpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0)) + 7
    spec.limits = [
      ResourceLimit(resource: "nofile", soft: 321, hard: 654), ResourceLimit(resource: "core", soft: 0, hard: 0),
    ]
    #expect(try run(spec).lines == ["0027", "/usr/share", "7", "321", "654", "0"])
  }

  @Test("What the supervisor changed for itself is undone for its children, unless they ask for something else")
  func inheritedAttributes() throws {
    let spawner = try Spawner()
    spawner.inherited.oomScoreAdjust = 123
    spawner.inherited.nice = 3
    spawner.inherited.limits = [ResourceLimit(resource: "nofile", soft: 111, hard: 222)]
    var request = SpawnRequest(shell("cat /proc/self/oom_score_adj; nice; ulimit -n"))
    #expect(try run(request, with: spawner).lines == ["123", "3", "111"])
    request.execution.oomScoreAdjust = 456
    request.execution.nice = 5
    request.execution.limits = [ResourceLimit(resource: "nofile", soft: 99, hard: 200)]
    #expect(try run(request, with: spawner).lines == ["456", "5", "99"])
  }

  @Test("Every ionice class and level arrives")
  func ioPriority() throws {
    var cases: [(IOPriority, String)] = [(.idle, "idle")]
    for level in 0...7 { cases.append((.bestEffort(level), "best-effort: prio \(level)")) }
    if isRoot { for level in 0...7 { cases.append((.realtime(level), "realtime: prio \(level)")) } }
    for (priority, text) in cases {
      var spec = shell("ionice -p $$")
      spec.ionice = priority
      #expect(try run(spec).output == "\(text)\n")
    }
  }

  @Test("no_new_privs is set only on request")
  func noNewPrivileges() throws {
    var spec = shell("cat /proc/self/status")
    #expect(try run(spec).field("NoNewPrivs") == "0")
    spec.noNewPrivileges = true
    #expect(try run(spec).field("NoNewPrivs") == "1")
  }

  @Test("The tag goes down to every descendant: through exec, setsid, a double fork and an emptied environment")
  func tagIsInherited() throws {
    var request = SpawnRequest(
      shell("setsid sh -c 'env -i /bin/sh -c \"grep file.locks /proc/self/limits\" & wait'"))
    var source = RunTagSource(range: 5)
    let tag = source.take()
    request.tag = tag
    let report = try run(request, with: Spawner())
    #expect(ProcessTable.fileLocks(limits: Array(report.output.utf8)) == tag.value)
    #expect(RunTag.range.contains(tag.value))
    #expect(source.take() != tag)
  }

  @Test("A stop signal that arrives before the child has executed ends it: it is not lost")
  func earlySignal() throws {
    // Under the emulated fork the parent runs on while the child prepares: the signal meets it at every possible place.
    let spawner = try Spawner()
    spawner.without = [.sharedMemory]
    for _ in 0..<50 {
      let child = try spawned(spawner.start(SpawnRequest(ExecutionSpec(arguments: ["/bin/sleep", "100"]))))
      kill(child.pid, SIGTERM)
      #expect(awaitExit(of: child.pid) == .signaled(SIGTERM, core: false))
      if let pending = child.pending { _ = try conclude(pending, spawner) }
      if let pidfd = child.pidfd { close(pidfd) }
    }
  }

  @Test("The pidfd is the child's, close-on-exec, and signals it")
  func pidfd() throws {
    let child = try spawned(Spawner().start(SpawnRequest(ExecutionSpec(arguments: ["/bin/sleep", "100"]))))
    let pidfd = try #require(child.pidfd)
    defer { close(pidfd) }
    #expect(fcntl(pidfd, F_GETFD) == FD_CLOEXEC)
    #expect(hive_pidfd_signal(pidfd, SIGINT) == 0)
    #expect(awaitExit(of: child.pid) == .signaled(SIGINT, core: false))
    #expect(hive_pidfd_signal(pidfd, SIGINT) == -1)
    #expect(errno == ESRCH)
  }
}

@Suite("Spawner: as whom (needs root)", .enabled(if: isRoot, "only root can change users"))
struct SpawnerIdentityTests {
  private func database(_ directory: ScratchDirectory) throws -> UserDatabase {
    UserDatabase(
      passwdPath: try directory.file("passwd", "root:x:0:0::/root:/bin/sh\nhive:x:4242:4343:,,,:/srv/hive:/bin/sh\n"),
      groupPath: try directory.file(
        "group", "root:x:0:\nhive:x:4343:\nlogs:x:5001:x,hive\nnone:x:5002:nohive,hivex\nmore:x:5003:hive\n"))
  }

  @Test("user= sets all ids, the supplementary groups, and HOME, USER, LOGNAME")
  func user() throws {
    let directory = try ScratchDirectory.shared()
    let spawner = try Spawner(users: database(directory))
    var spec = shell("cat /proc/self/status; echo $HOME $USER $LOGNAME")
    spec.environment.append(EnvironmentEntry("HOME", "/root"))
    for key in [\ExecutionSpec.user, \ExecutionSpec.userIfRoot] {
      for name in ["hive", "4242"] {
        var spec = spec
        spec[keyPath: key] = name
        let report = try run(SpawnRequest(spec), with: spawner)
        #expect(report.field("Uid") == "4242\t4242\t4242\t4242")
        #expect(report.field("Gid") == "4343\t4343\t4343\t4343")
        #expect(report.field("Groups") == "4343 5001 5003")
        #expect(report.field("CapEff") == "0000000000000000")
        #expect(report.lines.last == "/srv/hive hive hive")
      }
    }
  }

  @Test("A configured HOME, USER or LOGNAME stays")
  func configuredNamesStay() throws {
    let directory = try ScratchDirectory.shared()
    let spawner = try Spawner(users: database(directory))
    var spec = shell("echo $HOME $USER $LOGNAME")
    spec.user = "hive"
    spec.environment.append(EnvironmentEntry("HOME", "/data"))
    spec.configuredNames = ["HOME"]
    #expect(try run(SpawnRequest(spec), with: spawner).output == "/data hive hive\n")
  }

  @Test("A number without an entry is its own group, has no other, and lives in /")
  func numberWithoutEntry() throws {
    let directory = try ScratchDirectory.shared()
    let spawner = try Spawner(users: database(directory))
    var spec = shell("cat /proc/self/status; echo $HOME $USER")
    spec.user = "7777"
    let report = try run(SpawnRequest(spec), with: spawner)
    #expect(report.field("Uid") == "7777\t7777\t7777\t7777")
    #expect(report.field("Gid") == "7777\t7777\t7777\t7777")
    #expect(report.field("Groups") == "")
    #expect(report.lines.last == "/ 7777")
  }

  @Test("groups= replaces the database's, by name and number, with and without user=")
  func groups() throws {
    let directory = try ScratchDirectory.shared()
    let spawner = try Spawner(users: database(directory))
    var spec = shell("cat /proc/self/status")
    spec.groups = ["none", "6000", "none"]
    #expect(try run(SpawnRequest(spec), with: spawner).field("Groups") == "5002 6000")
    spec.user = "hive"
    #expect(try run(SpawnRequest(spec), with: spawner).field("Groups") == "5002 6000")
    spec.groups = []
    #expect(try run(SpawnRequest(spec), with: spawner).field("Groups") == "")
  }

  @Test("The directory is entered as the user: what root alone may enter is refused")
  func directoryAsUser() throws {
    let directory = try ScratchDirectory.shared()
    let closed = "\(directory.path)/closed"
    mkdir(closed, 0o700)
    let spawner = try Spawner(users: database(directory))
    var spec = shell("pwd")
    spec.directory = closed
    #expect(try run(SpawnRequest(spec), with: spawner).output == "\(closed)\n")
    spec.user = "hive"
    let failed = try failure(SpawnRequest(spec), with: spawner)
    #expect(failed.stage == .directory)
    #expect(failed.text == "cannot change to directory \(closed) as user hive: Permission denied")
  }
}
