// What the pinner asks of the kernel and does there: small reads of /proc, and the affinity calls.

import CPUTopology
import Glibc

/// The kernel, or a test's.
struct PinKernel {
  /// The children of a process in the kernel's own words; nil when it is gone, or the kernel does not tell (CONFIG_PROC_CHILDREN).
  var children: (pid_t) -> [UInt8]?
  /// The command line, with spaces for what ends its words; nil when there is no such process any more.
  var title: (pid_t) -> String?
  /// The CPUs of a thread; nil when there is no such thread.
  var mask: (pid_t) -> CPUSet?
  /// Whether they are these; nil when there is no such thread. What is asked of every process at every look.
  var isOn: (CPUSet, pid_t) -> Bool?
  /// Sets them; returns 0 or errno.
  var setMask: (CPUSet, pid_t) -> Int32
  /// The other threads of a process; usually none.
  var otherThreads: (pid_t) -> [pid_t]

  /// This machine's. Keeps a file open.
  static func live() -> PinKernel {
    let file = ChildrenFile()
    return PinKernel(
      children: { file.read(of: $0) }, title: { LiveProcess.title($0) }, mask: { Affinity.current(of: $0) },
      isOn: { Affinity.isExactly($0, of: $1) },
      setMask: { Affinity.set($0, of: $1) }, otherThreads: { LiveProcess.otherThreads($0) })
  }
}

/// /proc/PID/task/PID/children, kept open: one system call tells whether anything has changed, and it tells nothing of another process
/// that has the number by now.
private final class ChildrenFile {
  private var pid: pid_t = 0
  private var descriptor: Int32 = -1
  private var buffer = [UInt8](repeating: 0, count: 4096)

  deinit { if descriptor >= 0 { close(descriptor) } }

  func read(of wanted: pid_t) -> [UInt8]? {
    if wanted != pid || descriptor < 0 {
      if descriptor >= 0 { close(descriptor) }
      descriptor = open("/proc/\(wanted)/task/\(wanted)/children", O_RDONLY | O_CLOEXEC)
      pid = wanted
    }
    guard descriptor >= 0 else { return nil }
    var length = 0
    while true {
      let room = buffer.count - length
      let count = buffer.withUnsafeMutableBytes {
        pread(descriptor, $0.baseAddress.map { $0 + length }, room, off_t(length))
      }
      if count < 0, errno == EINTR { continue }
      // ESRCH: the process is gone.
      guard count >= 0 else {
        close(descriptor)
        descriptor = -1
        return nil
      }
      length += count
      // The kernel ends where its answer does, in the middle of a buffer only at the end of all.
      if count == 0 { return Array(buffer[..<length]) }
      if length == buffer.count { buffer += [UInt8](repeating: 0, count: buffer.count) }
    }
  }
}

private enum LiveProcess {
  static func title(_ pid: pid_t) -> String? {
    // ENOENT or, when it ends between the open and the read, ESRCH.
    let descriptor = open("/proc/\(pid)/cmdline", O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    return withUnsafeTemporaryAllocation(byteCount: 512, alignment: 1) { buffer in
      var count = 0
      repeat { count = Glibc.read(descriptor, buffer.baseAddress, buffer.count) } while count < 0 && errno == EINTR
      guard count >= 0 else { return nil }
      var text = buffer.prefix(count)
      while let last = text.last, last == 0 || last == 0x20 { text = text.dropLast() }
      return String(decoding: text.map { $0 == 0 ? 0x20 : $0 }, as: UTF8.self)
    }
  }

  static func otherThreads(_ pid: pid_t) -> [pid_t] {
    // A directory of one thread has three links: fs/proc/base.c, proc_task_getattr.
    var status = stat()
    guard stat("/proc/\(pid)/task", &status) == 0, status.st_nlink > 3 else { return [] }
    return ((try? FileSystem.list("/proc/\(pid)/task")) ?? []).compactMap { pid_t($0) }.filter { $0 != pid }
  }
}
