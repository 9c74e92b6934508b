// Waiting until a container is healthy, and finding out why it is not.

import CommandOutput

/// Waits for one role, with a deadline.
struct Waiter: Sendable {
  /// Between two looks, in seconds: each costs two runs of docker.
  static let interval = 0.3
  /// How many lines of a log are told.
  static let mostLines = 12

  var engine: Engine
  var board: ProgressBoard
  /// Seconds from the container's start on.
  var timeout: Double

  /// Waits for the container of a role. The report has a problem when it did not become healthy.
  /// - Parameter watch: what is judged by.
  func wait(_ project: ComposeProject, _ watch: Watch) async throws -> RoleReport {
    let clock = ContinuousClock()
    let deadline = clock.now + .seconds(timeout)
    let role = project.role
    var watch = watch
    var container = try await engine.container(project)
    while true {
      let seen = try await engine.look(role, container)
      switch watch.judge(seen) {
      case .healthy:
        var report = RoleReport(role, seen: seen)
        report.seconds = await board.elapsed(role)
        await board.set(role, .done, "healthy")
        return report
      case .failed(let why):
        await board.set(role, .failed, "failed")
        return try await explained(
          seen,
          Problem(
            "cannot bring up \(role.rawValue): \(harmless(why))",
            details: seen.supervisor.health == nil ? [] : seen.reasons))
      case .waiting(let doing):
        await board.set(role, .working, doing)
        guard clock.now < deadline else {
          await board.set(role, .failed, "not healthy in time")
          return try await explained(
            seen,
            Problem(
              "cannot see \(role.rawValue) healthy within \(Self.whole(timeout)) s: \(harmless(seen.mainReason ?? doing)); "
                + "it goes on starting, see 'hive status \(role.rawValue)', or wait longer with --timeout",
              status: ExitStatusCode.timedOut, details: seen.reasons))
        }
      }
      try await Task.sleep(for: .seconds(Self.interval))
      // One that was replaced meanwhile has another id.
      if let id = container?.id, let again = try await engine.inspect([id]).first {
        container = again
      } else {
        container = try await engine.container(project)
      }
    }
  }

  /// With the last words of what fails.
  private func explained(_ seen: Observation, _ problem: Problem) async throws -> RoleReport {
    var report = RoleReport(seen.role, seen: seen)
    report.problem = problem
    guard let container = seen.container else { return report }
    for program in Watch.failing(seen).prefix(3) {
      if let lines = try await engine.lastWords(container, program: program, lines: Self.mostLines), !lines.isEmpty {
        report.lastWords.append(LastWords(program: program, lines: lines))
      }
    }
    if report.lastWords.isEmpty {
      let output = try await engine.output(container, lines: 200)
      let (cause, words) = LastWords.ofEnded(output, most: Self.mostLines)
      if let cause, !container.isRunning { report.problem?.text += "; \(harmless(cause))" }
      if let words { report.lastWords = [words] }
    }
    return report
  }

  private static func whole(_ seconds: Double) -> String {
    seconds == seconds.rounded() ? String(Int(seconds)) : String(seconds)
  }
}
