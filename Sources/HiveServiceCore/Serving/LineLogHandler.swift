import Glibc
import Logging

/// Writes each log entry as one line to standard output, with one `write`, so that lines never mix.
struct LineLogHandler: LogHandler {
  /// How a line looks.
  enum Format: String, Sendable, CaseIterable {
    /// `level message key=value`: PID 1 puts time and program in front.
    case text
    /// One JSON object with `time`, `level`, `message` and the metadata.
    case json
  }

  var logLevel: Logger.Level
  var metadata: Logger.Metadata = [:]
  var metadataProvider: Logger.MetadataProvider?
  let format: Format

  init(level: Logger.Level, format: Format) {
    logLevel = level
    self.format = format
  }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    let fields = metadata.merging(metadataProvider?.get() ?? [:]) { $1 }
      .merging(event.metadata ?? [:]) { $1 }.sorted { $0.key < $1.key }
    var line: [UInt8]
    switch format {
    case .text:
      let text =
        ([event.level.rawValue, Self.oneLine("\(event.message)")]
        + fields.map { "\($0.key)=\(Self.oneLine("\($0.value)"))" }).joined(separator: " ")
      line = Array(text.utf8)
    case .json:
      var object = JSONObject([
        ("time", .string(UTCTime.rfc3339())), ("level", .string(event.level.rawValue)),
        ("message", .string("\(event.message)")),
      ])
      for (key, value) in fields { object[key] = .string("\(value)") }
      line = JSONValue.object(object).serialized
    }
    line.append(0x0A)
    var rest = line[...]
    while !rest.isEmpty {
      let written = rest.withUnsafeBytes { write(STDOUT_FILENO, $0.baseAddress, $0.count) }
      if written > 0 { rest = rest.dropFirst(written) } else if errno != EINTR { return }
    }
  }

  private static func oneLine(_ text: String) -> String {
    guard text.contains(where: \.isNewline) else { return text }
    return text.split(whereSeparator: \.isNewline).joined(separator: "; ")
  }
}
