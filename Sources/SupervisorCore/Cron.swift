/// A parsed cron expression (crontab(5): minute, hour, day of month, month, day of week).
public struct CronExpression: Equatable, Sendable {
}
/// The rules of one time zone (RFC 8536, TZif).
public struct TimeZoneRules: Equatable, Sendable {
}
