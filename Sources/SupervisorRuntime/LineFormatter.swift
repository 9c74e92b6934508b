// Lines on the container's own output: who said what, and when.
//
//   prefix   2026-11-20T10:00:00.000Z postgresql stderr | LOG:  database system is ready
//   json     {"timestamp":"2026-11-20T10:00:00.000Z","program":"postgresql","stream":"stderr","message":"LOG:  …"}

import Glibc
import SupervisorCore

/// Cuts one stream into lines and dresses each of them.
///
/// A line of more than `maximumLine` bytes is cut, at a character's boundary where there is one: the piece is marked
/// (` [continued]`, `"partial":true`) and its rest follows as the next line. In `json` bytes that are no UTF-8 become U+FFFD; in
/// `prefix` they stay as they are.
public struct LineFormatter {
  /// How long a line may be before it is cut, in bytes.
  public static let maximumLine = 64 * 1024

  /// What lines look like. With `raw` nothing is held back and nothing is added.
  public let format: LogFormat
  private let program: String
  private let stream: String
  private var line: [UInt8] = []
  private var header: [UInt8] = []

  /// For the lines of one stream of one program.
  public init(format: LogFormat, program: String, stream: String) {
    self.format = format
    self.program = program
    self.stream = stream
  }

  /// How many bytes of an unfinished line are held back.
  public var pending: Int { line.count }

  /// Takes bytes and returns the complete lines that they finish, dressed. `wall` is the time that the lines get.
  public mutating func format(_ bytes: UnsafeRawBufferPointer, at wall: WallTime) -> [UInt8] {
    if format == .raw { return Array(bytes) }
    makeHeader(at: wall)
    var output: [UInt8] = []
    output.reserveCapacity(bytes.count + 128)
    var rest = bytes
    while let base = rest.baseAddress, !rest.isEmpty {
      let newline = memchr(base, 0x0a, rest.count)
      let length = newline.map { UnsafeRawPointer($0) - base } ?? rest.count
      let piece = UnsafeRawBufferPointer(rebasing: rest[..<length])
      if newline != nil && line.isEmpty && length <= LineFormatter.maximumLine {
        emit(piece, isPartial: false, to: &output)
      } else {
        extend(with: piece, to: &output)
        if newline != nil { emitLine(to: &output) }
      }
      rest = UnsafeRawBufferPointer(rebasing: rest[min(rest.count, length + (newline == nil ? 0 : 1))...])
    }
    return output
  }

  /// The unfinished line, dressed as a whole one; empty when there is none. For the end of the process.
  public mutating func finish(at wall: WallTime) -> [UInt8] {
    guard !line.isEmpty else { return [] }
    makeHeader(at: wall)
    var output: [UInt8] = []
    emitLine(to: &output)
    return output
  }

  private mutating func extend(with piece: UnsafeRawBufferPointer, to output: inout [UInt8]) {
    var rest = piece
    while line.count + rest.count > LineFormatter.maximumLine {
      let room = LineFormatter.maximumLine - line.count
      line.append(contentsOf: rest.prefix(room))
      rest = UnsafeRawBufferPointer(rebasing: rest[room...])
      let cut = LineFormatter.boundary(in: line)
      let tail = Array(line[cut...])
      line.withUnsafeBytes {
        emit(UnsafeRawBufferPointer(rebasing: $0[..<cut]), isPartial: true, to: &output)
      }
      line.removeAll(keepingCapacity: true)
      line.append(contentsOf: tail)
    }
    line.append(contentsOf: rest)
  }

  private mutating func emitLine(to output: inout [UInt8]) {
    line.withUnsafeBytes { emit($0, isPartial: false, to: &output) }
    // Most lines are complete when they are read; the memory of a long one is not kept.
    line.removeAll(keepingCapacity: line.capacity <= 1024)
  }

  /// Where to cut so that no UTF-8 character is split: the end, or up to three bytes before it.
  private static func boundary(in line: [UInt8]) -> Int {
    var index = line.count
    for _ in 0..<3 {
      guard index > 0 else { return line.count }
      let byte = line[index - 1]
      if byte < 0x80 { return line.count }
      if byte >= 0xc0 {
        let length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2
        return index - 1 + length > line.count ? index - 1 : line.count
      }
      index -= 1
    }
    return line.count
  }

