// The machines in Trees: what a machine's sysfs and procfs hold, in one small text file each. Trees/README.md has the
// grammar.

import CPUTopology
import Glibc

/// A machine's files.
struct MachineTree: Sendable {
  /// The content by name, `sys/…` or `proc/…`.
  var files: [String: [UInt8]] = [:]

  static let directory = String("\(#filePath)".dropLast("MachineTree.swift".count)) + "Trees"

  /// All machines, by name.
  static let all: [String] = {
    var names: [String] = []
    guard let stream = opendir(directory) else { return [] }
    defer { closedir(stream) }
    while let entry = readdir(stream) {
      let name = withUnsafePointer(to: entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name.hasSuffix(".tree") { names.append(String(name.dropLast(5))) }
    }
    return names.sorted()
  }()

  struct Wrong: Error { var text: String }

  init() {}

  init(named name: String) throws {
    guard let text = Self.read("\(Self.directory)/\(name).tree") else { throw Wrong(text: "no tree \(name)") }
    for line in text.split(separator: "\n") where !line.hasPrefix("#") { try add(String(line)) }
  }

  /// A line of a manifest.
  private mutating func add(_ line: String) throws {
    if line.hasPrefix("@include ") {
      files.merge(try MachineTree(named: String(line.dropFirst(9))).files) { $1 }
      return
    }
    if line.hasPrefix("!") {
      for name in try Self.expanded(String(line.dropFirst())).map(\.name) {
        files = files.filter { $0.key != name && !(name.hasSuffix("/") && $0.key.hasPrefix(name)) }
      }
      return
    }
    guard let tab = line.firstIndex(of: "\t") else { throw Wrong(text: "no tab in: \(line)") }
    let content = Self.unescaped(String(line[line.index(after: tab)...]))
    for (name, number) in try Self.expanded(String(line[..<tab])) {
      files[name] = Array((Self.filled(content, number) + "\n").utf8)
    }
  }

  /// `cpu{0-2}/x` is `cpu0/x`, `cpu1/x` and `cpu2/x`.
  private static func expanded(_ name: String) throws -> [(name: String, number: Int)] {
    guard let open = name.firstIndex(of: "{"), let close = name.firstIndex(of: "}") else { return [(name, 0)] }
    let cpus = try CPUSet(list: String(name[name.index(after: open)..<close]))
    return cpus.map { ("\(name[..<open])\($0)\(name[name.index(after: close)...])", $0) }
  }

  /// `{}` is the number that the name was expanded with, `{+32}` and `{-32}` one further on.
  private static func filled(_ content: String, _ number: Int) -> String {
    var text = ""
    var rest = content[...]
    while let open = rest.firstIndex(of: "{"), let close = rest[open...].firstIndex(of: "}") {
      text += rest[..<open] + String(number + (Int(rest[rest.index(after: open)..<close]) ?? 0))
      rest = rest[rest.index(after: close)...]
    }
    return text + rest
  }

  private static func unescaped(_ text: String) -> String {
    var result = ""
    var isEscape = false
    for character in text {
      if isEscape {
        result.append(character == "n" ? "\n" : character == "t" ? "\t" : character == "0" ? "\0" : character)
        isEscape = false
      } else if character == "\\" {
        isEscape = true
      } else {
        result.append(character)
      }
    }
    return result
  }

  /// The machine without a disk.
  var machine: Machine {
    let files = files
    let access = MachineFiles { name, most in files[name].map { Array($0.prefix(most)) } }
    let status = files["proc/self/status"].map { String(decoding: $0, as: UTF8.self) } ?? ""
    let allowed = status.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed_list:") }
    let affinity = allowed.flatMap { try? CPUSet(list: String($0.dropFirst(18))) }
    return Machine(files: access, affinity: { affinity })
  }

  /// Without the files whose names begin so.
  func without(_ prefixes: String...) -> MachineTree {
    var tree = self
    tree.files = files.filter { file in !prefixes.contains { file.key.hasPrefix($0) } }
    return tree
  }

  /// Writes the files into a new directory, calls the body with it, and removes it.
  func onDisk<T>(_ body: (String) throws -> T) throws -> T {
    var template = Array("/tmp/hivesup-topology.XXXXXX".utf8CString)
    guard let directory = mkdtemp(&template) else { throw Wrong(text: "mkdtemp: \(errno)") }
    let root = String(cString: directory)
    var made = [root]
    defer { for path in made.reversed() { remove(path) } }
    for (name, content) in files {
      var directory = root
      for part in name.split(separator: "/").dropLast() {
        directory += "/\(part)"
        if mkdir(directory, 0o755) == 0 { made.append(directory) }
      }
      guard let file = fopen("\(root)/\(name)", "w") else { throw Wrong(text: "\(name): \(errno)") }
      made.append("\(root)/\(name)")
      fwrite(content, 1, content.count, file)
      fclose(file)
    }
    return try body(root)
  }

  static func read(_ path: String) -> String? {
    guard let file = fopen(path, "r") else { return nil }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 64 * 1024)
    while true {
      let count = fread(&piece, 1, piece.count, file)
      if count == 0 { return String(decoding: bytes, as: UTF8.self) }
      bytes += piece.prefix(count)
    }
  }
}
