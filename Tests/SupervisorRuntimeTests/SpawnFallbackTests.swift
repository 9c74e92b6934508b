import Glibc
import SupervisorCore
import Testing

@testable import SupervisorRuntime

/// Every combination of missing kernel features: the child is the same.
@Suite("Spawner: older kernels and emulators")
struct SpawnFallbackTests {
  static let features: [KernelFeatures] = [
    .clonePidfd, .pidfdOpen, .closeRangeCloexec, .closeRange, .procDescriptors, .sharedMemory, .cloneIntoCgroup,
  ]

  static let combinations: [KernelFeatures] = (0..<(1 << features.count)).map { bits in
    var set: KernelFeatures = []
    for (index, feature) in features.enumerated() where bits & 1 << index != 0 { set.insert(feature) }
    return set
  }

  @Test("A start works without any set of features; only the pidfd may be missing")
  func everyCombination() throws {
    let leak = fcntl(2, F_DUPFD, 40)
    defer { close(leak) }
    let spawner = try Spawner()
    for without in Self.combinations {
      spawner.without = without
      var request = SpawnRequest(
        shell(
          "for f in /proc/self/fd/*; do n=${f##*/}; [ -e /proc/$$/fd/$n ] && echo $n; done; [ $LISTEN_PID = $$ ] && echo me"
        ))
      request.pidVariables = ["LISTEN_PID"]
      request.descriptors = [ChildDescriptor(2, as: 5)]
      #expect(try run(request, with: spawner).lines == ["0", "1", "2", "5", "me"], "without \(without)")
    }
  }

  @Test("A failure in the child is reported without any set of features")
  func everyCombinationFails() throws {
    let spawner = try Spawner()
    var request = SpawnRequest(shell("true"))
    request.execution.directory = "/no/such/directory"
    for without in Self.combinations {
      spawner.without = without
      let failed = try failure(request, with: spawner)
      #expect(failed.stage == .directory && failed.errno == ENOENT, "without \(without)")
    }
  }

  @Test("What one start failed of is not told of the next, whichever of them have the pipe that stays")
  func failuresAndSuccessesInTurn() throws {
    let spawner = try Spawner()
    var refused = SpawnRequest(shell("true"))
    refused.execution.limits = [ResourceLimit(resource: "nofile", soft: 20, hard: 10)]
    var astray = SpawnRequest(shell("true"))
    astray.execution.directory = "/no/such/directory"
    for round in 0..<60 {
      spawner.without = round % 3 == 2 ? [.sharedMemory] : []
      switch round % 4 {
      case 0: #expect(try failure(astray, with: spawner).stage == .directory)
      case 1: #expect(try failure(refused, with: spawner).stage == .limits)
      default: #expect(try run(SpawnRequest(shell("echo \(round)")), with: spawner).lines == ["\(round)"])
      }
    }
  }

  @Test("A pidfd comes from clone, else from pidfd_open, else not at all")
  func pidfdFallbacks() throws {
    let spawner = try Spawner()
    for (without, hasPidfd) in [
      (KernelFeatures([]), true), ([.clonePidfd], true), ([.pidfdOpen], true), ([.clonePidfd, .pidfdOpen], false),
    ] {
      spawner.without = without
      let child = try spawned(spawner.start(SpawnRequest(ExecutionSpec(arguments: ["/bin/true"]))))
      #expect((child.pidfd != nil) == hasPidfd)
      if let pidfd = child.pidfd { close(pidfd) }
      #expect(awaitExit(of: child.pid) == .exited(0))
    }
  }
}
