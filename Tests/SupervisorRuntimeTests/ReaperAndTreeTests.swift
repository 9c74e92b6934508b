import Glibc
import SupervisorCore
import Testing

@testable import SupervisorRuntime

/// Runs a scenario of Tests/Fixtures/RuntimeFixture in a process of its own, which takes all signals and reaps all children, as no
/// part of a test process may.
func fixture(_ arguments: String..., environment: [EnvironmentEntry] = [], prefix: [String] = []) throws -> [String] {
  var buffer = [UInt8](repeating: 0, count: 4096)
  let length = readlink("/proc/self/exe", &buffer, buffer.count)
  let own = String(decoding: buffer.prefix(max(length, 0)), as: UTF8.self)
  let directory = own.split(separator: "/").dropLast().joined(separator: "/")
  var spec = ExecutionSpec(arguments: prefix + ["/\(directory)/RuntimeFixture"] + arguments)
  spec.environment = [EnvironmentEntry("PATH", "/usr/bin:/bin")] + environment
  let report = try run(spec)
  #expect(report.status == .exited(0))
  return report.lines
}

@Suite("Reaper", .serialized)
struct ReaperTests {
  @Test("2000 rapid starts: every exit is told, no descriptor and no zombie is left")
  func storm() throws {
    #expect(try fixture("storm", "2000") == ["exits 2001 clean true", "descriptors 0 children 0 orphans 0"])
  }

  @Test("The same on an emulated kernel, where the outcome of a start comes after its exit as often as before")
  func emulatedStorm() throws {
    let lines = try fixture("storm", "300", environment: [EnvironmentEntry("HIVE_WITHOUT", "32")])
    #expect(lines.first == "exits 301 clean true")
    #expect(lines.last?.hasSuffix("children 0 orphans 0") == true)
  }

  @Test("All 256 exit statuses and every deadly signal are told as they are")
  func statuses() throws {
    #expect(try fixture("statuses") == ["checked 310 children 0"])
  }

  @Test("Orphans are reaped and counted, and are no run's exits")
  func orphans() throws {
    #expect(try fixture("orphans", "500") == ["orphans 500 exits 1 children 0"])
  }

  @Test("A start that failed in the child leaves nothing behind and is nobody's exit")
  func failures() throws {
    // The two are the pipe over which the first child told what it failed of: the spawner keeps it.
    #expect(try fixture("failures") == ["failed 200 orphans 0 exits 0 descriptors 2"])
  }
}

@Suite("Shortages", .serialized)
struct ShortageTests {
  @Test(
    "Without descriptors or processes a start fails as a shortage; with two descriptors left it does without a pidfd",
    .enabled(if: isRoot, "becomes nobody, whom the limits bind"))
  func shortages() throws {
    let nobody = [
      "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all",
      "prlimit",
      "--nofile=4096:4096",
    ]
    #expect(
      try fixture("shortage", prefix: nobody) == [
        "room for 0: pipe \(EMFILE) shortage true", "room for 1: pipe \(EMFILE) shortage true",
        "room for 2: started, signal 0", "room for 3: started, signal 0", "no process: clone \(EAGAIN) shortage true",
        "children 0 orphans 0",
      ])
  }
}

@Suite("Signals", .serialized)
struct SignalsTests {
  static let expected = ["signals 52 queued 100 epipe true"]

  @Test(
    "Every signal that can be taken arrives once with its sender, real-time signals queue, terminal stops are dropped")
  func everySignal() throws { #expect(try fixture("signals") == Self.expected) }

  @Test(
    "The same as PID 1 of a namespace, where the kernel drops signals that nobody has blocked",
    .enabled(if: isRoot, "unshare(2) of a pid namespace needs root"))
  func everySignalAsInit() throws {
    #expect(try fixture("signals", prefix: ["unshare", "--fork", "--pid", "--mount-proc"]) == Self.expected)
  }
}

@Suite("ProcessTree", .serialized)
struct ProcessTreeTests {
  /// Ways in which the kernel may be worse than ours.
  static let worlds: [(name: String, environment: [EnvironmentEntry])] = [
    ("this kernel", []),
    ("without pidfds", [EnvironmentEntry("HIVE_WITHOUT", "3")]),
    ("without lists of children", [EnvironmentEntry("HIVE_NO_CHILDREN_FILE", "1")]),
  ]

  @Test(
    "Daemons that left group, session, parent and environment are found after a kill -9 and ended; another run is not touched"
  )
  func survivors() throws {
    let expected = [
      "exit 137 survivors 5", "left 0 empty true", "other 1 alive true", "left 0 empty true", "children 0",
    ]
    for world in Self.worlds {
      for signal in [SIGTERM, SIGKILL] {
        #expect(try fixture("survivors", "\(signal)", environment: world.environment) == expected, "\(world.name)")
      }
    }
  }

