import Glibc
import SupervisorCore
import Testing

@testable import SupervisorRuntime

@Suite("ProcessTable")
struct ProcessTableTests {
  private let tail = "1 2 3 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 9 0 777 1 2 3"

  @Test("A stat line is read by its last parenthesis, whatever a process calls itself")
  func statLines() throws {
    for name in ["sh", "a b", "x) S 1 1 1", "((", ")", "", "postgres: w", "ü"] {
      let entry = try #require(ProcessTable.entry(stat: Array("42 (\(name)) S \(tail)\n".utf8)))
      #expect(
        entry
          == ProcessEntry(
            pid: 42, parent: 1, group: 2, session: 3, state: UInt8(ascii: "S"), startTime: 777, threads: 9, name: name))
    }
    #expect(
      ProcessTable.entry(stat: Array("2 (kthreadd) S 0 0 0 0 -1 4 1 2 3 4 5 6 7 8 20 0 1 0 7 1".utf8))?.group == 0)
  }

  @Test("A zombie is not alive, unless it has more threads than its first")
  func zombies() throws {
    for (state, threads, isAlive) in [
      ("R", 1, true), ("S", 1, true), ("D", 1, true), ("T", 1, true), ("t", 1, true), ("Z", 1, false), ("Z", 0, false),
      ("Z", 2, true), ("X", 1, false), ("x", 5, false),
    ] {
      let line = "42 (x) \(state) 1 2 3 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 \(threads) 0 777 1"
      #expect(try #require(ProcessTable.entry(stat: Array(line.utf8))).isAlive == isAlive, "\(state) \(threads)")
    }
  }

  @Test("Half a line, or no line at all, is no process")
  func brokenLines() {
    let line = Array("42 (sh) S \(tail)".utf8)
    for length in 0..<(line.count - 11) { _ = ProcessTable.entry(stat: Array(line.prefix(length))) }
    for text in [
      "", "(", ")", "()", "42", "42 ()", "x (sh) S \(tail)", " (sh) S \(tail)", "99999999999 (sh) S \(tail)",
    ] {
      #expect(ProcessTable.entry(stat: Array(text.utf8)) == nil, "\(text)")
    }
    var random = SeededGenerator(seed: 3)
    for _ in 0..<20_000 {
      var bytes = line
      for _ in 0..<3 {
        bytes[Int.random(in: 0..<bytes.count, using: &random)] = .random(in: .min ... .max, using: &random)
      }
      _ = ProcessTable.entry(stat: bytes)
    }
  }

  @Test("This process is in the table, with its parent and its group")
  func ownEntry() throws {
    let table = ProcessTable()
    let entry = try #require(table.entry(getpid()))
    #expect(entry.parent == getppid() && entry.group == getpgrp() && entry.session == getsid(0) && entry.isAlive)
    #expect(table.pids().contains(getpid()))
    #expect(table.entry(0) == nil && table.tag(0) == nil)
  }

  @Test("The tag is the soft limit of file locks; infinity is none")
  func tags() {
    let limits = """
      Limit                     Soft Limit           Hard Limit           Units
      Max open files            1024                 4096                 files
      Max file locks            4611686018427387905  unlimited            locks
      Max pending signals       1                    2                    signals

      """
    #expect(ProcessTable.fileLocks(limits: Array(limits.utf8)) == 4_611_686_018_427_387_905)
    #expect(ProcessTable.fileLocks(limits: Array("Max file locks            unlimited   unlimited  locks".utf8)) == nil)
    #expect(ProcessTable.fileLocks(limits: Array("Max file locks".utf8)) == nil)
    #expect(ProcessTable.fileLocks(limits: []) == nil)
  }

  @Test("A missing /proc is an empty table")
  func noProc() {
    let table = ProcessTable(root: "/no/such/proc")
    #expect(table.all().isEmpty && table.children(of: 1) == nil && table.childrenOfAllThreads(of: 1) == nil)
  }
}

@Suite("Cgroups")
struct CgroupTests {
  private func tree(_ files: [(String, String)]) throws -> ScratchDirectory {
    let directory = try ScratchDirectory()
    for (path, text) in files {
      var made = directory.path
      for part in path.split(separator: "/").dropLast() {
        made += "/\(part)"
        mkdir(made, 0o755)
      }
      _ = try directory.file(path, text)
    }
    return directory
  }

  @Test("Every way in which cgroups are mounted is told apart, with and without a cgroup namespace")
  func places() throws {
    let v2 = try tree([("cgroup.procs", ""), ("docker/abc/cgroup.procs", "")])
    let hybrid = try tree([("unified/cgroup.procs", ""), ("memory/cgroup.procs", ""), ("memory/a/b/cgroup.procs", "")])
    let v1 = try tree([("memory/cgroup.procs", "")])
    let none = try tree([])
    let cases: [(ScratchDirectory, String, CgroupPlace.Version, String?, String?)] = [
      (v2, "0::/\n", .v2, "", nil),
      (v2, "0::/docker/abc\n", .v2, "/docker/abc", nil),
      (v2, "0::/not/visible\n", .v2, "", nil),
      (v2, "0::/../../escape\n", .v2, "", nil),
      (hybrid, "4:memory:/a/b\n0::/\n", .hybrid, "/unified", "/memory/a/b"),
      (hybrid, "4:cpu,memory:/x\n0::/y\n", .hybrid, "/unified", "/memory"),
      (v1, "4:memory:/\n1:name=systemd:/\n", .v1, nil, "/memory"),
      (none, "0::/\n", .none, nil, nil),
      (none, "garbage\n::\n\0\n", .none, nil, nil),
    ]
    for (directory, lines, version, unified, memory) in cases {
      let place = CgroupPlace.detect(root: directory.path, selfCgroup: try directory.file("self", lines))
      #expect(place.version == version, "\(lines)")
      #expect(place.unified == unified.map { "\(directory.path)\($0)" }, "\(lines)")
      #expect(place.memory == memory.map { "\(directory.path)\($0)" }, "\(lines)")
    }
    #expect(CgroupPlace.detect(root: "/no", selfCgroup: "/no").version == .none)
  }

