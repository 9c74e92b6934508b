/// The rules of one time zone (RFC 8536, TZif).
public struct TimeZoneRules: Equatable, Sendable {
  /// Coordinated Universal Time.
  public static let utc = TimeZoneRules()
  init() {}
  /// The rules in the bytes of a TZif file, versions 1 to 3 (`/usr/share/zoneinfo/…`).
  public init(tzif: [UInt8]) throws(TimeZoneError) {}
}
/// Why the bytes of a time zone file cannot be used.
public struct TimeZoneError: Error, Equatable, Sendable {
  /// "cannot read the time zone: …".
  public var text: String
}
