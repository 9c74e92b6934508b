// What /proc tells about processes (proc(5)). All of it is readable by everybody; nothing here needs CAP_SYS_PTRACE.

import Glibc

/// One process at the moment of reading.
public struct ProcessEntry: Equatable, Sendable {
  /// Its id.
  public var pid: Int32
  /// Its parent's.
  public var parent: Int32
  /// Its process group.
  public var group: Int32
  /// Its session.
  public var session: Int32
  /// R, S, D, T, t, I, Z (zombie), X (dead).
  public var state: UInt8
  /// When it started, in clock ticks since boot: with the pid, its identity.
  public var startTime: UInt64
  /// How many threads it has.
  public var threads: Int32
  /// The name of its executable, at most 15 bytes, or what it calls itself.
  public var name: String

  /// A zombie holds its pid and nothing else - unless only its first thread has ended, which looks the same but for the number of
  /// threads.
  public var isAlive: Bool {
    switch state {
    case UInt8(ascii: "Z"): threads > 1
    case UInt8(ascii: "X"), UInt8(ascii: "x"): false
    default: true
    }
  }
}

/// The processes of this pid namespace.
public struct ProcessTable: Sendable {
  /// Where proc is mounted.
  public var root: String

  /// The table at this mount.
  public init(root: String = "/proc") { self.root = root }

  /// A process, or nil when there is none.
  public func entry(_ pid: Int32) -> ProcessEntry? {
    guard let bytes = contents("\(root)/\(pid)/stat") else { return nil }
    return Self.entry(stat: bytes)
  }

  /// The soft value of RLIMIT_LOCKS, where runs are marked; nil for infinity, or when there is no such process.
  public func tag(_ pid: Int32) -> UInt64? {
    guard let bytes = contents("\(root)/\(pid)/limits") else { return nil }
    return Self.fileLocks(limits: bytes)
  }

  /// All processes.
  public func all() -> [ProcessEntry] { pids().compactMap { entry($0) } }

  /// All process ids; empty when /proc is not mounted.
  public func pids() -> [Int32] { numbers(in: root) }

  private func numbers(in path: String) -> [Int32] {
    guard let directory = opendir(path) else { return [] }
    defer { closedir(directory) }
    var result: [Int32] = []
    while let item = readdir(directory) {
      let pid: UInt64? = withUnsafeBytes(of: &item.pointee.d_name) { name in
        decimalNumber(name.prefix { $0 != 0 })
      }
      if let pid, pid > 0, pid <= UInt64(Int32.max) { result.append(Int32(pid)) }
    }
    return result
  }

  /// The effective user id of a process or thread; nil when it has gone.
  public func user(of pid: Int32) -> UInt32? {
    guard let bytes = contents("\(root)/\(pid)/status") else { return nil }
    for line in bytes.split(separator: 0x0A) where line.starts(with: Array("Uid:".utf8)) {
      // Real, effective, saved, file system (proc_pid_status(5)).
      let ids = line.dropFirst(4).split(whereSeparator: { $0 == 0x09 || $0 == 0x20 })
      return ids.count > 1 ? decimalNumber(ids[1]).flatMap { UInt32(exactly: $0) } : nil
    }
    return nil
  }

  /// The ids of a process's threads; empty when it has gone.
  public func threads(of pid: Int32) -> [Int32] { numbers(in: "\(root)/\(pid)/task") }

  /// The direct children of a process, zombies among them. nil where the kernel does not list them (CONFIG_PROC_CHILDREN): then
  /// `all()` has to be searched. Only the main thread's children are read: the supervisor has no other.
  public func children(of pid: Int32) -> [Int32]? { children(of: pid, thread: pid) }

  /// The direct children of all threads of a process. nil where the kernel does not list them, or the process has gone.
  public func childrenOfAllThreads(of pid: Int32) -> [Int32]? {
    let threads = numbers(in: "\(root)/\(pid)/task")
    if threads.isEmpty { return nil }
    var result: [Int32] = []
    for thread in threads {
      guard let children = children(of: pid, thread: thread) else {
        // The thread may have ended in between; the main thread's file tells whether there are such files at all.
        if thread == pid { return nil }
        continue
      }
      result += children
    }
    return result
  }

  private func children(of pid: Int32, thread: Int32) -> [Int32]? {
    guard let bytes = try? FileBytes.read("\(root)/\(pid)/task/\(thread)/children", limit: 16 * 1024 * 1024)
    else { return nil }
    return bytes.split(separator: 0x20).compactMap { decimalNumber($0).flatMap { Int32(exactly: $0) } }
  }

  /// Reads into a buffer on the stack: a scan looks at hundreds of these.
  private func contents(_ path: String) -> [UInt8]? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    if descriptor < 0 { return nil }
    defer { close(descriptor) }
    let bytes = [UInt8](unsafeUninitializedCapacity: 2048) { buffer, count in
      count = max(read(descriptor, buffer.baseAddress, buffer.count), 0)
    }
    return bytes.isEmpty ? nil : bytes
  }

  /// A line of /proc/PID/stat. The name stands in parentheses and may itself contain spaces and parentheses: the last `)` counts.
  static func entry(stat bytes: [UInt8]) -> ProcessEntry? {
    guard let open = bytes.firstIndex(of: UInt8(ascii: "(")), let close = bytes.lastIndex(of: UInt8(ascii: ")")),
      open < close, open > 0, let pid = decimalNumber(bytes[..<(open - 1)])
    else { return nil }
    let fields = bytes[(close + 1)...].split(separator: 0x20, maxSplits: 20)
    // fields[0] is field 3 of proc(5): state, ppid, pgrp, session, …; field 20 is num_threads, 22 the start time.
    guard fields.count > 19, let state = fields[0].first, let parent = number(fields[1]), let group = number(fields[2]),
      let session = number(fields[3]), let threads = number(fields[17]), let start = decimalNumber(fields[19]),
      let pid = Int32(exactly: pid)
    else { return nil }
    return ProcessEntry(
      pid: pid, parent: parent, group: group, session: session, state: state, startTime: start, threads: threads,
      name: String(decoding: bytes[(open + 1)..<close], as: UTF8.self))
  }

  private static func number(_ field: ArraySlice<UInt8>) -> Int32? {
    // Kernel threads and processes of other namespaces have group and session 0 or -1.
    if field.first == UInt8(ascii: "-") {
      return decimalNumber(field.dropFirst()).flatMap { Int32(exactly: $0) }.map { -$0 }
    }
    return decimalNumber(field).flatMap { Int32(exactly: $0) }
  }

  /// The soft value in the line "Max file locks   4611686018427387905   unlimited   locks".
  static func fileLocks(limits bytes: [UInt8]) -> UInt64? {
    let label = Array("Max file locks".utf8)
    for line in bytes.split(separator: 0x0A) where line.starts(with: label) {
      let words = line.dropFirst(label.count).split(separator: 0x20)
      return words.first.flatMap { decimalNumber($0) }
    }
    return nil
  }
}
