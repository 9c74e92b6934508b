// pg_control, as pg_controldata prints it in the C locale.

/// What pg_controldata says.
public struct ControlData: Equatable, Sendable {
  /// Decimal.
  public var systemIdentifier: String
  /// "shut down", "in production", …
  public var state: String
  /// Bytes in one WAL file.
  public var walSegmentBytes: UInt64
  /// Bytes in one page of a table.
  public var blockBytes: UInt64

  /// It was stopped in order: nothing to recover.
  public var isShutDown: Bool { state == "shut down" || state == "shut down in recovery" }

  /// Reads the program's output; nil when a line is missing or the checksum did not match.
  public init?(parsing text: String) {
    guard !text.contains("WARNING") else { return nil }
    var values: [Substring: String] = [:]
    for line in text.split(separator: "\n") {
      guard let colon = line.firstIndex(of: ":") else { continue }
      let value = line[line.index(after: colon)...].drop { $0 == " " }
      values[line[..<colon]] = String(value)
    }
    guard let identifier = values["Database system identifier"], UInt64(identifier) != nil,
      let state = values["Database cluster state"],
      let segment = values["Bytes per WAL segment"].flatMap({ UInt64($0) }),
      let block = values["Database block size"].flatMap({ UInt64($0) })
    else { return nil }
    systemIdentifier = identifier
    self.state = state
    walSegmentBytes = segment
    blockBytes = block
  }
}