  @Test(
    "The same of another user's processes, whose environment and files only CAP_SYS_PTRACE may see",
    .enabled(if: isRoot))
  func survivorsOfAnotherUser() throws {
    let lines = try fixture(
      "survivors", "15", "nobody", prefix: ["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-all"])
    #expect(lines.first == "exit 137 survivors 5" && lines.last == "children 0")
  }

  @Test("As PID 1 of a namespace too", .enabled(if: isRoot, "unshare(2) of a pid namespace needs root"))
  func survivorsOfInit() throws {
    let lines = try fixture("survivors", "15", prefix: ["unshare", "--fork", "--pid", "--mount-proc"])
    #expect(lines.first == "exit 137 survivors 5" && lines.last == "children 0")
  }

  @Test("A stranger's orphan neither keeps a run from being over nor is hit")
  func strangers() throws {
    #expect(try fixture("strangers") == ["empty true members 0", "left 0 empty true", "stranger true owner nil"])
  }

  @Test("Waiting for a survivor's own end takes no tick")
  func quiet() throws { #expect(try fixture("quiet").first?.hasPrefix("empty true quiet true") == true) }

  @Test("A tree has ended when its processes have been reaped: who comes after them finds none of their pids taken")
  func zombies() throws {
    for world in Self.worlds {
      #expect(try fixture("zombies", environment: world.environment) == ["met 0 unasked 0 children 0"], "\(world.name)")
    }
  }

  @Test("A tree that forks faster than one scan can follow is killed all the same")
  func forkers() throws {
    for world in Self.worlds {
      #expect(
        try fixture("forkers", environment: world.environment) == ["left 0 empty true", "children 0"], "\(world.name)")
    }
  }

  @Test("A survivor that hands its place on again and again is never overlooked")
  func handover() throws {
    for world in Self.worlds {
      #expect(try fixture("handover", environment: world.environment) == ["ended true empty true"], "\(world.name)")
    }
  }

  @Test("The last sweep reaches every process below, whatever it ignores")
  func remaining() throws {
    for world in Self.worlds {
      #expect(
        try fixture("remaining", environment: world.environment) == [
          "after TERM ended false stubborn true", "ended true remaining 0 children 0",
        ], "\(world.name)")
    }
  }

  @Test("Stopped processes see the signal that ends them; stops and continues are no exits")
  func stopped() throws { #expect(try fixture("stopped") == ["exits 0", "left 0 empty true"]) }

  @Test(
    "A process whose first thread has ended is alive",
    .enabled(if: access("/usr/bin/python3", X_OK) == 0, "needs python3"))
  func deadLeader() throws { #expect(try fixture("threads") == ["empty false", "left 0 empty true"]) }

  @Test("A signal to the group reaches the group, and its number is not used after its leader was reaped")
  func group() throws { #expect(try fixture("group") == ["group 0", "gone true main true"]) }

  /// Where PostgreSQL's programs are.
  static let postgres: String? = {
    var place = glob_t()
    defer { globfree(&place) }
    let given = getenv("HIVE_PG_BINDIR").map { String(cString: $0) }
    if let given, access("\(given)/initdb", X_OK) == 0 { return given }
    guard glob("/usr/lib/postgresql/*/bin", 0, nil, &place) == 0, place.gl_pathc > 0 else { return nil }
    return place.gl_pathv[Int(place.gl_pathc) - 1].map { String(cString: $0) }
  }()

  @Test(
    "A hung process of PostgreSQL, which left group, session and environment, is known after kill -9 of the postmaster",
    .enabled(if: isRoot && postgres != nil, "needs root and PostgreSQL"))
  func survivorsOfPostgres() throws {
    let directory = try ScratchDirectory.shared()
    chown(directory.path, 65534, 65534)
    #expect(
      try fixture("postgres", try #require(Self.postgres), directory.path, "65534")
        == [
          "left group and session true", "survivor true owner true", "left 0 empty true",
        ])
  }

  /// The first cgroup v2 directory here in which directories can be made.
  static let writableCgroup: String? = {
    guard let place = CgroupPlace.detect().unified else { return nil }
    let probe = "\(place)/hivesup-probe-\(getpid())"
    guard mkdir(probe, 0o755) == 0 else { return nil }
    rmdir(probe)
    return place
  }()

  @Test(
    "In a cgroup of its own a run is complete without any tag, and is killed by the kernel",
    .enabled(if: writableCgroup != nil, "needs a writable cgroup v2"))
  func cgroup() throws {
    let run = ["populated true", "survivors 1 empty false", "left 0 empty true"]
    #expect(try fixture("cgroup") == run + run + ["removed true", "nothing left true"])
  }
}
