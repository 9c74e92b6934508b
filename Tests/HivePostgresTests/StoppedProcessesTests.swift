import Glibc
import Testing

@testable import HivePostgresCore

@Suite struct StoppedProcessesTests {
  private static func process(
    _ pid: pid_t, _ state: Character, parent: pid_t = 10, start: UInt64 = 1
  ) throws -> ProcessInfo {
    let zeros = Array(repeating: "0", count: 17).joined(separator: " ")
    return try #require(ProcessInfo(stat: "\(pid) (postgres) \(state) \(parent) \(zeros) \(start) 0"))
  }

  private let now = ContinuousClock.now
  private let postmaster: ProcessInfo

  init() throws { postmaster = try Self.process(10, "S", parent: 1) }

  @Test func resumesWhatStaysStoppedForTheGracePeriod() throws {
    var stopped = StoppedProcesses()
    let child = try Self.process(11, "T")
    let first = try stopped.judge(postmaster: postmaster, children: [child, Self.process(12, "S")], at: now)
    #expect(first.stopped == [11] && first.resume.isEmpty)
    let early = stopped.judge(
      postmaster: postmaster, children: [child], at: now + StoppedProcesses.grace - .milliseconds(1))
    #expect(early.resume.isEmpty)
    let due = stopped.judge(postmaster: postmaster, children: [child], at: now + StoppedProcesses.grace)
    #expect(due.resume == [child.identity])
    // It was not heard, or stopped again: again, without another grace period.
    #expect(
      stopped.judge(postmaster: postmaster, children: [child], at: now + .seconds(3)).resume == [child.identity])
  }

  @Test func aProcessThatWentOnStartsAnew() throws {
    var stopped = StoppedProcesses()
    _ = try stopped.judge(postmaster: postmaster, children: [Self.process(11, "T")], at: now)
    #expect(
      try stopped.judge(postmaster: postmaster, children: [Self.process(11, "S")], at: now + .seconds(1)) == .init())
    #expect(
      try stopped.judge(postmaster: postmaster, children: [Self.process(11, "T")], at: now + .seconds(2)).resume.isEmpty
    )
  }

  @Test func aReusedNumberIsAnotherProcess() throws {
    var stopped = StoppedProcesses()
    _ = try stopped.judge(postmaster: postmaster, children: [Self.process(11, "T", start: 1)], at: now)
    let verdict = try stopped.judge(
      postmaster: postmaster, children: [Self.process(11, "T", start: 2)], at: now + .seconds(5))
    #expect(verdict.stopped == [11] && verdict.resume.isEmpty)
  }

  @Test func aServerThatIsStoppedAsAWholeIsLeftToWhoStoppedIt() throws {
    var stopped = StoppedProcesses()
    let all = try [Self.process(11, "T"), Self.process(12, "T")]
    _ = try stopped.judge(postmaster: Self.process(10, "T", parent: 1), children: all, at: now)
    let later = try stopped.judge(postmaster: Self.process(10, "T", parent: 1), children: all, at: now + .seconds(60))
    #expect(later.postmasterStopped && later.stopped == [11, 12] && later.resume.isEmpty)
    // Its postmaster alone was continued.
    #expect(
      stopped.judge(postmaster: postmaster, children: all, at: now + .seconds(61)).resume.map(\.pid) == [11, 12])
  }

  @Test func aDebuggersProcessIsNamedAndLeftAlone() throws {
    var stopped = StoppedProcesses()
    for seconds in [0, 10, 20] {
      let verdict = try stopped.judge(
        postmaster: postmaster, children: [Self.process(11, "t")], at: now + .seconds(seconds))
      #expect(verdict.traced == [11] && verdict.stopped.isEmpty && verdict.resume.isEmpty)
    }
  }

  @Test func everyOtherStateIsAtWork() throws {
    var stopped = StoppedProcesses()
    for state in "RSDIWXZPK" {
      for seconds in [0, 10] {
        #expect(
          try stopped.judge(postmaster: postmaster, children: [Self.process(11, state)], at: now + .seconds(seconds))
            == .init())
      }
    }
  }

  @Test func childrenAreFoundThroughProc() throws {
    var child: pid_t = 0
    var arguments: [UnsafeMutablePointer<CChar>?] = [strdup("sleep"), strdup("30"), nil]
    defer { arguments.forEach { free($0) } }
    try #require(posix_spawn(&child, "/bin/sleep", nil, nil, &arguments, nil) == 0)
    defer {
      kill(child, SIGKILL)
      waitpid(child, nil, 0)
    }
    // A thread's own children are listed under that thread; the kernel's list of the first thread is what a server's are in.
    let info = try #require(ProcessTable.info(child))
    #expect(info.parent == getpid() && !info.isDead)
    #expect(ProcessTable.children(child).isEmpty)
    // posix_spawn returns when the child has left our memory (vfork semantics), a moment before the new program's arguments are told.
    #expect(Harness.eventually { ProcessTable.title(child) == "sleep 30" })
  }
}
