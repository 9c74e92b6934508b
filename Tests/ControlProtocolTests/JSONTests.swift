import ControlProtocol
import Testing

private func parse(_ text: String) -> JSONValue? { try? JSONValue(parsing: Array(text.utf8)) }

private func written(_ value: JSONValue) -> String {
  var writer = JSONWriter()
  value.write(to: &writer)
  return writer.text
}

@Suite struct JSONTests {
  @Test func writesCommasAndEscapes() {
    var writer = JSONWriter()
    writer.beginObject()
    writer.member("a\"\\\n\u{1}", "x\t\r\u{8}\u{c}/\u{1f}é😀")
    writer.member("n", nil as String?)
    writer.member("i", Int64.min)
    writer.member("u", UInt64.max)
    writer.member("d", 12.3456789, decimals: 3)
    writer.member("inf", Double.infinity, decimals: 3)
    writer.member("flag", true)
    writer.member("at", Timestamp(nanoseconds: 0))
    writer.member("list", ["a", "b"])
    writer.key("o")
    writer.beginObject()
    writer.endObject()
    writer.key("l")
    writer.beginArray()
    writer.beginArray()
    writer.endArray()
    writer.null()
    writer.value(bytes: [0x61, 0xFF, 0x62])
    writer.value(1e300)
    writer.value(Double.nan)
    writer.raw(Array("{}".utf8))
    writer.endArray()
    writer.endObject()
    let expected =
      #"{"a\"\\\n\u0001":"x\t\r\b\f/\u001Fé😀","n":null,"i":-9223372036854775808,"u":18446744073709551615,"d":12.346,"inf":null,"flag":true,"at":"1970-01-01T00:00:00.000Z","list":["a","b"],"o":{},"l":[[],null,"a\#u{FFFD}b",1e+300,null,{}]}"#
    #expect(writer.text == expected)
  }

  @Test func writesOneDocumentPerLine() {
    var writer = JSONWriter()
    for number in 1...2 {
      writer.beginObject()
      writer.member("n", number)
      writer.endObject()
      writer.endLine()
    }
    #expect(writer.text == "{\"n\":1}\n{\"n\":2}\n")
    #expect(writer.take().count == 16)
    writer.value(true)
    #expect(writer.text == "true")
  }

  @Test func roundsWithoutLosingDigits() {
    let cases: [(Double, Int, String)] = [
      (0.4, 3, "0.4"), (12.345, 3, "12.345"), (0, 3, "0.0"), (-0.0004, 3, "-0.0"), (1e18, 9, "1e+18"), (2.5, 0, "3.0"),
      (1.005, 99, "1.005"),
    ]
    for (number, decimals, text) in cases {
      var writer = JSONWriter()
      writer.value(number, decimals: decimals)
      #expect(writer.text == text)
    }
  }

