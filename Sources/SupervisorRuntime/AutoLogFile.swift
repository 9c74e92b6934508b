// `AUTO` log files: supervisord's names in `childlogdir` (supervisor/options.py, get_autochildlog_name), and what it removes there
// at its start (clear_autochildlogdir).

import Glibc

/// supervisord's automatic child log files.
public enum AutoLogFile {
  /// Makes an empty file `<process>-<stream>---<identifier>-XXXXXX.log` in `directory` (0600) and returns its path. The process name
  /// may hold slashes from expansions; they become underscores.
  public static func create(
    directory: String, process: String, stream: String, identifier: String
  ) throws(SystemError) -> String {
    let stem = "\(process)-\(stream)---\(identifier)-"
    let name = String(decoding: stem.utf8.map { $0 == UInt8(ascii: "/") ? UInt8(ascii: "_") : $0 }, as: UTF8.self)
    let suffix = ".log"
    var template = Array("\(directory)/\(name)XXXXXX\(suffix)".utf8CString)
    let descriptor = mkstemps(&template, Int32(suffix.utf8.count))
    if descriptor < 0 {
      throw SystemError(
        "create a log file in childlogdir \(directory) (make it writable, or set childlogdir)", errno: errno)
    }
    close(descriptor)
    return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// Whether supervisord would take this name for one of its own of an earlier run:
  /// `.+?---<identifier>-\S+\.log\.{0,1}\d{0,4}`, anchored at the beginning only.
  public static func matches(_ name: String, identifier: String) -> Bool {
    let bytes = Array(name.utf8)
    let separator = Array("---\(identifier)-".utf8)
    let extensionBytes = Array(".log".utf8)
    guard bytes.count > separator.count + extensionBytes.count + 1 else { return false }
    var start = 1
    while start + separator.count < bytes.count {
      if bytes[start..<start + separator.count].elementsEqual(separator) {
        let rest = bytes[(start + separator.count)...]
        // \S+ before ".log": at least one byte, and no white space up to it.
        let word = rest.prefix { !($0 == 0x20 || (0x09...0x0d).contains($0)) }
        var index = word.startIndex + 1
        while index + extensionBytes.count <= word.endIndex {
          if word[index..<index + extensionBytes.count].elementsEqual(extensionBytes) { return true }
          index += 1
        }
      }
      start += 1
    }
    return false
  }

  /// Removes the automatic log files of an earlier run from `directory`. Only regular files: nothing else is ours. Returns the paths
  /// that could not be removed.
  public static func removeOld(directory: String, identifier: String) throws(SystemError) -> [SystemError] {
    guard let stream = opendir(directory) else {
      throw SystemError("read childlogdir \(directory)", errno: errno)
    }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if matches(name, identifier: identifier) { names.append(name) }
    }
    var refused: [SystemError] = []
    for name in names.sorted() {
      let path = "\(directory)/\(name)"
      var status = stat()
      guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { continue }
      if unlink(path) != 0 && errno != ENOENT {
        refused.append(SystemError("remove the old log file \(path)", errno: errno))
      }
    }
    return refused
  }
}
