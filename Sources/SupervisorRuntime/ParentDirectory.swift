// The directories of the supervisor's own files. /run is an empty tmpfs in many containers (`--tmpfs /run`, Kubernetes' emptyDir): what an
// image had there is gone, and nobody runs before us who could make it.

import Glibc

enum ParentDirectory {
  /// Makes the directory of the file at `path`, and those above it, where they are missing: mode 0755 whatever the umask is, because
  /// programs of other users have files below /run/hivesup, and what is private has its own mode. Existing ones stay as they are.
  ///
  /// Throws the first refusal.
  static func make(for path: String) throws(DirectoryRefused) {
    let directory = parentDirectory(of: path)
    var missing: [String] = []
    var current = directory
    while access(current, F_OK) != 0 && errno == ENOENT {
      missing.append(current)
      let next = parentDirectory(of: current)
      if next == current { break }
      current = next
    }
    for one in missing.reversed() {
      if mkdir(one, 0o755) == 0 {
        _ = chmod(one, 0o755)
        continue
      }
      let reason = errno
      if reason == EEXIST { continue }
      throw DirectoryRefused("make the directory \(one)", reason, remedy: remedy(reason, in: parentDirectory(of: one)))
    }
    var status = stat()
    let reason = stat(directory, &status) != 0 ? errno : status.st_mode & S_IFMT != S_IFDIR ? ENOTDIR : 0
    if reason != 0 { throw DirectoryRefused("use the directory \(directory)", reason, remedy: nil) }
  }

  private static func remedy(_ error: Int32, in parent: String) -> String? {
    switch error {
    case EROFS: "\(parent) is on a read-only file system: mount a tmpfs there (--tmpfs /run), or choose another place"
    case EACCES, EPERM: "uid \(geteuid()) may not write in \(parent): make it writable, or choose another place"
    default: nil
    }
  }
}

/// Why a directory cannot be had.
struct DirectoryRefused: Error, Equatable, CustomStringConvertible {
  /// "cannot make the directory /run/hivesup: Read-only file system (/run is …)".
  var description: String

  init(_ operation: String, _ error: Int32, remedy: String?) {
    description = "cannot \(operation): \(errorText(error))" + (remedy.map { " (\($0))" } ?? "")
  }
}