  @Test func parsesEveryKindOfValue() {
    #expect(parse(" null\n") == .null)
    #expect(parse("[true,false , []\t,{}\r]") == .array([.bool(true), .bool(false), .array([]), .object([])]))
    #expect(parse("{\"a\":1,\"a\":2}")?["a"] == .int(2))
    #expect(parse("\"\\u0041\\n\\/\\\"\\\\\\b\\f\\r\\t\\ud83d\\uDE00é\"") == .string("A\n/\"\\\u{8}\u{c}\r\t😀é"))
    #expect(parse("\"\\ud83d\"") == .string("\u{FFFD}"))
    #expect(parse("\"\\ud83dx\\udE00\"") == .string("\u{FFFD}x\u{FFFD}"))
    #expect(parse("\"\\ud83d\\ud83d\\ude00\"") == .string("\u{FFFD}😀"))
    #expect(parse("\"\\u0000\"") == .string("\0"))
    let numbers: [(String, JSONValue)] = [
      ("0", .int(0)), ("-1", .int(-1)), ("9223372036854775807", .int(.max)), ("-9223372036854775808", .int(.min)),
      ("9223372036854775808", .double(9.223372036854775808e18)), ("1.5", .double(1.5)), ("1e2", .double(100)),
      ("1E-2", .double(0.01)),
      ("0.1e+1", .double(1)), ("1e-400", .double(0)),
    ]
    for (text, value) in numbers { #expect(parse(text) == value, "\(text)") }
    guard case .double(let zero)? = parse("-0") else {
      Issue.record("not as expected")
      return
    }
    #expect(zero.sign == .minus && zero == 0)
    #expect(parse("2.0")?.int == 2 && parse("2.5")?.int == nil && parse("3")?.double == 3)
  }

  @Test func refusesWhatIsNotJSON() {
    for text in [
      "", " ", "nul", "nulll", "tru", "TRUE", "01", "-", "+1", ".5", "1.", "1e", "1e+", "0x1", "1e400", "NaN",
      "Infinity", "'a'", "\"", "\"\\", "\"\\x\"",
      "\"\\u12\"", "\"\\u12g4\"", "\"\n\"", "\"\t\"", "[", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "{", "{\"a\"",
      "{\"a\":", "{\"a\":1", "{\"a\":1,}", "{a:1}",
      "{\"a\" 1}", "{1:2}", "1 2", "[]]", "\u{FEFF}1", "/**/1", "\"\\ud83d\\u\"", "\u{A0}1",
    ] {
      #expect(parse(text) == nil, "\(text.debugDescription)")
    }
    for bytes: [UInt8] in [
      [0x22, 0xFF, 0x22], [0x22, 0xC0, 0x80, 0x22], [0x22, 0xED, 0xA0, 0x80, 0x22], [0x22, 0xE2, 0x82, 0x22],
    ] {
      #expect((try? JSONValue(parsing: bytes)) == nil)
    }
  }

  @Test func saysWhereItIsWrong() {
    do throws(JSONError) {
      _ = try JSONValue(parsing: Array("{\"a\": tru}".utf8))
      Issue.record("parsed")
    } catch {
      #expect(error.message == "cannot read JSON: unknown word at byte 6")
    }
  }

  @Test func depthAndSizeAreBounded() {
    let deep = String(repeating: "[", count: 32) + String(repeating: "]", count: 32)
    #expect(parse(deep) != nil)
    #expect(parse("[\(deep)]") == nil)
    let objects = String(repeating: "{\"a\":", count: 31) + "{}" + String(repeating: "}", count: 31)
    #expect(parse(objects) != nil)
    #expect(parse("{\"a\":\(objects)}") == nil)
    #expect(parse(String(repeating: "[", count: 100_000)) == nil)
    #expect(parse(String(repeating: "{\"a\":", count: 100_000)) == nil)
    #expect((try? JSONValue(parsing: [0x20, 0x31], maximumBytes: 1)) == nil)
  }

  private static func value(_ random: inout SeededGenerator, depth: Int) -> JSONValue {
    switch random.below(depth > 3 ? 5 : 7) {
    case 0: return .null
    case 1: return .bool(random.chance(50))
    case 2: return .int(Int64.random(in: .min ... .max, using: &random) >> Int64(random.below(64)))
    case 3:
      let double = Double(bitPattern: random.next())
      return double.isFinite && !(double == 0) ? .double(double) : .int(0)
    case 4: return .string(random.text(most: 12))
    case 5: return .array((0..<random.below(5)).map { _ in value(&random, depth: depth + 1) })
    default:
      return .object((0..<random.below(5)).map { _ in .init(random.text(most: 5), value(&random, depth: depth + 1)) })
    }
  }

  /// JSON has one kind of number: what was a Double comes back as an Int64 only if it is written as one, which it never is.
  @Test func whatIsWrittenIsReadBack() throws {
    for seed in 0..<fuzzCases {
      var random = SeededGenerator(seed: seed)
      let value = Self.value(&random, depth: 0)
      let text = written(value)
      #expect(try JSONValue(parsing: Array(text.utf8)) == value, "seed \(seed): \(text)")
    }
  }

  @Test func mutatedTextEitherFailsOrRoundTrips() {
    for seed in 0..<fuzzCases {
      var random = SeededGenerator(seed: seed &+ 1 << 32)
      let bytes = random.mutated(Array(written(Self.value(&random, depth: 0)).utf8))
      guard let value = try? JSONValue(parsing: bytes) else { continue }
      #expect(parse(written(value)) == value, "seed \(seed)")
    }
  }
}
