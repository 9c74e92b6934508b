/// A Swift type that can be read from PostgreSQL's text format.
public protocol PostgresDecodable: Sendable {
  /// The value that `text` denotes, or nil when it is not one of this type. `text` is nil for SQL NULL.
  static func decode(postgresText text: UnsafeBufferPointer<UInt8>?) -> Self?
}

extension String: PostgresDecodable {
  /// Any column's text. The session's encoding is UTF-8, so nothing is repaired in practice.
  public static func decode(postgresText text: UnsafeBufferPointer<UInt8>?) -> String? {
    text.map { String(decoding: $0, as: UTF8.self) }
  }
}

extension Array: PostgresDecodable where Element == UInt8 {
  /// Any column's text as the bytes that came from the server, e.g. a `jsonb` document that is passed on.
  public static func decode(postgresText text: UnsafeBufferPointer<UInt8>?) -> [UInt8]? { text.map { Array($0) } }
}

extension Bool: PostgresDecodable {
  /// `t` and `f`, as the server writes `boolean`.
  public static func decode(postgresText text: UnsafeBufferPointer<UInt8>?) -> Bool? {
    guard let text, text.count == 1 else { return nil }
    switch text[0] {
    case UInt8(ascii: "t"): return true
    case UInt8(ascii: "f"): return false
    default: return nil
    }
  }
}

extension Double: PostgresDecodable {
  /// `float4`, `float8`, `numeric` and the integer types; `NaN` and `Infinity` included.
  public static func decode(postgresText text: UnsafeBufferPointer<UInt8>?) -> Double? {
    String.decode(postgresText: text).flatMap(Double.init)
  }
}

extension PostgresDecodable where Self: FixedWidthInteger {
  /// A decimal integer in range.
  public static func decode(postgresText text: UnsafeBufferPointer<UInt8>?) -> Self? {
    String.decode(postgresText: text).flatMap { Self($0) }
  }
}

extension Int: PostgresDecodable {}
extension Int16: PostgresDecodable {}
extension Int32: PostgresDecodable {}
extension Int64: PostgresDecodable {}
extension UInt32: PostgresDecodable {}
extension UInt64: PostgresDecodable {}

extension Optional: PostgresDecodable where Wrapped: PostgresDecodable {
  /// SQL NULL is nil; anything else must be a `Wrapped`.
  public static func decode(postgresText text: UnsafeBufferPointer<UInt8>?) -> Wrapped?? {
    guard let text else { return .some(nil) }
    return Wrapped.decode(postgresText: text).map { .some($0) }
  }
}
