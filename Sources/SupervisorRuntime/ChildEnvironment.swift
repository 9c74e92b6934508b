import Glibc
import SupervisorCore

/// The environment of one start: what the configuration gave, and what is read at each start. Later lines win over earlier ones:
///
/// 1. the spec's environment (inherited, `SUPERVISOR_*`, `environment=`),
/// 2. `HOME`, `USER`, `LOGNAME` of `user`,
/// 3. `env_file`, file by file,
/// 4. `secrets`: `NAME` from the file that `NAME_FILE` names, as the images of the docker-library do.
///
/// What the runtime adds (`LISTEN_FDS`, `NOTIFY_SOCKET`, …) wins over all of them (`SpawnRequest.environment`).
///
/// Names in `configuredNames` (`environment=`) are never touched by 2 and 3.
struct ChildEnvironment {
  private(set) var entries: [EnvironmentEntry]
  private var places: [String: Int]?

  /// Nothing is read and nothing hashed for a program that has none of 2…4, which is most of them.
  init(_ spec: ExecutionSpec, identity: ChildIdentity) throws(SpawnFailure) {
    entries = spec.environment
    let kept = Set(spec.configuredNames)
    if let home = identity.home {
      for (name, value) in [("HOME", home), ("USER", identity.name), ("LOGNAME", identity.name)]
      where !kept.contains(name) {
        set(name, value)
      }
    }
    for file in spec.environmentFiles {
      for entry in try Self.read(file) where !kept.contains(entry.name) { set(entry.name, entry.value) }
    }
    for name in spec.secrets { try readSecret(name) }
  }

  /// The value of a variable.
  func value(of name: String) -> String? {
    if let places { return places[name].map { entries[$0].value } }
    return entries.last { $0.name == name }?.value
  }

  /// Sets a variable.
  mutating func set(_ name: String, _ value: String) {
    if let place = place(of: name) {
      entries[place].value = value
    } else {
      places?[name] = entries.count
      entries.append(EnvironmentEntry(name, value))
    }
  }

  private mutating func place(of name: String) -> Int? {
    if places == nil {
      places = [:]
      for (index, entry) in entries.enumerated() { places?[entry.name] = index }
    }
    return places?[name]
  }

  private mutating func remove(_ name: String) {
    guard let place = place(of: name) else { return }
    entries.remove(at: place)
    places = nil
  }

  private static func read(_ file: EnvironmentFile) throws(SpawnFailure) -> [EnvironmentEntry] {
    let bytes: [UInt8]
    do {
      bytes = try FileBytes.read(file.path, limit: 1024 * 1024)
    } catch {
      if file.optional && error.errno == ENOENT { return [] }
      throw SpawnFailure(
        stage: .prepare, errno: error.errno,
        text: "cannot read the env_file \(file.path): \(errorText(error.errno))"
          + (error.errno == ENOENT ? "; write -\(file.path) if it may be missing" : ""),
        isShortage: error.isShortage)
    }
    do {
      return try EnvironmentFileReader.entries(in: bytes)
    } catch {
      throw SpawnFailure(
        stage: .prepare, errno: 0, text: "cannot use the env_file \(file.path), line \(error.line): \(error.reason)",
        isShortage: false)
    }
  }

  private mutating func readSecret(_ name: String) throws(SpawnFailure) {
    let fileName = "\(name)_FILE"
    guard let path = value(of: fileName), !path.isEmpty else { return }
    if let value = value(of: name), !value.isEmpty {
      throw SpawnFailure(
        stage: .prepare, errno: 0,
        text: "cannot tell the secret \(name): both \(name) and \(fileName) are set; remove one of them",
        isShortage: false)
    }
    var bytes: [UInt8]
    do {
      bytes = try FileBytes.read(path, limit: 128 * 1024)
    } catch {
      throw SpawnFailure(
        stage: .prepare, errno: error.errno,
        text: "cannot read the secret \(name) from \(path) (\(fileName)): \(errorText(error.errno))",
        isShortage: error.isShortage)
    }
    // What an editor or `echo` leaves at the end is not part of it.
    while let last = bytes.last, last == 0x0A || last == 0x0D { bytes.removeLast() }
    guard !bytes.contains(0), let value = String(validating: bytes, as: UTF8.self) else {
      throw SpawnFailure(
        stage: .prepare, errno: 0,
        text: "cannot use the secret \(name) from \(path): it is not UTF-8 text, and an environment holds nothing else",
        isShortage: false)
    }
    remove(fileName)
    set(name, value)
  }
}
