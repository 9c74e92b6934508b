// postmaster.pid, the server's own lock file. Its lines (PostgreSQL, src/include/utils/pidfile.h): process id (negative: a
// single-user or bootstrap process), data directory, start time, port, socket directory, first address, shared memory key and id,
// status (padded to eight characters).

/// What postmaster.pid says.
public enum PostmasterFile: Equatable, Sendable {
  /// It has no bytes: PostgreSQL refuses to start ("lock file is empty").
  case empty
  /// Its first line is no process id.
  case garbage
  /// A process.
  case process(Content)

  /// The lines that matter.
  public struct Content: Equatable, Sendable {
    /// Who wrote it; the sign is in `standalone`.
    public var pid: Int32
    /// A single-user or bootstrap process, not a postmaster.
    public var standalone: Bool
    /// Its data directory.
    public var dataDirectory: String?
    /// "starting", "standby", "ready", "stopping".
    public var status: String?
  }

  /// Reads the content.
  public init(parsing bytes: [UInt8]) {
    guard !bytes.isEmpty else {
      self = .empty
      return
    }
    let lines = String(decoding: bytes.prefix(8192), as: UTF8.self)
      .split(separator: "\n", omittingEmptySubsequences: false)
    let first = lines.first.map(PostmasterFile.trimmed) ?? ""
    guard let number = Int32(first), number != 0, number != .min else {
      self = .garbage
      return
    }
    let status = lines.count > 7 ? PostmasterFile.trimmed(lines[7]) : ""
    let directory = lines.count > 1 ? String(lines[1]) : ""
    self = .process(
      Content(
        pid: abs(number), standalone: number < 0, dataDirectory: directory.isEmpty ? nil : directory,
        status: status.isEmpty ? nil : status))
  }

  private static func trimmed(_ text: Substring) -> String {
    var text = text
    while let last = text.last, last.isWhitespace { text.removeLast() }
    return String(text)
  }
}
