// The supervisor's own log, in supervisord's format (supervisor/loggers.py):
//
//   2026-11-20 10:00:00,123 INFO spawned: 'api' with pid 12
//
// The time is local time as TZ or /etc/localtime say, which in a container is UTC unless somebody sets it.

import Glibc
import SupervisorCore

/// The supervisor's own log: a file with rotation, the container's standard error, or both.
public final class MainLog {
  /// The least level that is written.
  public var level: LogLevel
  /// The log file.
  public let file: RotatingFile?
  /// The container's output, unless `silent`.
  public let container: ContainerOutput?
  /// How lines look on the container's output; in the file they are always supervisord's.
  public let format: LogFormat
  /// The last bytes, in supervisord's format, for `ctl`.
  public let tail: TailBuffer

  /// A log to `file` and `container`, either of which may be absent.
  public init(
    level: LogLevel = .info, file: RotatingFile? = nil, container: ContainerOutput? = nil, format: LogFormat = .raw,
    tailBytes: Int = 0
  ) {
    self.level = level
    self.file = file
    self.container = container
    self.format = format
    tail = TailBuffer(capacity: tailBytes)
    // localtime_r(3) need not read TZ itself.
    tzset()
  }

  /// Whether a line of this level would be written: ask before a text is put together at length.
  public func writes(_ level: LogLevel) -> Bool { level >= self.level }

  /// Writes one line. Line breaks and other control characters of `text` are escaped: what a client or a probe's answer says must
  /// not look like a line of its own.
  public func log(_ level: LogLevel, _ text: String, at wall: WallTime = Clock.wall()) {
    guard writes(level) else { return }
    let message = MainLog.printable(text)
    var line = MainLog.timestamp(wall)
    line.append(contentsOf: " \(level.tag) ".utf8)
    line.append(contentsOf: message)
    line.append(0x0a)
    line.withUnsafeBytes { bytes in
      file?.write(bytes)
      tail.append(bytes)
    }
    guard let container else { return }
    switch format {
    case .raw: container.write(line)
    case .prefix: container.write(MainLog.prefixLine(level, message, at: wall))
    case .json: container.write(MainLog.jsonLine(level, message, at: wall))
    }
  }

  /// `CRIT`.
  public func critical(_ text: String) { log(.critical, text) }
  /// `ERRO`.
  public func error(_ text: String) { log(.error, text) }
  /// `WARN`.
  public func warn(_ text: String) { log(.warn, text) }
  /// `INFO`.
  public func info(_ text: String) { log(.info, text) }
  /// `DEBG`.
  public func debug(_ text: @autoclosure () -> String) { if writes(.debug) { log(.debug, text()) } }
  /// `TRAC`.
  public func trace(_ text: @autoclosure () -> String) { if writes(.trace) { log(.trace, text()) } }

  /// `2026-11-20 10:00:00,123` in local time.
  static func timestamp(_ wall: WallTime) -> [UInt8] {
    var seconds = time_t(wall.unixSeconds)
    let milliseconds = (wall.nanoseconds &- wall.unixSeconds &* 1_000_000_000) / 1_000_000
    var fields = tm()
    localtime_r(&seconds, &fields)
    var text: [UInt8] = []
    text.reserveCapacity(128)
    LineFormatter.appendNumber(Int(fields.tm_year) + 1900, digits: 4, to: &text)
    text.append(UInt8(ascii: "-"))
    LineFormatter.appendNumber(Int(fields.tm_mon) + 1, digits: 2, to: &text)
    text.append(UInt8(ascii: "-"))
    LineFormatter.appendNumber(Int(fields.tm_mday), digits: 2, to: &text)
    text.append(0x20)
    LineFormatter.appendNumber(Int(fields.tm_hour), digits: 2, to: &text)
    text.append(UInt8(ascii: ":"))
    LineFormatter.appendNumber(Int(fields.tm_min), digits: 2, to: &text)
    text.append(UInt8(ascii: ":"))
    LineFormatter.appendNumber(Int(fields.tm_sec), digits: 2, to: &text)
    text.append(UInt8(ascii: ","))
    LineFormatter.appendNumber(Int(milliseconds), digits: 3, to: &text)
    return text
  }

  private static func prefixLine(_ level: LogLevel, _ message: [UInt8], at wall: WallTime) -> [UInt8] {
    var line: [UInt8] = []
    LineFormatter.appendTimestamp(wall, to: &line)
    line.append(contentsOf: " hivesupd log | \(level.tag) ".utf8)
    line.append(contentsOf: message)
    line.append(0x0a)
    return line
  }

  private static func jsonLine(_ level: LogLevel, _ message: [UInt8], at wall: WallTime) -> [UInt8] {
    var line: [UInt8] = Array("{\"timestamp\":\"".utf8)
    LineFormatter.appendTimestamp(wall, to: &line)
    line.append(
      contentsOf: "\",\"program\":\"hivesupd\",\"stream\":\"log\",\"level\":\"\(level.tag)\",\"message\":\"".utf8)
    LineFormatter.appendEscaped(String(decoding: message, as: UTF8.self).utf8, to: &line)
    line.append(contentsOf: "\"}\n".utf8)
    return line
  }

  /// The text with control characters as `\n`, `\t` or `\xNN`.
  private static func printable(_ text: String) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.utf8.count)
    for byte in text.utf8 {
      switch byte {
      case 0x0a: bytes.append(contentsOf: "\\n".utf8)
      case 0x09: bytes.append(contentsOf: "\\t".utf8)
      case 0x00..<0x20, 0x7f:
        bytes.append(contentsOf: "\\x".utf8)
        bytes.append(LineFormatter.hexDigit(byte >> 4))
        bytes.append(LineFormatter.hexDigit(byte & 0x0f))
      default: bytes.append(byte)
      }
    }
    return bytes
  }
}