  @Test("A cgroup without cgroup.kill, or with this process inside, is not killed; names cannot leave the parent")
  func guards() throws {
    let directory = try ScratchDirectory()
    let cgroup = try Cgroup(parent: directory.path, name: "../a/b")
    #expect(cgroup.path == "\(directory.path)/_.._a_b")
    #expect(!cgroup.kill())
    _ = try directory.file("_.._a_b/cgroup.kill", "")
    #expect(cgroup.kill())
    #expect(directory.text("_.._a_b/cgroup.kill") == "1")
    _ = try directory.file("_.._a_b/cgroup.procs", "1\n\(getpid())\n0\nx\n")
    #expect(cgroup.processes() == [1, getpid()])
    #expect(!cgroup.kill())
    _ = try directory.file("_.._a_b/cgroup.events", "populated 1\nfrozen 0\n")
    #expect(!cgroup.isEmpty)
    _ = try directory.file("_.._a_b/cgroup.events", "populated 0\nfrozen 0\n")
    #expect(cgroup.isEmpty)
    #expect(!cgroup.remove())
    #expect(throws: SystemError.self) { try Cgroup(parent: "/no/such/hierarchy", name: "x") }
  }

  @Test("A SIGKILL is an OOM kill exactly when the counter has gone up, in both versions")
  func outOfMemory() throws {
    func v2(_ kills: Int) -> String { "low 0\nhigh 0\nmax 12\noom 3\noom_kill \(kills)\noom_group_kill 0\n" }
    func v1(_ kills: Int) -> String { "oom_kill_disable 0\nunder_oom 0\noom_kill \(kills)\n" }
    for (file, text, place) in [
      ("memory.events", v2, { CgroupPlace(version: .v2, unified: $0, memory: nil) }),
      ("memory.oom_control", v1, { CgroupPlace(version: .v1, unified: nil, memory: $0) }),
    ] as [(String, (Int) -> String, (String) -> CgroupPlace)] {
      let directory = try ScratchDirectory()
      _ = try directory.file(file, text(4))
      let counter = OutOfMemoryCounter(place: place(directory.path), loop: try EventLoop())
      let now = Clock.instant()
      #expect(counter.path == directory.file(file))
      #expect(!counter.explainsKill(at: now))
      _ = try directory.file(file, text(5))
      #expect(counter.explainsKill(at: now))
      #expect(!counter.explainsKill(at: now))
      _ = try directory.file(file, text(7))
      #expect(counter.explainsKill(at: now))
      // Counters do not go back, unless the file is another one's.
      _ = try directory.file(file, text(0))
      #expect(!counter.explainsKill(at: now))
      _ = try directory.file(file, "oom_kill\noom_kill x\n")
      #expect(!counter.explainsKill(at: now))
    }
  }

  @Test(
    "A kill that hit somebody else's child is told with the limit, at once or at the next look, and explains one exit soon after"
  )
  func outOfMemoryOfOthers() throws {
    for (file, limit, place) in [
      ("memory.events", "memory.max", { CgroupPlace(version: .v2, unified: $0, memory: nil) }),
      ("memory.oom_control", "memory.limit_in_bytes", { CgroupPlace(version: .v1, unified: nil, memory: $0) }),
    ] as [(String, String, (String) -> CgroupPlace)] {
      let directory = try ScratchDirectory()
      _ = try directory.file(file, "oom_kill 4\n")
      // No limit is 2^63 less a page in v1.
      _ = try directory.file(limit, limit == "memory.max" ? "max\n" : "9223372036854771712\n")
      let counter = OutOfMemoryCounter(place: place(directory.path))
      #expect(counter.limit == nil && counter.kills == 0)
      _ = try directory.file(limit, "536870912\n")
      #expect(counter.limit == 512 << 20)
      var told: [UInt64] = []
      counter.noticed = { told.append($0) }
      #expect(counter.look() == 0 && told.isEmpty)
      _ = try directory.file(file, "oom_kill 6\n")
      #expect(counter.look() == 2 && counter.look() == 0)
      #expect(told == [2] && counter.kills == 2)
      #expect(counter.explainsKill(at: Clock.instant()))
      #expect(!counter.explainsKill(at: Clock.instant()))
      _ = try directory.file(file, "oom_kill 7\n")
      #expect(counter.look() == 1)
      #expect(!counter.explainsKill(at: Clock.instant() + .seconds(3)))
      #expect(counter.kills == 3)
    }
  }

  @Test("Without a memory controller there is nothing to count")
  func noOutOfMemoryCounter() throws {
    let none = OutOfMemoryCounter(place: CgroupPlace(version: .none, unified: nil, memory: nil))
    #expect(none.path == nil && !none.explainsKill(at: Clock.instant()))
  }
}
