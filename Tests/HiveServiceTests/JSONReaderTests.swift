import Testing

@testable import HiveServiceCore

@Suite struct JSONReaderTests {
  private func read(_ text: String) throws -> JSONValue { try JSONReader.read(Array(text.utf8)) }

  @Test func keepsOrderDigitsAndCharacters() throws {
    for text in [
      #"{"b":1.50,"a":[1e400,-0,12345678901234567890123],"é":"\"\\\n\u0001😀"}"#, "[]", "{}", "null", "-1.5e-3", #""""#,
    ] {
      #expect(String(decoding: try read(text).serialized, as: UTF8.self) == text)
    }
    #expect(try read(#""\ud83d\ude00\/\b\f""#) == .string("😀/\u{8}\u{C}"))
  }

  @Test func theLastOfEqualKeysCountsAtTheFirstPlace() throws {
    #expect(String(decoding: try read(#"{"a":1,"b":2,"a":3}"#).serialized, as: UTF8.self) == #"{"a":3,"b":2}"#)
    // Canonically equivalent keys are different keys.
    guard case .object(let object) = try read("{\"\u{E9}\":1,\"e\u{301}\":2}") else { throw TestFailure("no object") }
    #expect(object.members.count == 2)
  }

  @Test func refusesSurrogatesThatAreAlone() {
    for text in [#""\ud800""#, #""\udc00""#, #""\ud800\u0041""#, #""\ud800x""#] {
      #expect(throws: JSONSyntaxError(message: "Unpaired surrogate in \\uXXXX escape", position: 1)) { try read(text) }
    }
  }

  @Test func boundsTheDepth() throws {
    let limit = JSONReader.maximumDepth
    _ = try read(String(repeating: "[", count: limit) + String(repeating: "]", count: limit))
    #expect(throws: JSONReader.Refusal.depth) { try read(String(repeating: "[", count: limit + 1)) }
    #expect(throws: JSONReader.Refusal.depth) { try read(String(repeating: #"{"a":"#, count: 100_000)) }
  }

  @Test func refusesWhatIsNotUTF8() {
    #expect(throws: JSONReader.Refusal.encoding) { try JSONReader.read([0x22, 0xFF, 0x22]) }
  }

  /// Mutations of valid documents: never a crash, and what is accepted reads back the same.
  @Test func survivesMutations() throws {
    let seeds = [
      #"{"user_id":"a","session_data":{"x":[1,2.5e-3,null,true,"\u00e9\ud83d\ude00"]}}"#, #"[[[{}],[{"a":{"b":[]}}]]]"#,
    ]
    var random = SystemRandomNumberGenerator()
    let alphabet = Array(#"{}[]",:\u0123eE+-.ntfd8 "#.utf8) + [0, 0x80, 0xC3, 0xFF]
    for _ in 0..<20_000 {
      var bytes = Array((seeds.randomElement() ?? "").utf8)
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        let index = Int.random(in: 0..<bytes.count, using: &random)
        switch Int.random(in: 0..<3, using: &random) {
        case 0: bytes[index] = alphabet.randomElement(using: &random) ?? 0
        case 1: bytes.remove(at: index)
        default: bytes.insert(alphabet.randomElement(using: &random) ?? 0, at: index)
        }
      }
      if let value = try? JSONReader.read(bytes) {
        #expect(try JSONReader.read(value.serialized) == value, "\(String(decoding: bytes, as: UTF8.self))")
      }
    }
  }
}
