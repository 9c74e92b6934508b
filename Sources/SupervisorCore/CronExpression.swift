/// A parsed cron expression (crontab(5): minute, hour, day of month, month, day of week).
public struct CronExpression: Equatable, Sendable {
  /// Parses five fields or one of `@yearly @annually @monthly @weekly @daily @midnight @hourly`.
  public init(_ text: String) throws(CronError) {}
}
/// Why a cron expression or time zone cannot be used.
public struct CronError: Error, Equatable, Sendable {
  /// "cannot use minute `60`: it must be 0…59".
  public var text: String
}
