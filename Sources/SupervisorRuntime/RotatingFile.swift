// A log file with supervisord's rotation (supervisor/loggers.py, RotatingFileHandler): append, and when the position has reached
// the limit after a write, file.N-1 → file.N, …, file → file.1, and a new file. Files may therefore be larger than the limit by
// one write, as there.
//
// Unlike there, a full disk or a vanished directory does not raise: what could not be written is counted, and the count is the
// first thing that is written once writing works again.

import Glibc
import SupervisorCore

/// An append-only log file with size rotation.
public final class RotatingFile {
  /// The path; rotated files have `.1` (newest) … `.N` (oldest) appended.
  public let path: String
  /// Rotate when the file has reached this size in bytes; 0 or less never rotates.
  public let maxBytes: Int64
  /// How many rotated files are kept; 0 or less truncates instead.
  public let backups: Int
  /// Bytes that were dropped and not yet reported in the file.
  public private(set) var dropped: UInt64 = 0
  /// Told once when writing or rotating starts to fail; again only after it has worked in between.
  public var onTrouble: ((SystemError) -> Void)?
  /// Told when writing works again, with the number of bytes that were dropped.
  public var onRecovery: ((UInt64) -> Void)?

  private var descriptor: Int32 = -1
  private var position: Int64 = 0
  private var rotateAt: Int64
  private var isRegular = true
  private var inTrouble = false
  /// What is left of a report of dropped bytes that itself was cut short.
  private var report: [UInt8] = []
  private var reported: UInt64 = 0

  /// Opens `path` for appending and creates it where it does not exist (0666 less the umask).
  public init(path: String, maxBytes: Int64, backups: Int) throws(SystemError) {
    self.path = path
    self.maxBytes = maxBytes
    self.backups = backups
    rotateAt = maxBytes
    descriptor = try RotatingFile.open(path, truncate: false)
    adopt()
  }

  deinit { if descriptor >= 0 { Glibc.close(descriptor) } }

  /// The current size as far as this object knows it, in bytes.
  public var size: Int64 { position }

  /// Appends `bytes`, then rotates when the limit is reached. What cannot be written is counted in `dropped`.
  public func write(_ bytes: UnsafeRawBufferPointer) {
    guard !bytes.isEmpty else { return }
    guard descriptor >= 0 || reopenAfterTrouble() else {
      dropped &+= UInt64(bytes.count)
      return
    }
    if (dropped > 0 || !report.isEmpty) && !writeReport() {
      dropped &+= UInt64(bytes.count)
      return
    }
    let written = put(bytes)
    if written < bytes.count { dropped &+= UInt64(bytes.count - written) }
    if maxBytes > 0 && isRegular && position >= rotateAt { rotate() }
  }

  /// Opens the path anew, as after somebody has moved the file away (SIGUSR2). Where that is refused, the old file stays in use.
  public func reopen() {
    do {
      replace(with: try RotatingFile.open(path, truncate: false))
    } catch {
      trouble(error)
    }
  }

  /// Removes the file and begins a new one (`supervisorctl clear`).
  public func clear() throws(SystemError) {
    if unlink(path) != 0 && errno != ENOENT {
      throw SystemError("remove the log file \(path)", errno: errno)
    }
    replace(with: try RotatingFile.open(path, truncate: false))
  }

  /// Closes the file; later writes open it again.
  public func close() {
    if descriptor >= 0 { Glibc.close(descriptor) }
    descriptor = -1
  }

  private static func open(_ path: String, truncate: Bool) throws(SystemError) -> Int32 {
    // O_NONBLOCK: a FIFO without a reader must not hold PID 1; regular files ignore it.
    let flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (truncate ? O_TRUNC : 0)
    var descriptor = Glibc.open(path, flags, 0o666)
    while descriptor < 0 && errno == EINTR { descriptor = Glibc.open(path, flags, 0o666) }
    if descriptor >= 0 { return descriptor }
    let reason = errno
    let directory = parentDirectory(of: path)
    if reason == ENOENT && access(directory, F_OK) != 0 {
      throw SystemError(
        "open the log file \(path), because its directory does not exist (create \(directory))", errno: reason)
    }
    throw SystemError("open the log file \(path)", errno: reason)
  }

