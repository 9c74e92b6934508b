// Writing to standard output and standard error: whole and unbuffered.

@preconcurrency import Glibc

/// Where a command's words go.
package enum Output {
  /// A line of text on standard output.
  package static func line(_ text: String) { write(Array("\(text)\n".utf8), to: STDOUT_FILENO) }

  /// Bytes as they are, on standard output.
  package static func bytes(_ bytes: [UInt8]) { write(bytes, to: STDOUT_FILENO) }

  /// A line for people on standard error, with the command's name in front.
  package static func error(_ text: String, from command: String) {
    let isNamed = ["\(command):", "\(command) ", "Error:"].contains(where: text.hasPrefix)
    note(isNamed ? text : "\(command): \(text)")
  }

  /// A line for people on standard error.
  package static func note(_ text: String) { write(Array("\(text)\n".utf8), to: STDERR_FILENO) }

  /// Writes everything, however often the kernel takes only a part. A full non-blocking terminal is waited for.
  package static func write(_ bytes: [UInt8], to descriptor: Int32) {
    var sent = 0
    while sent < bytes.count {
      let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress.map { $0 + sent }, $0.count - sent) }
      if count >= 0 {
        sent += count
      } else if errno == EAGAIN {
        var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        _ = poll(&waiting, 1, 1000)
      } else if errno != EINTR {
        return
      }
    }
  }
}

/// Text of another process on its way to a terminal: control characters, which could move the cursor or change colours, as `?`.
package func harmless(_ text: String) -> String {
  String(
    String.UnicodeScalarView(text.unicodeScalars.map { $0.value < 0x20 || (0x7F..<0xA0).contains($0.value) ? "?" : $0 })
  )
}

/// A variable of the environment; nil when it is not set.
package func environmentValue(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

/// The kernel's text for an errno.
package func errorText(_ number: Int32) -> String { strerror(number).map { String(cString: $0) } ?? "error \(number)" }

/// `1 day, 2:03:04`, as Python writes a timedelta and so as supervisorctl writes an uptime.
package func uptimeText(_ seconds: Double) -> String {
  let whole = seconds.isFinite ? Int(min(max(seconds, 0), 1e12)) : 0
  let days = whole / 86_400
  func pad(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
  let clock = "\(whole % 86_400 / 3600):\(pad(whole % 3600 / 60)):\(pad(whole % 60))"
  return days == 0 ? clock : "\(days) \(days == 1 ? "day" : "days"), \(clock)"
}