  /// What every line of one piece begins with.
  private mutating func makeHeader(at wall: WallTime) {
    header.removeAll(keepingCapacity: true)
    if format == .json { header.append(contentsOf: "{\"timestamp\":\"".utf8) }
    LineFormatter.appendTimestamp(wall, to: &header)
    header.append(contentsOf: (format == .json ? "\",\"program\":\"" : " ").utf8)
    if format == .json {
      LineFormatter.appendEscaped(program.utf8, to: &header)
    } else {
      header.append(contentsOf: program.utf8)
    }
    header.append(contentsOf: (format == .json ? "\",\"stream\":\"" : " ").utf8)
    header.append(contentsOf: stream.utf8)
    header.append(contentsOf: (format == .json ? "\",\"message\":\"" : " | ").utf8)
  }

  private func emit(_ text: UnsafeRawBufferPointer, isPartial: Bool, to output: inout [UInt8]) {
    output.append(contentsOf: header)
    if format == .json {
      if text.allSatisfy({ (0x20..<0x7f).contains($0) && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") }) {
        output.append(contentsOf: text)
      } else {
        LineFormatter.appendEscaped(String(decoding: text, as: UTF8.self).utf8, to: &output)
      }
      output.append(contentsOf: (isPartial ? "\",\"partial\":true}" : "\"}").utf8)
    } else {
      output.append(contentsOf: text)
      if isPartial { output.append(contentsOf: " [continued]".utf8) }
    }
    output.append(0x0a)
  }

  /// Appends `2026-11-20T10:00:00.000Z` (RFC 3339, UTC, milliseconds).
  static func appendTimestamp(_ wall: WallTime, to output: inout [UInt8]) {
    let seconds = wall.unixSeconds
    let milliseconds = Int((wall.nanoseconds &- seconds &* 1_000_000_000) / 1_000_000)
    var days = seconds / 86_400
    var rest = seconds % 86_400
    if rest < 0 {
      rest += 86_400
      days -= 1
    }
    // Days to a date of the proleptic Gregorian calendar (Howard Hinnant, "chrono-compatible low-level date algorithms").
    let shifted = days + 719_468
    let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let monthPart = (5 * dayOfYear + 2) / 153
    let month = monthPart < 10 ? monthPart + 3 : monthPart - 9
    let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    appendNumber(Int(year), digits: 4, to: &output)
    output.append(UInt8(ascii: "-"))
    appendNumber(Int(month), digits: 2, to: &output)
    output.append(UInt8(ascii: "-"))
    appendNumber(Int(dayOfYear - (153 * monthPart + 2) / 5 + 1), digits: 2, to: &output)
    output.append(UInt8(ascii: "T"))
    appendNumber(Int(rest / 3600), digits: 2, to: &output)
    output.append(UInt8(ascii: ":"))
    appendNumber(Int(rest / 60 % 60), digits: 2, to: &output)
    output.append(UInt8(ascii: ":"))
    appendNumber(Int(rest % 60), digits: 2, to: &output)
    output.append(UInt8(ascii: "."))
    appendNumber(milliseconds, digits: 3, to: &output)
    output.append(UInt8(ascii: "Z"))
  }

  /// Appends the last `digits` decimal digits of a number.
  static func appendNumber(_ number: Int, digits: Int, to output: inout [UInt8]) {
    var divisor = 1
    for _ in 1..<max(digits, 2) { divisor *= 10 }
    if digits < 2 { divisor = 1 }
    for _ in 0..<digits {
      output.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: (number / divisor % 10).magnitude))
      divisor /= 10
    }
  }

  /// Appends valid UTF-8 as the inside of a JSON string (RFC 8259 section 7).
  static func appendEscaped(_ text: String.UTF8View, to output: inout [UInt8]) {
    for byte in text {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"):
        output.append(UInt8(ascii: "\\"))
        output.append(byte)
      case 0x0a: output.append(contentsOf: "\\n".utf8)
      case 0x0d: output.append(contentsOf: "\\r".utf8)
      case 0x09: output.append(contentsOf: "\\t".utf8)
      case 0x00..<0x20, 0x7f:
        output.append(contentsOf: "\\u00".utf8)
        output.append(LineFormatter.hexDigit(byte >> 4))
        output.append(LineFormatter.hexDigit(byte & 0x0f))
      default: output.append(byte)
      }
    }
  }

  static func hexDigit(_ value: UInt8) -> UInt8 {
    value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
  }
}
