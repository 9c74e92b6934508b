import SupervisorCore
import Testing

@testable import SupervisorRuntime

/// 2026-11-20T10:00:00.123Z.
private let wall = WallTime(nanoseconds: 1_795_168_800_123_456_789)

@Suite("Lines on the container's output")
struct LineFormatterTests {
  private func format(_ format: LogFormat, _ pieces: [String], finish: Bool = true) -> String {
    var formatter = LineFormatter(format: format, program: "api", stream: "stdout")
    var output: [UInt8] = []
    for piece in pieces { output += withBytes(piece) { formatter.format($0, at: wall) } }
    if finish { output += formatter.finish(at: wall) }
    return String(decoding: output, as: UTF8.self)
  }

  @Test("raw is what the program wrote")
  func raw() { #expect(format(.raw, ["a\nb", "c"]) == "a\nbc") }

  @Test("prefix tells the time, the program and the stream of every line")
  func prefix() {
    #expect(
      format(.prefix, ["one\n\ntwo\nthr", "ee"]) == """
        2026-11-20T10:00:00.123Z api stdout | one
        2026-11-20T10:00:00.123Z api stdout |\u{20}
        2026-11-20T10:00:00.123Z api stdout | two
        2026-11-20T10:00:00.123Z api stdout | three

        """)
  }

  @Test("json is one valid object a line, whatever the bytes")
  func json() {
    #expect(
      format(.json, ["say \"hi\"\t\\ \u{1}\u{7f} é\r\n"])
        == #"{"timestamp":"2026-11-20T10:00:00.123Z","program":"api","stream":"stdout","message":"say \"hi\"\t\\ \u0001\u007f é\r"}"#
        + "\n")
    var formatter = LineFormatter(format: .json, program: "a\"b", stream: "stderr")
    let output = [UInt8]([0xff, 0x61, 0xc3, 0x0a]).withUnsafeBytes { formatter.format($0, at: wall) }
    #expect(
      String(validating: output, as: UTF8.self)
        == #"{"timestamp":"2026-11-20T10:00:00.123Z","program":"a\"b","stream":"stderr","message":"�a�"}"# + "\n")
  }

  @Test("how the bytes were cut into pieces makes no difference", arguments: [LogFormat.prefix, .json])
  func cutAnywhere(style: LogFormat) {
    let text = "first line\nsecond é line\n\nlast without end"
    let whole = format(style, [text])
    let bytes = Array(text.utf8)
    for cut in 0...bytes.count {
      var formatter = LineFormatter(format: style, program: "api", stream: "stdout")
      var output = bytes[..<cut].withUnsafeBytes { formatter.format($0, at: wall) }
      output += bytes[cut...].withUnsafeBytes { formatter.format($0, at: wall) }
      output += formatter.finish(at: wall)
      #expect(String(decoding: output, as: UTF8.self) == whole)
    }
  }

  @Test("an unfinished line is held back until it ends")
  func held() {
    #expect(format(.prefix, ["no end"], finish: false) == "")
    #expect(format(.prefix, ["no end"]).hasSuffix(" | no end\n"))
  }

  @Test("a line without end is cut, marked, and bounded in memory", arguments: [LogFormat.prefix, .json])
  func cutLongLines(style: LogFormat) {
    var formatter = LineFormatter(format: style, program: "api", stream: "stdout")
    var output: [UInt8] = []
    for _ in 0..<100 {
      output += withBytes(String(repeating: "x", count: 10_000)) { formatter.format($0, at: wall) }
      #expect(formatter.pending <= LineFormatter.maximumLine)
    }
    output += withBytes("\n") { formatter.format($0, at: wall) }
    let lines = String(decoding: output, as: UTF8.self).split(separator: "\n")
    #expect(lines.count == 16)
    let marker = style == .json ? #"","partial":true}"# : " [continued]"
    #expect(lines.dropLast().allSatisfy { $0.hasSuffix(marker) })
    #expect(lines.last?.hasSuffix(marker) == false)
    #expect(output.count { $0 == UInt8(ascii: "x") } == 1_000_000)
  }

  @Test("a cut does not split a character")
  func cutBetweenCharacters() {
    for shift in 0..<4 {
      let text = String(repeating: "x", count: shift) + String(repeating: "\u{1f41d}", count: 20_000) + "\n"
      #expect(!format(.json, [text]).contains("\u{fffd}"))
    }
  }

  @Test("times before 1970, leap days and far years are right")
  func timestamps() {
    for (seconds, text) in [
      (0, "1970-01-01T00:00:00.000Z"), (-1, "1969-12-31T23:59:59.000Z"), (951_782_400, "2000-02-29T00:00:00.000Z"),
      (4_107_542_399, "2100-02-28T23:59:59.000Z"), (1_709_164_800, "2024-02-29T00:00:00.000Z"),
    ] as [(Int64, String)] {
      var output: [UInt8] = []
      LineFormatter.appendTimestamp(WallTime(nanoseconds: seconds * 1_000_000_000), to: &output)
      #expect(String(decoding: output, as: UTF8.self) == text)
    }
    // The ends of the clock are only required not to trap.
    for nanoseconds in [Int64.min, .max] {
      var output: [UInt8] = []
      LineFormatter.appendTimestamp(WallTime(nanoseconds: nanoseconds), to: &output)
      #expect(output.count == 24)
    }
  }
}

@Suite("strip_ansi")
struct ANSIStripperTests {
  private func strip(_ pieces: [String]) -> String {
    var stripper = ANSIStripper()
    var output: [UInt8] = []
    for piece in pieces {
      output += withBytes(piece) { stripper.passes($0) ? Array($0) : stripper.strip($0) }
    }
    return String(decoding: output + stripper.finish(), as: UTF8.self)
  }

  @Test(
    "removes CSI sequences and nothing else",
    arguments: [
      ("plain", "plain"), ("\u{1b}[31mred\u{1b}[0m", "red"), ("\u{1b}[2J\u{1b}[1;1Hx", "x"), ("\u{1b}[?25lx", "x"),
      ("a\u{1b}b", "a\u{1b}b"), ("\u{1b}\u{1b}[1mx", "\u{1b}x"), ("\u{1b}[31\nx", "\nx"), ("x\u{1b}", "x\u{1b}"),
      ("x\u{1b}[1", "x"), ("\u{1b}[38;5;12mé", "é"), ("\u{1b}[1@x", "x"),
    ])
  func strips(text: String, expected: String) {
    #expect(strip([text]) == expected)
    // Cut at every place.
    let scalars = Array(text.unicodeScalars)
    for cut in 0...scalars.count {
      let (head, tail) = (scalars[..<cut], scalars[cut...])
      #expect(strip([String(String.UnicodeScalarView(head)), String(String.UnicodeScalarView(tail))]) == expected)
    }
  }
}
