// How long it may take to stop everything, against the time that `shutdown_timeout` leaves for it.

import SupervisorCore

/// The longest stop plans of all tiers, one after the other.
struct StopBudget {
  /// The program with the longest plan of each tier that stays up, in the order of stopping; tiers count from 1.
  private(set) var longest: [(tier: Int, program: ProgramSpec)] = []
  /// How long all of these take.
  private(set) var total = Interval.zero
  /// What `shutdown_timeout` leaves for them. nil: there is no deadline.
  let available: Interval?

  /// The budget of a configuration. A oneshot is down when the stopping begins.
  init(_ spec: SupervisorSpec) {
    available = spec.shutdownTimeout.map { $0 - shutdownReserve(of: $0) }
    for (number, tier) in StartPlan(spec).tiers.enumerated().reversed() {
      let programs = tier.compactMap { spec.programs.indices.contains($0) ? spec.programs[$0] : nil }
        .filter { $0.kind != .oneshot }
      guard let program = programs.max(by: { $0.stopLength < $1.stopLength }) else { continue }
      longest.append((number + 1, program))
      total = total + program.stopLength
    }
  }

  /// `3 s (tier 3, api) + 8 s (tier 2, db) = 11 s`; empty when nothing stays up.
  var sum: String {
    let terms = longest.map { "\(seconds($0.program.stopLength)) (tier \($0.tier), \($0.program.namespec))" }
    return terms.joined(separator: " + ") + (terms.count > 1 ? " = \(seconds(total))" : "")
  }

  /// What is left of every step when all plans are walked to their end, as the core shortens them. nil: they fit.
  var share: Double? {
    guard let available, total > available else { return nil }
    return max(0, available.inSeconds) / total.inSeconds
  }

  /// The share in whole percent, never more than it is.
  var percent: Int { Int(((share ?? 1) * 100).rounded(.down)) }

  /// A program's plan as the core would shorten it.
  func shortened(_ program: ProgramSpec) -> [StopStep] {
    program.stopPlan.map {
      StopStep(signal: $0.signal, wait: .seconds(max($0.wait, .zero).inSeconds * (share ?? 1)))
    }
  }

  /// The least `shutdown_timeout` that all plans fit into, in tenths of a second.
  var leastTimeout: Interval {
    // The reserve is a tenth, at most 1 s.
    let least = total > .seconds(9) ? total.inSeconds + 1 : total.inSeconds / 0.9
    return .seconds((least * 10 - 1e-6).rounded(.up) / 10)
  }
}

/// Warns where the deadline for all is shorter than their stop plans one after the other.
func reportShortDeadline(_ spec: SupervisorSpec, _ reader: SectionReader) {
  let budget = StopBudget(spec)
  guard let available = budget.available, budget.share != nil else { return }
  let plans = budget.longest.map { entry in
    let steps = budget.shortened(entry.program).map { "\(signalName($0.signal)) \(seconds($0.wait))" }
    return "\(entry.program.namespec) to \(steps.joined(separator: ", "))"
  }
  reader.warning(
    "shutdown_timeout",
    "\(seconds(available)) are for stop plans, which at worst take \(budget.sum): every step would be shortened to \(budget.percent) %, \(plans.joined(separator: "; "))",
    remedy:
      "raise it to \(seconds(budget.leastTimeout)) (and what the engine waits above that), or shorten the plans (stop_plan, stopwaitsecs)"
  )
}

extension ProgramSpec {
  /// How long its stop plan is.
  var stopLength: Interval { stopPlan.reduce(Interval.zero) { $0 + max($1.wait, .zero) } }
}
