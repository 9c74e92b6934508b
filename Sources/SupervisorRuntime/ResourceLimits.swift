import Glibc

/// setrlimit(2)'s resources by the names that the configuration uses (`limit_nofile`), which are the kernel's in lower case.
public enum ResourceLimits {
  /// Name and number; the numbers are those of asm-generic/resource.h, which x86-64 and arm64 share. `locks` is missing on
  /// purpose: it has had no effect since Linux 2.4.25, and `RunTag` lives there.
  private static let table: [(name: String, number: Int32)] = [
    ("cpu", 0), ("fsize", 1), ("data", 2), ("stack", 3), ("core", 4), ("rss", 5), ("nproc", 6), ("nofile", 7),
    ("memlock", 8), ("as", 9), ("sigpending", 11), ("msgqueue", 12), ("nice", 13), ("rtprio", 14), ("rttime", 15),
  ]

  /// All names.
  public static var names: [String] { table.map(\.name) }

  /// The number of a resource.
  public static func number(of name: String) -> Int32? { table.first { $0.name == name }?.number }

  /// A limit for people.
  static func text(_ value: UInt64) -> String { value == .max ? "infinity" : String(value) }
}
