// The real world for `loadConfiguration`, in plain libc calls. Users and groups are read from /etc/passwd and
// /etc/group and not from NSS, which a static executable cannot load.

// `environ` is a variable to the importer; this process never changes it after its start.
@preconcurrency import Glibc

extension ConfigurationInput {
  /// The machine as this process sees it now. Users and groups are read once, at the first question.
  public static func live(path: String) -> ConfigurationInput {
    let users = Lazy { parsePasswd(readText("/etc/passwd")) }
    let groups = Lazy { parseGroups(readText("/etc/group")) }
    let environment = processEnvironment()
    let zones = environment.last { $0.0 == "TZDIR" && !$0.1.isEmpty }?.1 ?? "/usr/share/zoneinfo"
    return ConfigurationInput(
      path: path, environment: environment, hostName: nodeName(), workingDirectory: currentDirectory(),
      effectiveUserID: geteuid(),
      readFile: { (path) throws(FileProblem) in try readRegularFile(path) },
      listDirectory: listDirectoryNames,
      fileExists: { path in
        var status = stat()
        return lstat(path, &status) == 0
      },
      directoryExists: { path in
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
      },
      user: { text in
        if case .value(let number) = pythonInteger(text) { return users.value.first { Int($0.userID) == number } }
        return users.value.first { $0.name == text }
      },
      groupExists: { text in
        if case .value(let number) = pythonInteger(text) { return groups.value.contains { Int($0.groupID) == number } }
        return groups.value.contains { $0.name == text }
      },
      zoneInformation: { name in try? readRegularFile(joinPath(zones, name)) })
  }
}

/// passwd(5): `name:password:uid:gid:comment:home:shell`. Lines that are none are skipped, as in getpwnam(3).
func parsePasswd(_ text: String) -> [UserRecord] {
  split(text, on: "\n").compactMap { line in
    let fields = split(line, on: ":")
    guard fields.count >= 6, !fields[0].isEmpty, let user = UInt32(fields[2]), let group = UInt32(fields[3]) else {
      return nil
    }
    return UserRecord(name: fields[0], userID: user, groupID: group, home: fields[5])
  }
}

/// group(5): `name:password:gid:members`.
func parseGroups(_ text: String) -> [(name: String, groupID: UInt32)] {
  split(text, on: "\n").compactMap { line in
    let fields = split(line, on: ":")
    guard fields.count >= 3, !fields[0].isEmpty, let group = UInt32(fields[2]) else { return nil }
    return (fields[0], group)
  }
}

/// A value that is made at the first question.
private final class Lazy<Value> {
  private let make: () -> Value
  private var made: Value?

  init(_ make: @escaping () -> Value) { self.make = make }

  var value: Value {
    if let made { return made }
    let value = make()
    made = value
    return value
  }
}

/// Larger files are no configuration; PID 1 does not read them into its memory.
private let mostBytes = 4 * 1024 * 1024

/// The bytes of a regular file. Pipes and devices are refused: reading them could keep PID 1 waiting.
private func readRegularFile(_ path: String) throws(FileProblem) -> [UInt8] {
  let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)
  guard descriptor >= 0 else { throw problem(errno) }
  defer { close(descriptor) }
  var status = stat()
  guard fstat(descriptor, &status) == 0 else { throw problem(errno) }
  switch status.st_mode & S_IFMT {
  case S_IFREG: break
  case S_IFDIR: throw .directory
  default: throw .system("it is not a regular file")
  }
  guard status.st_size <= mostBytes else { throw .tooLarge(bytes: mostBytes) }
  var bytes: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 16 * 1024)
  while true {
    let count = buffer.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
    if count < 0 {
      if errno == EINTR { continue }
      throw problem(errno)
    }
    if count == 0 { return bytes }
    bytes.append(contentsOf: buffer.prefix(count))
    // The file may have grown since.
    guard bytes.count <= mostBytes else { throw .tooLarge(bytes: mostBytes) }
  }
}

private func readText(_ path: String) -> String {
  guard let bytes = try? readRegularFile(path) else { return "" }
  return String(decoding: bytes, as: UTF8.self)
}

private func problem(_ code: Int32) -> FileProblem {
  if code == ENOENT || code == ENOTDIR { return .absent }
  return .system(strerror(code).map { String(cString: $0) } ?? "error \(code)")
}

private func listDirectoryNames(_ path: String) -> [String]? {
  guard let directory = opendir(path) else { return nil }
  defer { closedir(directory) }
  var names: [String] = []
  while let entry = readdir(directory) {
    let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    if name != ".", name != ".." { names.append(name) }
  }
  return names
}

private func processEnvironment() -> [(String, String)] {
  var result: [(String, String)] = []
  var entry = environ
  while let text = entry.pointee {
    let pair = split(String(cString: text), on: "=", maxSplits: 1)
    // What another hivesupd has said of its own place is no news of ours (CPUTopology's HomeCPUs): its CPUs are not our children's.
    if pair.count == 2, pair[0] != "HIVESUP_CPUS" { result.append((pair[0], pair[1])) }
    entry += 1
  }
  return result
}

private func nodeName() -> String {
  var name = utsname()
  guard uname(&name) == 0 else { return "" }
  return withUnsafeBytes(of: &name.nodename) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
}

private func currentDirectory() -> String {
  guard let path = getcwd(nil, 0) else { return "/" }
  defer { free(path) }
  return String(cString: path)
}
