// A JSON value, for the small bodies that clients send and for the documents that they receive.

/// A JSON value.
public enum JSONValue: Equatable, Sendable {
  /// null
  case null
  /// true or false
  case bool(Bool)
  /// A number without fraction and exponent that fits.
  case int(Int64)
  /// Any other number; always finite.
  case double(Double)
  /// A string.
  case string(String)
  /// An array.
  case array([JSONValue])
  /// An object's members in order. Names may repeat; the last one counts.
  case object([Member])

  /// One member of an object.
  public struct Member: Equatable, Sendable {
    /// Its name.
    public var name: String
    /// Its value.
    public var value: JSONValue

    /// A member.
    public init(_ name: String, _ value: JSONValue) {
      self.name = name
      self.value = value
    }
  }

  /// The member of this name; nil when there is none, or when this is no object.
  public subscript(_ name: String) -> JSONValue? {
    guard case .object(let members) = self else { return nil }
    return members.last { $0.name == name }?.value
  }

  /// The string, if it is one.
  public var string: String? {
    if case .string(let text) = self { text } else { nil }
  }

  /// The flag, if it is one.
  public var bool: Bool? {
    if case .bool(let flag) = self { flag } else { nil }
  }

  /// The number, if it is one without a fraction (`2.0` and `2e0` are).
  public var int: Int64? {
    switch self {
    case .int(let number): number
    case .double(let number): Int64(exactly: number)
    default: nil
    }
  }

  /// The number, if it is one.
  public var double: Double? {
    switch self {
    case .int(let number): Double(number)
    case .double(let number): number
    default: nil
    }
  }

  /// The elements, if it is an array.
  public var array: [JSONValue]? {
    if case .array(let elements) = self { elements } else { nil }
  }

  /// The members, if it is an object.
  public var members: [Member]? {
    if case .object(let members) = self { members } else { nil }
  }

  /// The time, if it is an RFC 3339 string.
  public var timestamp: Timestamp? { string.flatMap(Timestamp.init(rfc3339:)) }

  /// Writes it as JSON text.
  public func write(to writer: inout JSONWriter) {
    switch self {
    case .null: writer.null()
    case .bool(let flag): writer.value(flag)
    case .int(let number): writer.value(number)
    case .double(let number): writer.value(number)
    case .string(let text): writer.value(text)
    case .array(let elements):
      writer.beginArray()
      for element in elements { element.write(to: &writer) }
      writer.endArray()
    case .object(let members):
      writer.beginObject()
      for member in members {
        writer.key(member.name)
        member.value.write(to: &writer)
      }
      writer.endObject()
    }
  }
}