  private func replace(with fresh: Int32) {
    close()
    descriptor = fresh
    adopt()
  }

  private func adopt() {
    var status = stat()
    isRegular = fstat(descriptor, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
    position = isRegular ? Int64(status.st_size) : 0
    rotateAt = maxBytes
  }

  private func reopenAfterTrouble() -> Bool {
    reopen()
    return descriptor >= 0
  }

  /// Writes as much as the kernel takes; returns how much that was.
  private func put(_ bytes: UnsafeRawBufferPointer) -> Int {
    var done = 0
    while done < bytes.count {
      let rest = UnsafeRawBufferPointer(rebasing: bytes[done...])
      let count = Glibc.write(descriptor, rest.baseAddress, rest.count)
      if count > 0 {
        done += count
        continue
      }
      let reason = count == 0 ? ENOSPC : errno
      if reason == EINTR { continue }
      trouble(SystemError("write to the log file \(path)", errno: reason))
      break
    }
    position = position.addingReportingOverflow(Int64(done)).partialValue
    return done
  }

  /// Writes how much was dropped, as far as the kernel lets it; whether nothing is left to report.
  private func writeReport() -> Bool {
    while dropped > 0 || !report.isEmpty {
      let isFresh = report.isEmpty
      if isFresh {
        reported = dropped
        dropped = 0
        report = Array("\n[hivesupd: \(reported) bytes dropped: the log file could not be written]\n".utf8)
      }
      let written = report.withUnsafeBytes { put($0) }
      if written < report.count {
        if isFresh && written == 0 {
          // Nothing of it arrived, so the number may still grow.
          report = []
          dropped = reported
        } else {
          report.removeFirst(written)
        }
        return false
      }
      report = []
    }
    inTrouble = false
    onRecovery?(reported)
    return true
  }

  private func trouble(_ error: SystemError) {
    if inTrouble { return }
    inTrouble = true
    onTrouble?(error)
  }

  private func rotate() {
    // Our own count may be wrong when somebody truncated the file (logrotate's copytruncate): ask before anything is renamed.
    let actual = Int64(lseek(descriptor, 0, SEEK_END))
    if actual >= 0 && actual < maxBytes {
      position = actual
      rotateAt = maxBytes
      return
    }
    do {
      if backups > 0 {
        for number in stride(from: backups - 1, to: 0, by: -1) {
          try shift(from: "\(path).\(number)", to: "\(path).\(number + 1)")
        }
        try shift(from: path, to: "\(path).1")
      }
      replace(with: try RotatingFile.open(path, truncate: true))
    } catch {
      // The old descriptor stays in use: no line is lost, and the next attempt comes when as much has been written again.
      rotateAt = position.addingReportingOverflow(maxBytes).partialValue
      trouble(error)
    }
  }

  private func shift(from old: String, to new: String) throws(SystemError) {
    if rename(old, new) != 0 && errno != ENOENT {
      throw SystemError("rotate the log file \(old) to \(new)", errno: errno)
    }
  }
}

/// The files that are being written, one object a path: two streams of one file share its rotation.
public final class LogFiles {
  private struct Entry {
    weak var file: RotatingFile?
  }

  private var entries: [String: Entry] = [:]

  /// No files.
  public init() {}

  /// The object for `path`: the one in use, or a new one. Its limits are those of whoever came first.
  public func file(_ path: String, maxBytes: Int64, backups: Int) throws(SystemError) -> RotatingFile {
    if let file = entries[path]?.file { return file }
    let file = try RotatingFile(path: path, maxBytes: maxBytes, backups: backups)
    entries = entries.filter { $0.value.file != nil }
    entries[path] = Entry(file: file)
    return file
  }

  /// All files in use, in the order of their paths.
  public var all: [RotatingFile] { entries.keys.sorted().compactMap { entries[$0]?.file } }

  /// Opens all of them anew (SIGUSR2).
  public func reopen() { for file in all { file.reopen() } }
}

/// The directory part of a path, as dirname(3).
func parentDirectory(of path: String) -> String {
  guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "." }
  let head = String(path.utf8[..<slash]) ?? ""
  return head.isEmpty ? "/" : head
}
