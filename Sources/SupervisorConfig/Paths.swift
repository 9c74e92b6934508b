// os.path, as far as supervisord uses it.

/// `os.path.split`: the part before the last slash without trailing slashes (unless it is nothing else), and the part
/// after it.
func splitPath(_ path: String) -> (directory: String, base: String) {
  guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return ("", path) }
  let base = String(path[path.utf8.index(after: slash)...])
  var head = path.utf8[...slash]
  while head.last == UInt8(ascii: "/") { head = head.dropLast() }
  if head.isEmpty { return (String(path[...slash]), base) }
  return (String(path[head.startIndex..<head.endIndex]), base)
}

/// `os.path.join` of two.
func joinPath(_ directory: String, _ name: String) -> String {
  if name.begins(with: "/") || directory.isEmpty { return name }
  return directory.ends(with: "/") ? directory + name : directory + "/" + name
}

/// `os.path.normpath`.
func normalizedPath(_ path: String) -> String {
  if path.isEmpty { return "." }
  // POSIX lets a path with exactly two leading slashes mean something of its own.
  let root = path.begins(with: "//") && !path.begins(with: "///") ? "//" : path.begins(with: "/") ? "/" : ""
  var parts: [String] = []
  for part in split(path, on: "/") where !part.isEmpty && part != "." {
    if part == "..", parts.last != ".." || !root.isEmpty {
      if parts.isEmpty {
        if root.isEmpty { parts.append(part) }
      } else {
        parts.removeLast()
      }
    } else {
      parts.append(part)
    }
  }
  let joined = root + parts.joined(separator: "/")
  return joined.isEmpty ? "." : joined
}

extension ConfigurationInput {
  /// `os.path.abspath`.
  func absolutePath(_ path: String) -> String { normalizedPath(joinPath(workingDirectory, path)) }

  /// `os.path.expanduser`: `~` is HOME or the user's own home, `~name` is that user's. Without such a user the text
  /// stays.
  func expandingUser(_ path: String) -> String {
    guard path.begins(with: "~") else { return path }
    let end = path.utf8.firstIndex(of: UInt8(ascii: "/")) ?? path.endIndex
    let name = String(path[path.utf8.index(after: path.startIndex)..<end])
    let home: String?
    if name.isEmpty {
      home = environment.last { $0.0 == "HOME" }?.1 ?? user(String(effectiveUserID))?.home
    } else if case .invalid = pythonInteger(name) {
      home = user(name)?.home
    } else {
      home = nil
    }
    guard var home else { return path }
    while home.ends(with: "/") { home = home.dropping(last: 1) }
    let expanded = home + path[end...]
    return expanded.isEmpty ? "/" : expanded
  }

  /// `tempfile.gettempdir`: the first of these that is a directory.
  var temporaryDirectory: String {
    for name in ["TMPDIR", "TEMP", "TMP"] {
      if let value = environment.last(where: { $0.0 == name })?.1, !value.isEmpty, directoryExists(value) {
        return absolutePath(value)
      }
    }
    for path in ["/tmp", "/var/tmp", "/usr/tmp"] where directoryExists(path) { return path }
    return workingDirectory
  }

  /// `existing_dirpath`: `~` expanded, and the directory that shall contain it exists.
  func existingDirectoryPath(_ text: String) throws(ValueProblem) -> String {
    let path = expandingUser(text)
    let directory = splitPath(path).directory
    if directory.isEmpty || directoryExists(joinPath(workingDirectory, directory)) { return path }
    throw ValueProblem(
      "The directory named as part of the path \(text) does not exist",
      remedy: "create \(directory), or name another place")
  }

  /// `existing_directory`.
  func existingDirectory(_ text: String) throws(ValueProblem) -> String {
    let path = expandingUser(text)
    if directoryExists(joinPath(workingDirectory, path)) { return path }
    throw ValueProblem("\(text) is not an existing directory", remedy: "create it, or name another one")
  }

  /// `name_to_uid`.
  func userValue(_ text: String) throws(ValueProblem) -> UserRecord {
    let isNumber = if case .invalid = pythonInteger(text) { false } else { true }
    if let record = user(isNumber ? stripped(text) : text) { return record }
    throw ValueProblem(
      isNumber ? "Invalid user id \(text)" : "Invalid user name \(text)",
      remedy:
        "create the user (useradd --system \(isNumber ? "--uid \(text) NAME" : text)), or name one from /etc/passwd")
  }
}
