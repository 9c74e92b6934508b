import Glibc
import SupervisorCore

/// Finds the file of a command, by supervisord's rules and with its words (supervisor/process.py, `get_execv_args`, and
/// options.py, `check_execv_args`, 4.3.0), because people's alerts look for them.
enum CommandSearch {
  /// supervisord's answer where there is no PATH at all.
  static let defaultPath = "/bin:/usr/bin:/usr/local/bin"

  /// The file to execute. A word without a slash is looked for in `path`, the program's own PATH; the first directory that has
  /// such a file decides, executable or not. A relative path with a slash is looked for below `directory`, where it will be
  /// executed (supervisord looks in its own directory and executes in the program's).
  static func file(of word: String, path: String?, directory: String?) throws(SpawnFailure) -> String {
    if word.isEmpty { throw failure("command is empty", ENOENT) }
    var status = stat()
    var found: String?
    if word.utf8.contains(UInt8(ascii: "/")) {
      let place = absolute(word, below: directory)
      if stat(place, &status) == 0 { found = word }
    } else {
      for element in (path ?? defaultPath).split(separator: ":", omittingEmptySubsequences: false) {
        // An empty element is the current directory (execvp(3)).
        let candidate = element.isEmpty ? "./\(word)" : "\(element)/\(word)"
        if stat(absolute(candidate, below: directory), &status) == 0 {
          found = candidate
          break
        }
      }
    }
    guard let found else { throw failure("can't find command '\(word)'", ENOENT) }
    if status.st_mode & S_IFMT == S_IFDIR { throw failure("command at '\(found)' is a directory", EISDIR) }
    if status.st_mode & 0o111 == 0 { throw failure("command at '\(found)' is not executable", EACCES) }
    return found
  }

  private static func absolute(_ path: String, below directory: String?) -> String {
    guard let directory, !path.utf8.starts(with: "/".utf8) else { return path }
    return "\(directory)/\(path)"
  }

  private static func failure(_ text: String, _ errno: Int32) -> SpawnFailure {
    SpawnFailure(stage: .command, errno: errno, text: text, isShortage: false)
  }
}
