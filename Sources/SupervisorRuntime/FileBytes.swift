import Glibc

/// Reading small files whole: user databases, environment files, secrets, /proc and cgroup files.
enum FileBytes {
  /// The whole content of `path`. Refuses what is larger than `limit` bytes (EFBIG) and what could block or is no file: FIFOs
  /// and sockets (EINVAL), directories (EISDIR).
  static func read(_ path: String, limit: Int) throws(SystemError) -> [UInt8] {
    // O_NONBLOCK: opening a FIFO must not wait for a writer.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
    if descriptor < 0 { throw SystemError("open \(path)", errno: errno) }
    defer { close(descriptor) }
    var status = stat()
    if fstat(descriptor, &status) != 0 { throw SystemError("read \(path)", errno: errno) }
    let kind = status.st_mode & S_IFMT
    if kind == S_IFIFO || kind == S_IFSOCK { throw SystemError("read \(path)", errno: EINVAL) }

    // Files of /proc and /sys report size 0: read until the end in any case.
    var size = max(4096, min(Int(clamping: status.st_size) &+ 1, limit &+ 1))
    var bytes: [UInt8] = []
    while true {
      var failure: Int32 = 0
      var ended = false
      let chunk = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
        var got = 0
        repeat { got = Glibc.read(descriptor, buffer.baseAddress, buffer.count) } while got < 0 && errno == EINTR
        if got < 0 { failure = errno }
        ended = got <= 0
        count = max(got, 0)
      }
      if failure != 0 { throw SystemError("read \(path)", errno: failure) }
      if ended { return bytes }
      if bytes.isEmpty { bytes = chunk } else { bytes.append(contentsOf: chunk) }
      if bytes.count > limit { throw SystemError("read \(path)", errno: EFBIG) }
      size = 4096
    }
  }

  /// The first whitespace-separated word of a one-line file (sysctl, cgroup), or nil when it cannot be read.
  static func word(_ path: String) -> String? {
    guard let bytes = try? read(path, limit: 64 * 1024) else { return nil }
    let word = bytes.split(whereSeparator: { $0 == 0x20 || $0 == 0x0A || $0 == 0x09 }).first ?? []
    return String(decoding: word, as: UTF8.self)
  }
}

/// Decimal digits as a number; nil for anything else, for nothing, and for what does not fit.
func decimalNumber(_ bytes: some Collection<UInt8>) -> UInt64? {
  if bytes.isEmpty { return nil }
  var value: UInt64 = 0
  for byte in bytes {
    guard byte >= 0x30, byte <= 0x39 else { return nil }
    let (product, tooLarge) = value.multipliedReportingOverflow(by: 10)
    let (sum, stillTooLarge) = product.addingReportingOverflow(UInt64(byte &- 0x30))
    if tooLarge || stillTooLarge { return nil }
    value = sum
  }
  return value
}
