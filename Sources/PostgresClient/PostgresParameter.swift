/// A value for `$1`, `$2`, … in libpq's text format. The server infers the type from where it is used; add a cast
/// (`$1::int`) where it cannot.
public struct PostgresParameter: Sendable, Hashable, ExpressibleByStringLiteral, ExpressibleByIntegerLiteral,
  ExpressibleByFloatLiteral, ExpressibleByBooleanLiteral, ExpressibleByNilLiteral
{
  /// UTF-8 as it goes over the wire, without the terminating NUL; nil is SQL NULL.
  let utf8: [UInt8]?

  private init(utf8: [UInt8]?) { self.utf8 = utf8 }

  /// SQL NULL.
  public static let null = PostgresParameter(utf8: nil)

  /// Text for any type that the server can read from text: `text`, `uuid`, `timestamptz`, `jsonb`, ….
  /// nil is SQL NULL. Text with a NUL character is refused when the statement is sent.
  public static func text(_ value: String?) -> PostgresParameter {
    PostgresParameter(utf8: value.map { Array($0.utf8) })
  }

  /// UTF-8 text that is already bytes, e.g. a JSON document.
  public static func utf8(_ value: [UInt8]) -> PostgresParameter { PostgresParameter(utf8: value) }

  /// An integer in decimal; nil is SQL NULL.
  public static func integer<Value: BinaryInteger>(_ value: Value?) -> PostgresParameter {
    .text(value.map { String($0) })
  }

  /// A floating point number, shortest form that reads back the same; nil is SQL NULL.
  public static func double(_ value: Double?) -> PostgresParameter {
    .text(value.map { $0.isNaN ? "NaN" : $0 == .infinity ? "Infinity" : $0 == -.infinity ? "-Infinity" : "\($0)" })
  }

  /// `t` or `f`; nil is SQL NULL.
  public static func boolean(_ value: Bool?) -> PostgresParameter { .text(value.map { $0 ? "t" : "f" }) }

  /// A text array (`text[]`), with every element quoted.
  public static func textArray(_ values: [String]) -> PostgresParameter {
    var literal = "{"
    for (index, value) in values.enumerated() {
      if index > 0 { literal += "," }
      literal += "\""
      for character in value.unicodeScalars {
        if character == "\"" || character == "\\" { literal += "\\" }
        literal.unicodeScalars.append(character)
      }
      literal += "\""
    }
    return .text(literal + "}")
  }

  /// Text.
  public init(stringLiteral value: String) { self = .text(value) }
  /// An integer.
  public init(integerLiteral value: Int64) { self = .integer(value) }
  /// A floating point number.
  public init(floatLiteral value: Double) { self = .double(value) }
  /// A boolean.
  public init(booleanLiteral value: Bool) { self = .boolean(value) }
  /// SQL NULL.
  public init(nilLiteral: ()) { self = .null }
}

/// Parameters as libpq wants them: an array of pointers to NUL-terminated text, null for SQL NULL.
enum ParameterArray {
  /// Calls `body` with pointers that are valid during the call only.
  static func withPointers<Output>(
    _ parameters: [PostgresParameter],
    _ body: (UnsafePointer<UnsafePointer<CChar>?>?, Int32) throws -> Output
  ) throws -> Output {
    guard parameters.count <= Int(UInt16.max) else {
      throw PostgresError(
        .invalidParameter, "\(parameters.count) parameters are more than the protocol's 65535",
        hint: "pass an array instead")
    }
    var bytes: [CChar] = []
    var offsets: [Int?] = []
    offsets.reserveCapacity(parameters.count)
    for (index, parameter) in parameters.enumerated() {
      guard let utf8 = parameter.utf8 else {
        offsets.append(nil)
        continue
      }
      guard !utf8.contains(0) else {
        throw PostgresError(
          .invalidParameter, "$\(index + 1) contains a NUL character, which PostgreSQL text cannot hold",
          sqlState: "22021")
      }
      offsets.append(bytes.count)
      bytes.append(contentsOf: utf8.lazy.map { CChar(bitPattern: $0) })
      bytes.append(0)
    }
    return try bytes.withUnsafeBufferPointer { buffer in
      let pointers: [UnsafePointer<CChar>?] = offsets.map { offset in
        offset.flatMap { buffer.baseAddress?.advanced(by: $0) }
      }
      return try pointers.withUnsafeBufferPointer { try body($0.baseAddress, Int32(parameters.count)) }
    }
  }
}
