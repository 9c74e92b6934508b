// A full disk makes PostgreSQL unstartable: recovery needs a new WAL file, and without room for it every start ends in a PANIC
// that leaves things no better. So room is checked before, and a file of ballast is there to be given up once.

import CHivePostgres
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

  /// Throws `noSpace` when a start would do damage. Gives up the ballast when that helps, and makes it when there is plenty.
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
    if let short {
      throw Failure(
        .noSpace,
        "cannot start a server: \(short.place) has \(short.free >> 20) MB free, and recovery may need \(needed >> 20)",
        remedy: "free some space on it; nothing was changed")
    }
    makeBallast(needed)
  }

  private func shortage(_ needed: UInt64) throws(Failure) -> (place: String, free: UInt64)? {
    // WAL may be on a filesystem of its own.
    for place in [volume.dataDirectory, Path.join(volume.dataDirectory, "pg_wal")] {
      let free = try FileSystem.freeBytes(place).free
      if free < needed { return (place, free) }
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
