import CHiveSys
import Glibc
import SupervisorCore
import SupervisorRuntime

extension Fixture {
  /// `bench N MEBIBYTES [PROGRAM [apart]]`: how long a start stands in the loop's way, with so much memory touched; median, 99th
  /// percentile and sum. `apart` waits for each exit, so that the children do not compete for the processors.
  func bench(_ arguments: [String]) throws {
    let count = arguments.first.flatMap { Int($0) } ?? 1000
    let size = (arguments.dropFirst().first.flatMap { Int($0) } ?? 0) << 20
    let program = arguments.dropFirst(2).first ?? "/bin/true"
    if size > 0, let memory = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) {
      for offset in stride(from: 0, to: size, by: 4096) {
        memory.storeBytes(of: 1, toByteOffset: offset, as: UInt8.self)
      }
    }
    var execution = ExecutionSpec(arguments: [program])
    execution.environment = (0..<30).map { EnvironmentEntry("VARIABLE_\($0)", "the value of variable \($0)") }
    let isApart = arguments.count > 3
    var times: [Int64] = []
    let began = Clock.instant()
    for index in 0..<count {
      var request = SpawnRequest(execution)
      request.tag = tags.take()
      request.environment = [EnvironmentEntry("LISTEN_FDS", "1")]
      request.pidVariables = ["LISTEN_PID"]
      request.descriptors = [ChildDescriptor(1, as: 1), ChildDescriptor(2, as: 2), ChildDescriptor(1, as: 3)]
      let start = Clock.instant()
      guard case .spawned(let child) = spawner.start(request) else { return print("cannot start") }
      times.append((Clock.instant() - start).nanoseconds)
      tree.add(RunID(program: ProgramID(UInt32(index + 1)), run: 1), child, tag: request.tag)
      if isApart { turn("exit") { exits.count == index + 1 } }
    }
    let all = Clock.instant() - began
    turn("exits") { exits.count == count }
    times.sort()
    print(
      "starts \(count) parent \(size >> 20) MiB: median \(times[count / 2] / 1000) µs, "
        + "p99 \(times[count * 99 / 100] / 1000) µs, all started in \(Int(all.inMilliseconds)) ms")
  }

  /// `bench-stop N [PROGRAM ARGUMENT…]`: N programs that wait are told to end; until all have been reaped and their trees are over.
  func benchStop(_ arguments: [String]) throws {
    let count = arguments.first.flatMap { Int($0) } ?? 200
    let command = arguments.count > 1 ? Array(arguments.dropFirst()) : ["/bin/sleep", "1000"]
    var ended = 0
    reaper.exited = { [unowned self] run, _, status in
      exits[run] = status
      tree.end(run, signal: SIGTERM) { [unowned self] in
        ended += 1
        tree.release(run)
      }
    }
    let all = try (0..<count).map { _ in try start(command) }
    turn(for: .seconds(1))
    let began = Clock.instant()
    for run in all { _ = tree.signalMain(run, SIGTERM) }
    turn("all ended") { ended == count }
    print("stopped \(count) in \((Clock.instant() - began).inMilliseconds) ms")
  }

  /// `bench-orphans N`: a child leaves N zombies to us at once; until all are reaped.
  func benchOrphans(_ arguments: [String]) throws {
    let count = arguments.first.flatMap { Int($0) } ?? 5000
    let run = try start(arguments.count > 1 ? Array(arguments.dropFirst()) : ["/bin/false"])
    turnUntilExit(run)
    let began = Clock.instant()
    turn("orphans") { reaper.orphans >= UInt64(count) }
    print("reaped \(reaper.orphans) orphans in \((Clock.instant() - began).inMilliseconds) ms after their parent")
  }
}
