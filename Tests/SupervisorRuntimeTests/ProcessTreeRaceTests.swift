import CHiveSys
import Glibc
import SupervisorCore
import Testing

@testable import SupervisorRuntime

/// Moments that a real kernel shows only now and then, shown by a made-up /proc.
@Suite("ProcessTree: races")
struct ProcessTreeRaceTests {
  private let proc: ScratchDirectory
  private let tree: ProcessTree
  private let run = RunID(program: ProgramID(1), run: 1)
  private let tag = RunTag(value: RunTag.range.lowerBound + 7)

  init() throws {
    proc = try ScratchDirectory()
    tree = ProcessTree(loop: try EventLoop(), table: ProcessTable(root: proc.path))
    // A run whose main process, 50, has been reaped.
    tree.add(run, SpawnedChild(pid: 50, pidfd: nil, inCgroup: false, pending: nil), tag: tag)
    #expect(tree.mainEnded(50) == run)
    tree.childrenChanged()
  }

  private func put(
    _ pid: Int32, state: String = "S", group: Int32? = nil, start: Int = 100, tag: UInt64? = nil
  ) throws {
    mkdir(proc.file("\(pid)"), 0o755)
    _ = try proc.file(
      "\(pid)/stat", "\(pid) (x) \(state) \(getpid()) \(group ?? pid) 1 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 \(start) 1\n")
    _ = try proc.file("\(pid)/limits", "Max file locks  \(tag.map { "\($0)" } ?? "unlimited")  unlimited  locks\n")
  }

  @Test("An orphan that ends while it is looked at hands its child to us behind our back: the run is not over")
  func handover() throws {
    try put(200, tag: tag.value)
    // 100 was there when the list was read, and has gone when it is looked at; its child 200 is in the next list.
    var lists: [[Int32]] = [[100], [100], [200]]
    tree.listChildren = { _ in lists.count > 1 ? lists.removeFirst() : lists.first }
    #expect(!tree.isEmpty(run))
  }

  @Test("Strangers that come and go do not keep a run from being over")
  func strangers() throws {
    for pid in Int32(100)...110 { try put(pid) }
    var next: Int32 = 100
    tree.listChildren = { _ in
      next = min(next + 1, 110)
      return [next]
    }
    #expect(tree.isEmpty(run))
  }

  @Test("Whose an orphan is: the tag decides, then the group, but not one that a stranger leads")
  func owners() throws {
    tree.listChildren = { $0 == getpid() ? [100] : [] }
    let cases: [(group: Int32, tag: UInt64?, isOurs: Bool)] = [
      (50, nil, true), (50, tag.value, true), (100, tag.value, true), (100, nil, false), (51, nil, false),
      (50, tag.value + 1, false), (100, 1000, false), (50, 1000, true),
    ]
    for (group, value, isOurs) in cases {
      try put(100, group: group, tag: value)
      tree.childrenChanged()
      #expect(tree.isEmpty(run) == !isOurs, "group \(group), tag \(String(describing: value))")
      #expect(tree.members(run).map(\.pid) == (isOurs ? [100] : []))
      try put(100, state: "Z", group: group, tag: value)
      tree.childrenChanged()
      #expect(tree.isEmpty(run), "a zombie is not alive")
    }
    // The number of the group has been recycled: a stranger with that pid leads it.
    tree.listChildren = { $0 == getpid() ? [50] : [] }
    try put(50, group: 50)
    tree.childrenChanged()
    #expect(tree.isEmpty(run))
  }

  @Test("A pid that was recycled between looking and signalling is not hit")
  func recycledPid() throws {
    for isRecycled in [true, false] {
      let child = try spawned(Spawner().start(SpawnRequest(ExecutionSpec(arguments: ["/bin/sleep", "1000"]))))
      defer { if let pidfd = child.pidfd { close(pidfd) } }
      try put(child.pid, start: 100, tag: tag.value)
      tree.listChildren = { pid in
        // The scan has seen the process by the time that it asks for its children.
        if pid == child.pid && isRecycled { try? self.put(child.pid, start: 101, tag: self.tag.value) }
        return pid == getpid() ? [child.pid] : []
      }
      tree.signal(run, SIGUSR1)
      if isRecycled { kill(child.pid, SIGUSR2) }
      #expect(awaitExit(of: child.pid) == .signaled(isRecycled ? SIGUSR2 : SIGUSR1, core: false))
    }
  }

  @Test("No question about a run is asked of /proc while no run has orphans")
  func cheap() {
    var reads = 0
    tree.listChildren = { _ in
      reads += 1
      return []
    }
    for _ in 0..<100 { #expect(tree.isEmpty(run)) }
    #expect(reads == 1)
    tree.childrenChanged()
    #expect(tree.isEmpty(run))
    #expect(reads == 2)
  }
}
