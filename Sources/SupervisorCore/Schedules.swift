// Programs with a schedule: one run at a time, by the wall clock.
//
// The deadline is monotonic and derived from the wall clock: anew whenever the clock is seen to have been set, and every hour at the latest.
// A time that a forward jump skipped is made up for once; after a backward jump of up to three hours what has run already does not run
// again (cron(8)'s rule). A time that comes while the run before is still going is skipped, and said so.

extension Supervisor {
  private static let recheck = Interval.seconds(3600)

  /// Finds the next time and waits for it.
  mutating func schedule(_ i: Int) {
    guard case .scheduled(let schedule) = records[i].spec.kind, records[i].spec.autostart, shutdown == nil, hasBooted,
      !records[i].isRemoving
    else {
      records[i].nextRun = nil
      disarm(.schedule, i)
      return
    }
    var after = now.wall
    if let last = records[i].lastRun, after < last {
      let back = last.nanoseconds.subtractingReportingOverflow(after.nanoseconds)
      if !back.overflow, back.partialValue < 3 * 3_600_000_000_000 { after = last }
    }
    records[i].nextRun = schedule.cron.nextFire(after: after, in: schedule.zone)
    armSchedule(i)
  }

  private mutating func armSchedule(_ i: Int) {
    guard let next = records[i].nextRun else {
      disarm(.schedule, i)
      return
    }
    let (distance, overflow) = next.nanoseconds.subtractingReportingOverflow(now.wall.nanoseconds)
    let wait = overflow ? Self.recheck : Interval(nanoseconds: max(0, distance))
    arm(.schedule, i, after: min(wait, Self.recheck))
  }

  mutating func scheduleDue(_ i: Int) {
    guard let next = records[i].nextRun, shutdown == nil else { return }
    guard next <= now.wall else {
      armSchedule(i)
      return
    }
    records[i].lastRun = next
    if records[i].isLive || records[i].pending != nil || records[i].state == .stopping {
      note(i, .text("skipped a scheduled run: the one before is still going"))
      log(.warn, "skipped a scheduled run of \(records[i].spec.name): the one before is still going")
    } else {
      records[i].delay = .zero
      records[i].failedStarts = 0
      records[i].crashes = 0
      records[i].pending = PendingStart(cause: .schedule)
      markChanged(i)
    }
    schedule(i)
  }

  /// The wall clock was set: what was derived from it is derived anew. A time that lies behind now is due now.
  mutating func rescheduleAll() {
    for i in records.indices where records[i].isScheduled {
      if let next = records[i].nextRun, next <= now.wall {
        arm(.schedule, i, at: now.instant)
      } else {
        schedule(i)
      }
    }
  }
}
