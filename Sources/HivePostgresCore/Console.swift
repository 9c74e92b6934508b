// One line for each thing worth saying, on standard error. PID 1 adds time and program name, so these lines have none.

import Glibc

/// Where a command says what it does.
public struct Console: Sendable {
  private let write: @Sendable (String) -> Void

  /// A console that hands each finished line (without newline) to `write`.
  public init(write: @escaping @Sendable (String) -> Void) {
    self.write = write
  }

  /// Standard error. A reader that went away is no reason to end.
  public static let standardError = Console { line in
    var bytes = Array(line.utf8)
    bytes.append(0x0A)
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { return }
      rest = rest.dropFirst(count)
    }
  }

  /// Says what was done.
  public func info(_ message: String) { write(message) }

  /// Says what works but should be looked at.
  public func warning(_ message: String) { write("warning: \(message)") }

  /// Says why the command ends.
  public func error(_ failure: Failure) { write("error: \(failure)") }
}
