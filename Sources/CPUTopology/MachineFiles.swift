// Reading the files in which the kernel describes the machine. Every read is bounded; a file that is absent,
// unreadable, too long or no file at all is simply not there: each of them is missing somewhere, and a narrow container
// may hide any.

import Glibc

/// The files of sysfs and procfs, of this machine or of another.
public struct MachineFiles: Sendable {
  /// The first so many bytes of a file, named from the root without a leading slash (`sys/devices/system/cpu/online`,
  /// `proc/self/status`); nil when it cannot be read.
  public var read: @Sendable (_ name: String, _ most: Int) -> [UInt8]?

  /// Files from anywhere.
  public init(read: @escaping @Sendable (_ name: String, _ most: Int) -> [UInt8]?) { self.read = read }

  /// The files below these directories.
  /// - Parameters:
  ///   - sysfs: what stands for /sys.
  ///   - procfs: what stands for /proc; nil: there is none.
  public init(sysfs: String, procfs: String?) {
    self.init { name, most in
      if name.hasPrefix("sys/") { return readFile("\(sysfs)/\(name.dropFirst(4))", most: most) }
      if name.hasPrefix("proc/"), let procfs { return readFile("\(procfs)/\(name.dropFirst(5))", most: most) }
      return nil
    }
  }

  /// A file's whole content; nil when it is not shorter than so many bytes.
  func whole(_ name: String, _ limit: Int) -> [UInt8]? {
    guard let bytes = read(name, limit), bytes.count < limit else { return nil }
    return bytes
  }

  /// A number of decimal digits.
  func number(_ name: String) -> Int? { whole(name, 64).flatMap { decimal($0.trimmingSpace) } }

  /// A hexadecimal number with `0x` in front.
  func hexadecimal(_ name: String) -> UInt64? {
    guard let bytes = whole(name, 64)?.trimmingSpace, bytes.starts(with: "0x".utf8), bytes.count <= 18 else {
      return nil
    }
    return UInt64(String(decoding: bytes.dropFirst(2), as: UTF8.self), radix: 16)
  }

  /// A list of CPUs (or of NUMA nodes, which are written alike).
  func list(_ name: String) -> CPUSet? {
    guard let bytes = whole(name, 64 * 1024) else { return nil }
    return try? CPUSet(list: bytes.trimmingSpace)
  }

  /// A line of text, at most 128 bytes of it.
  func line(_ name: String) -> String? {
    guard let bytes = whole(name, 4096)?.trimmingSpace, !bytes.isEmpty else { return nil }
    return harmlessText(bytes, limit: 128)
  }
}

/// The first so many bytes of a file; nil when it cannot be read.
private func readFile(_ path: String, most: Int) -> [UInt8]? {
  // O_NONBLOCK: a root that somebody names may hold a FIFO.
  let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
  guard descriptor >= 0 else { return nil }
  defer { close(descriptor) }
  var status = stat()
  guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
  var content: [UInt8] = []
  // Files of sysfs and procfs have no size that could be believed: read to the end.
  while content.count < most {
    var got = 0
    let piece = [UInt8](unsafeUninitializedCapacity: min(most - content.count, 16 * 1024)) { buffer, count in
      repeat { got = Glibc.read(descriptor, buffer.baseAddress, buffer.count) } while got < 0 && errno == EINTR
      count = max(got, 0)
    }
    if got < 0 { return nil }
    if got == 0 { break }
    content += piece
  }
  return content
}
