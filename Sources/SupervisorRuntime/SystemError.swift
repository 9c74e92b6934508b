import Glibc

/// A system call that was refused: which one, on what, and the kernel's reason.
public struct SystemError: Error, Equatable, CustomStringConvertible {
  /// What could not be done, as the rest of "cannot …".
  public var operation: String
  /// The kernel's errno.
  public var errno: Int32

  /// An error with an errno at hand.
  public init(_ operation: String, errno: Int32) {
    self.operation = operation
    self.errno = errno
  }

  /// "cannot X: reason".
  public var description: String { "cannot \(operation): \(errorText(errno))" }

  /// Whether it is a lack that may pass by itself: descriptors, memory, processes, disk space.
  public var isShortage: Bool { SystemError.isShortage(errno) }

  /// Whether this errno is a lack that may pass by itself.
  public static func isShortage(_ errno: Int32) -> Bool {
    switch errno {
    case EAGAIN, EMFILE, ENFILE, ENOMEM, ENOSPC, EDQUOT, ENOBUFS: true
    default: false
    }
  }
}

/// strerror(3) as a value.
public func errorText(_ number: Int32) -> String {
  var buffer = [CChar](repeating: 0, count: 128)
  guard strerror_r(number, &buffer, buffer.count) == 0 else { return "error \(number)" }
  return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
