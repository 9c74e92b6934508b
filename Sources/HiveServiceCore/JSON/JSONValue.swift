/// A JSON document as it was written: keys keep their order, numbers their digits.
indirect enum JSONValue: Sendable, Hashable {
  case null
  case bool(Bool)
  /// The number's own text, so that no digit is lost on the way into `jsonb` (which holds any `numeric`).
  case number(String)
  case string(String)
  case array([JSONValue])
  case object(JSONObject)

  static func integer(_ value: some BinaryInteger) -> JSONValue { .number(String(value)) }

  /// The document in its shortest form.
  var serialized: [UInt8] {
    var bytes: [UInt8] = []
    write(to: &bytes)
    return bytes
  }

  func write(to bytes: inout [UInt8]) {
    switch self {
    case .null: bytes.append(contentsOf: "null".utf8)
    case .bool(let value): bytes.append(contentsOf: (value ? "true" : "false").utf8)
    case .number(let text): bytes.append(contentsOf: text.utf8)
    case .string(let text): Self.write(text, to: &bytes)
    case .array(let elements):
      bytes.append(UInt8(ascii: "["))
      for (index, element) in elements.enumerated() {
        if index > 0 { bytes.append(UInt8(ascii: ",")) }
        element.write(to: &bytes)
      }
      bytes.append(UInt8(ascii: "]"))
    case .object(let object):
      bytes.append(UInt8(ascii: "{"))
      for (index, member) in object.members.enumerated() {
        if index > 0 { bytes.append(UInt8(ascii: ",")) }
        Self.write(member.key, to: &bytes)
        bytes.append(UInt8(ascii: ":"))
        member.value.write(to: &bytes)
      }
      bytes.append(UInt8(ascii: "}"))
    }
  }

  static func write(_ text: String, to bytes: inout [UInt8]) {
    bytes.append(UInt8(ascii: "\""))
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\""): bytes.append(contentsOf: [UInt8(ascii: "\\"), byte])
      case UInt8(ascii: "\\"): bytes.append(contentsOf: [byte, byte])
      case 0x0A: bytes.append(contentsOf: #"\n"#.utf8)
      case 0x0D: bytes.append(contentsOf: #"\r"#.utf8)
      case 0x09: bytes.append(contentsOf: #"\t"#.utf8)
      case 0..<0x20, 0x7F:
        let hex = Array("0123456789abcdef".utf8)
        bytes.append(contentsOf: #"\u00"#.utf8)
        bytes.append(contentsOf: [hex[Int(byte >> 4)], hex[Int(byte & 15)]])
      default: bytes.append(byte)
      }
    }
    bytes.append(UInt8(ascii: "\""))
  }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByArrayLiteral,
  ExpressibleByDictionaryLiteral
{
  init(stringLiteral value: String) { self = .string(value) }
  init(integerLiteral value: Int) { self = .integer(value) }
  init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
  init(dictionaryLiteral elements: (String, JSONValue)...) { self = .object(JSONObject(elements)) }
}

/// Members in the order of their first appearance. Of members with the same key the last value counts, as in Python's
/// `json` and in `jsonb`.
struct JSONObject: Sendable, Hashable {
  private(set) var members: [(key: String, value: JSONValue)] = []
  private var indexes: [ObjectKey: Int] = [:]

  init(_ members: [(String, JSONValue)] = []) {
    for (key, value) in members { self[key] = value }
  }

  /// Setting nil does nothing.
  subscript(key: String) -> JSONValue? {
    get { indexes[ObjectKey(key)].map { members[$0].value } }
    set {
      guard let newValue else { return }
      if let index = indexes[ObjectKey(key)] {
        members[index].value = newValue
      } else {
        indexes[ObjectKey(key)] = members.count
        members.append((key, newValue))
      }
    }
  }

  static func == (left: JSONObject, right: JSONObject) -> Bool {
    left.members.count == right.members.count
      && left.members.allSatisfy { member in right[member.key] == member.value }
  }

  func hash(into hasher: inout Hasher) { hasher.combine(members.count) }
}

/// Keys are the same when their code points are. Swift's `String` would also equate canonically equivalent ones.
private struct ObjectKey: Sendable, Hashable {
  let key: String

  init(_ key: String) { self.key = key }

  static func == (left: ObjectKey, right: ObjectKey) -> Bool { left.key.utf8.elementsEqual(right.key.utf8) }

  func hash(into hasher: inout Hasher) {
    for byte in key.utf8 { hasher.combine(byte) }
  }
}
