import CHiveSys
import Glibc
import SupervisorCore
import Testing

@testable import SupervisorRuntime

/// What a child wrote and how it ended.
struct ChildReport {
  var output: String
  var status: SupervisorCore.ExitStatus

  /// The value after `key:` in a child's copy of a file like /proc/self/status.
  func field(_ key: String) -> String? {
    for line in output.split(separator: "\n") where line.hasPrefix("\(key):") {
      return line.dropFirst(key.count + 1).trimmingBlanks()
    }
    return nil
  }

  var lines: [String] { output.split(separator: "\n").map(String.init) }
}

extension StringProtocol {
  func trimmingBlanks() -> String {
    var text = Substring(self)
    while let first = text.first, first == " " || first == "\t" { text.removeFirst() }
    while let last = text.last, last == " " || last == "\t" { text.removeLast() }
    return String(text)
  }
}

extension ScratchDirectory {
  /// A directory that children of other users may read too.
  static func shared() throws -> ScratchDirectory {
    let directory = try ScratchDirectory()
    chmod(directory.path, 0o755)
    return directory
  }

  /// Makes a file; its path.
  func file(_ name: String, _ text: String, mode: mode_t = 0o644) throws -> String {
    let place = file(name)
    let descriptor = open(place, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
    if descriptor < 0 { throw SystemError("write \(place)", errno: errno) }
    defer { close(descriptor) }
    writeAll(descriptor, text)
    chmod(place, mode)
    return place
  }
}

/// `sh -c SCRIPT`, with a PATH and nothing else in the environment.
func shell(_ script: String) -> ExecutionSpec {
  var spec = ExecutionSpec(arguments: ["/bin/sh", "-c", script])
  spec.environment = [EnvironmentEntry("PATH", "/usr/bin:/bin")]
  return spec
}

/// Waits for one child of ours, and for nobody else's.
func awaitExit(of pid: Int32) -> SupervisorCore.ExitStatus? {
  var information = hive_exit()
  while true {
    let outcome = hive_wait(pid, 0, &information)
    if outcome == 1 { return SupervisorCore.ExitStatus(information) }
    if outcome < 0 { return nil }
    // Tests only: the loop never waits like this.
    var pause = timespec(tv_sec: 0, tv_nsec: 500_000)
    nanosleep(&pause, nil)
  }
}

/// Starts a request with its output on a pipe, and waits for it.
func run(_ request: SpawnRequest, with spawner: Spawner) throws -> ChildReport {
  var ends: [Int32] = [-1, -1]
  guard pipe(&ends) == 0 else { throw SystemError("make a pipe", errno: errno) }
  for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
  defer { close(ends[0]) }
  var request = request
  request.descriptors += [ChildDescriptor(ends[1], as: 1)]
  if !request.descriptors.contains(where: { $0.target == 2 }) {
    request.descriptors += [ChildDescriptor(ends[1], as: 2)]
  }
  let outcome = spawner.start(request)
  close(ends[1])
  let child = try spawned(outcome)
  defer { if let pidfd = child.pidfd { close(pidfd) } }
  var bytes: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 4096)
  while true {
    let count = read(ends[0], &buffer, buffer.count)
    if count <= 0 { break }
    bytes += buffer.prefix(count)
  }
  if let pending = child.pending { _ = try conclude(pending, spawner).get() }
  let status = try #require(awaitExit(of: child.pid))
  return ChildReport(output: String(decoding: bytes, as: UTF8.self), status: status)
}

func run(_ spec: ExecutionSpec) throws -> ChildReport { try run(SpawnRequest(spec), with: Spawner()) }

/// The child of a start that must have succeeded.
func spawned(_ outcome: SpawnOutcome) throws -> SpawnedChild {
  switch outcome {
  case .spawned(let child): return child
  case .failed(let failure, let pid):
    if let pid { _ = awaitExit(of: pid) }
    throw failure
  }
}

/// The failure of a start that must not succeed; what it leaves is reaped.
func failure(_ request: SpawnRequest, with spawner: Spawner) throws -> SpawnFailure {
  switch spawner.start(request) {
  case .failed(let failure, let pid):
    if let pid { #expect(awaitExit(of: pid) == .exited(127)) }
    return failure
  case .spawned(let child):
    defer { if let pidfd = child.pidfd { close(pidfd) } }
    if let pending = child.pending, case .failure(let failure) = try conclude(pending, spawner) {
      #expect(awaitExit(of: child.pid) == .exited(127))
      return failure
    }
    let status = awaitExit(of: child.pid)
    throw SystemError("see a failure: the child ended with \(String(describing: status))", errno: 0)
  }
}

func failure(_ spec: ExecutionSpec) throws -> SpawnFailure { try failure(SpawnRequest(spec), with: Spawner()) }

/// Waits until a pending start is known.
func conclude(_ pending: PendingStart, _ spawner: Spawner) throws -> Result<[RefusedSetting], SpawnFailure> {
  // What the kernel refused is told before the outcome, so that the first look may find no more than that.
  for _ in 0..<16 {
    var item = pollfd(fd: pending.descriptor, events: Int16(POLLIN), revents: 0)
    #expect(poll(&item, 1, 10_000) == 1)
    if let result = spawner.conclude(pending) { return result }
  }
  throw SystemError("hear how a start ended", errno: ETIMEDOUT)
}

/// Tests of what only root can do. Where the tests run as somebody else these are skipped, and CI runs them as root.
let isRoot = geteuid() == 0
