/// What PID 1 is told of the database as this process sees it, look by look: a value, so that every course of things can be tested.
///
/// A database that was never reached is told at once: the container shall not be called healthy even for a moment. One that was
/// reached and is away is told when it has been away for a while: it restarts more quickly than that, and while it does not, the
/// database's own check tells of it. That it is back is told at once. Every result is told again now and then, because PID 1 takes
/// one that is older than three intervals for failing.
struct DatabaseReach {
  /// What a look came to.
  enum Look: Equatable {
    case reached
    /// Every connection is in use: nothing was learned.
    case busy
    /// Why not.
    case failed(String)
  }

  /// What PID 1 gets.
  struct Report: Equatable {
    var passed: Bool
    var detail: String
  }

  /// How often a result is told again, which is also how often one looks while all is well.
  static let interval = Duration.seconds(10)
  /// How often one looks while it is not.
  static let retryInterval = Duration.seconds(1)
  /// How long a database that was reached may be away before it is told.
  static let patience = Duration.seconds(5)

  private var hasReached = false
  private var awaySince: ContinuousClock.Instant?
  private var told: (report: Report, at: ContinuousClock.Instant)?

  /// What is to be told now, after this look; nil: nothing.
  mutating func report(after look: Look, at now: ContinuousClock.Instant) -> Report? {
    switch look {
    case .reached:
      hasReached = true
      awaySince = nil
      return due(Report(passed: true, detail: ""), at: now)
    case .busy:
      return told.flatMap { due($0.report, at: now) }
    case .failed(let reason):
      let since = awaySince ?? now
      awaySince = since
      if hasReached, told?.report.passed != false, now - since < Self.patience { return nil }
      return due(Report(passed: false, detail: reason), at: now)
    }
  }

  /// PID 1 did not take the last report: it is due again.
  mutating func wasNotTaken() { told = nil }

  /// Until the next look.
  var pause: Duration { awaySince == nil && told != nil ? Self.interval : Self.retryInterval }

  private mutating func due(_ report: Report, at now: ContinuousClock.Instant) -> Report? {
    if let told, told.report == report, now - told.at < Self.interval { return nil }
    told = (report, now)
    return report
  }
}
