// A full disk makes PostgreSQL unstartable: recovery needs a new WAL file, and without room for it every start ends in a PANIC
// that leaves things no better. So room is checked before, a file of ballast is there to be given up once, and what then still has
// no room waits for it: attempts that all end in the same way would only end the container.

import CHivePostgres
import ControlProtocol
import Glibc

/// Free space, and the ballast.
struct DiskSpace {
  let workspace: Workspace
  let volume: Volume

  /// For what is written besides WAL: lock file, temporary statistics, control file.
  static let marginBytes: UInt64 = 16 << 20
  private static let defaultBallastMegabytes = 64

  /// What a start needs.
  static func needed(walSegmentBytes: UInt64) -> UInt64 { 2 * min(walSegmentBytes, 1 << 30) + marginBytes }

  /// Returns when a start does no damage; throws `noSpace` when that takes longer than `HIVE_SPACE_TIMEOUT`. Gives up the ballast when
  /// that helps, and makes it when there is plenty.
  func prepare(walSegmentBytes: UInt64) throws(Failure) {
    let needed = DiskSpace.needed(walSegmentBytes: walSegmentBytes)
    var short = try shortage(needed)
    if short != nil, let size = try FileSystem.status(volume.ballast)?.size {
      workspace.console.warning(
        "the disk is full: giving up \(size >> 20) MB of ballast (\(volume.ballast)). Free some space now; it is made again then"
      )
      try FileSystem.remove(volume.ballast)
      short = try shortage(needed)
    }
    if let short { try wait(for: needed, short) }
    makeBallast(needed)
  }

  /// How often a waiting start looks whether there is room, and tells PID 1.
  private static let step = Duration.seconds(1)

  private func wait(for needed: UInt64, _ first: Shortage) throws(Failure) {
    func failure(_ short: Shortage) -> Failure {
      Failure(
        .noSpace,
        "cannot start a server: \(short.place) has \(short.free >> 20) MB free, and recovery may need \(needed >> 20)",
        remedy: "free some space on it; nothing was changed")
    }
    // Where nobody supervises there is somebody who wants to know.
    let limit = workspace.settings.spaceTimeout ?? (workspace.settings.controlSocket == nil ? .zero : nil)
    guard limit.map({ $0 > .zero }) ?? true else { throw failure(first) }
    workspace.console.warning("\(failure(first)). It starts by itself when there is room")
    let begun = ContinuousClock.now
    var short = first
    while true {
      let passed = ContinuousClock.now - begun
      if let limit, passed >= limit { throw failure(short) }
      try report(short, needed)
      let left = limit.map { $0 - passed } ?? DiskSpace.step
      if case .stop(let number) = workspace.interruption.wait(atMost: min(DiskSpace.step, left)) {
        throw .interrupted(number)
      }
      guard let still = try shortage(needed) else { break }
      short = still
    }
    workspace.console.info("there is room again after \((ContinuousClock.now - begun) / .seconds(1)) s")
  }

  /// Under the monitor's name for it: its next report takes this one's place.
  private func report(_ short: Shortage, _ needed: UInt64) throws(Failure) {
    guard let socket = workspace.settings.controlSocket else { return }
    let finding = Monitor.Finding(
      passed: false,
      detail:
        "disk full: \(short.place) has \(short.free >> 20) MB free, a start may need \(needed >> 20); waiting for space",
      latencyMilliseconds: 0)
    do throws(ControlClient.Problem) {
      try ControlClient(socketPath: socket, interruption: workspace.interruption).post(
        "/v1/checks/postgresql", Monitor.body(finding, interval: .seconds(2)), within: DiskSpace.step)
    } catch {
      if case .interrupted(let signal) = error { throw .interrupted(signal) }
      // PID 1 may be away for a moment; the log has it all.
    }
  }

  private struct Shortage {
    var place: String
    var free: UInt64
  }

  private func shortage(_ needed: UInt64) throws(Failure) -> Shortage? {
    // WAL may be on a filesystem of its own.
    for place in [volume.dataDirectory, Path.join(volume.dataDirectory, "pg_wal")] {
      let free = try FileSystem.freeBytes(place).free
      if free < needed { return Shortage(place: place, free: free) }
    }
    return nil
  }

  private func makeBallast(_ needed: UInt64) {
    // On a tmpfs it would be memory.
    let isTemporary = hpg_filesystem_type(volume.root) == hpg_tmpfs()
    let megabytes = workspace.settings.ballastMegabytes ?? (isTemporary ? 0 : DiskSpace.defaultBallastMegabytes)
    let bytes = UInt64(megabytes) << 20
    guard bytes > 0, let free = try? FileSystem.freeBytes(volume.root).free, free / 4 > bytes, free > needed + bytes,
      access(volume.ballast, F_OK) != 0
    else { return }
    let fd = open(volume.ballast, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard fd >= 0 else { return }
    defer { close(fd) }
    // Where the filesystem cannot reserve blocks there is no ballast; the check before each start is there all the same.
    if hpg_allocate(fd, Int64(bytes)) != 0 { unlink(volume.ballast) }
  }
}
