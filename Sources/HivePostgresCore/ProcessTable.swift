// Processes as /proc shows them (proc(5)).

import Glibc

/// A process, recognisable after its number was given to another one.
struct ProcessIdentity: Equatable {
  var pid: pid_t
  /// Clock ticks since boot at its start: /proc/PID/stat, field 22.
  var start: UInt64
}

/// What /proc says of one process.
struct ProcessInfo: Equatable {
  var identity: ProcessIdentity
  var parent: pid_t
  /// 'Z' and 'X' are dead.
  var state: Character

  var isDead: Bool { state == "Z" || state == "X" }

  /// Reads /proc/PID/stat's text. The name in parentheses may hold anything, parentheses too.
  init?(stat text: String) {
    guard let open = text.firstIndex(of: "("), let close = text.lastIndex(of: ")"), open < close,
      let pid = pid_t(text[..<open].trimmingSpaces)
    else { return nil }
    let fields = text[text.index(after: close)...].split(whereSeparator: { $0 == " " || $0 == "\n" })
    guard fields.count > 19, let state = fields[0].first, let parent = pid_t(fields[1]), let start = UInt64(fields[19])
    else {
      return nil
    }
    identity = ProcessIdentity(pid: pid, start: start)
    self.parent = parent
    self.state = state
  }
}

extension Substring {
  fileprivate var trimmingSpaces: Substring {
    var text = drop { $0 == " " }
    while text.last == " " { text.removeLast() }
    return text
  }
}

/// The processes of this PID namespace.
enum ProcessTable {
  /// nil when there is no such process.
  static func info(_ pid: pid_t) -> ProcessInfo? {
    guard let text = try? FileSystem.readText("/proc/\(pid)/stat") else { return nil }
    return ProcessInfo(stat: text)
  }

  /// The live children of a process. The kernel lists them where it was built to (CONFIG_PROC_CHILDREN, proc(5)); otherwise every
  /// process is asked for its parent.
  static func children(_ parent: pid_t) -> [ProcessInfo] {
    let numbers: [pid_t]
    if let text = try? FileSystem.readText("/proc/\(parent)/task/\(parent)/children") {
      numbers = text.split(whereSeparator: { $0 == " " || $0 == "\n" }).compactMap { pid_t($0) }
    } else {
      numbers = ((try? FileSystem.list("/proc")) ?? []).compactMap { pid_t($0) }
    }
    return numbers.compactMap { info($0) }.filter { $0.parent == parent && !$0.isDead }
  }

  /// Running and the same process still.
  static func isAlive(_ identity: ProcessIdentity) -> Bool {
    guard let info = info(identity.pid) else { return false }
    return info.identity == identity && !info.isDead
  }

  /// The PID namespace, so that numbers of another container are not taken for ours.
  static var namespace: String { FileSystem.linkTarget("/proc/self/ns/pid") ?? "" }

  /// The name of its program, at most 15 bytes.
  static func command(_ pid: pid_t) -> String {
    ((try? FileSystem.readText("/proc/\(pid)/comm")) ?? nil)?.trimmingTrailingNewlines ?? ""
  }

  /// What it calls itself: a server process sets its title ("postgres: hive hive_genie [local] INSERT"). At most 120 characters.
  static func title(_ pid: pid_t) -> String {
    guard let bytes = try? FileSystem.read("/proc/\(pid)/cmdline") else { return "" }
    let words = bytes.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
    var text = words.joined(separator: " ")
    while text.last == " " { text.removeLast() }
    return String(text.prefix(120))
  }

  /// Its environment has this `NAME=value`. False where we may not look.
  static func environment(_ pid: pid_t, contains entry: String) -> Bool {
    guard let bytes = try? FileSystem.read("/proc/\(pid)/environ") else { return false }
    return bytes.split(separator: 0).contains { $0.elementsEqual(entry.utf8) }
  }

  /// Live processes of user `owner` but ourselves that match.
  static func find(owner: uid_t, where matches: (pid_t) -> Bool) throws(Failure) -> [ProcessInfo] {
    var found: [ProcessInfo] = []
    let own = getpid()
    for name in try FileSystem.list("/proc") {
      guard let pid = pid_t(name), pid != own, let status = try? FileSystem.status("/proc/\(name)"),
        status.owner == owner,
        let info = info(pid), !info.isDead, matches(pid)
      else { continue }
      found.append(info)
    }
    return found
  }

  /// Server processes that have their working directory in the cluster: postmaster, backends, single-user and bootstrap ones.
  static func servers(of dataDirectory: String, owner: uid_t) throws(Failure) -> [ProcessInfo] {
    guard let real = realPath(dataDirectory) else { return [] }
    return try find(owner: owner) { pid in
      guard FileSystem.linkTarget("/proc/\(pid)/cwd") == real else { return false }
      let program = FileSystem.linkTarget("/proc/\(pid)/exe").map(Path.name) ?? ""
      // An upgrade of the package replaces the file below a running server.
      return program == "postgres" || program == "postgres (deleted)"
    }
  }

  static func realPath(_ path: String) -> String? {
    guard let resolved = realpath(path, nil) else { return nil }
    defer { free(resolved) }
    return String(cString: resolved)
  }

  /// Ends processes: each signal of the plan in turn, with the time it has, until none is left. Returns those that are left.
  static func end(_ processes: [ProcessInfo], plan: [(signal: Int32, wait: Duration)], _ interruption: Interruption)
    throws(Failure) -> [ProcessInfo]
  {
    var left = processes.filter { isAlive($0.identity) }
    for step in plan {
      for process in left { kill(process.identity.pid, step.signal) }
      _ = try interruption.poll(every: .milliseconds(3), atMost: step.wait) {
        left = left.filter { isAlive($0.identity) }
        return left.isEmpty
      }
      if left.isEmpty { break }
    }
    return left
  }
}
