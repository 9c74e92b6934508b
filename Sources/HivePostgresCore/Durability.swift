// Making a whole new cluster durable. fsync of each of its thousand files takes 0.9 to 3 s on a virtual disk (one flush of the
// disk's cache for each), one syncfs 0.02 to 0.1 s: journal and cache are flushed once.

import CHivePostgres
import Glibc

/// Syncing a cluster.
struct Durability {
  let workspace: Workspace

  /// Syncs all files of the cluster in `directory`, in directories that it links to as well.
  func sync(cluster directory: String) throws(Failure) {
    let places = try [directory, Path.join(directory, "pg_wal")] + tablespaces(directory)
    guard Durability.reportsErrors, places.allSatisfy({ hpg_syncs_whole(hpg_filesystem_type($0)) == 1 }) else {
      try Child.run(
        workspace.installation.program("initdb"), ["--sync-only", "-D", directory], environment: workspace.environment,
        interruption: workspace.interruption, action: "sync \(directory)")
      return
    }
    var done: Set<dev_t> = []
    for place in places {
      guard let status = try FileSystem.status(place), done.insert(status.device).inserted else { continue }
      let fd = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
      guard fd >= 0 else { throw .system("sync \(place)", errno) }
      defer { close(fd) }
      guard hpg_sync_filesystem(fd) == 0 else { throw .system("sync \(place)", errno) }
    }
  }

  private func tablespaces(_ directory: String) throws(Failure) -> [String] {
    let links = Path.join(directory, "pg_tblspc")
    return try FileSystem.list(links).map { Path.join(links, $0) }
  }

  /// syncfs(2): "since Linux 5.8, an error is reported when an inode could not be written".
  static var reportsErrors: Bool {
    var name = utsname()
    guard uname(&name) == 0 else { return false }
    let release = withUnsafeBytes(of: &name.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    return isAtLeast58(release)
  }

  static func isAtLeast58(_ release: String) -> Bool {
    let parts = release.split(separator: ".").prefix(2).map { Int($0.prefix { $0.isASCII && $0.isNumber }) ?? 0 }
    guard parts.count == 2 else { return false }
    return parts[0] > 5 || (parts[0] == 5 && parts[1] >= 8)
  }
}
