// Waiting for a container to be healthy, as a pure function of what is seen: go on waiting, done, or failed for good.

/// Watches one role's container from its start until it is healthy or cannot become so any more.
struct Watch: Equatable, Sendable {
  /// What to do next.
  enum Verdict: Equatable, Sendable {
    /// Look again later; what it does meanwhile.
    case waiting(String)
    /// It is healthy.
    case healthy
    /// It does not become healthy by waiting; why.
    case failed(String)
  }

  /// How often the container may end by itself before waiting is given up: its restart policy goes on trying, with growing pauses.
  static let mostEnds = 3

  let role: Role
  /// The container that was there before, and how often the engine had restarted it by then.
  let before: ContainerDocument?
  /// How it ended the last time that it was seen down: while it runs the engine does not tell.
  private var lastEnding: String?

  init(_ role: Role, before: ContainerDocument?) {
    self.role = role
    self.before = before
  }

  /// Judges what is seen.
  mutating func judge(_ seen: Observation) -> Verdict {
    guard let container = seen.container else {
      return .failed("its container is gone: somebody removed it")
    }
    let restarts = container.restarts - (before?.id == container.id ? before?.restarts ?? 0 : 0)
    switch container.state {
    case "running":
      // How it ended is told while it is down, and from the third pause on that is long enough to be seen.
      let isKnown = lastEnding != nil || restarts >= 2 * Self.mostEnds
      if restarts >= Self.mostEnds && isKnown && !seen.isHealthy { return endless(restarts) }
    case "restarting":
      lastEnding = container.ending
      if restarts >= Self.mostEnds { return endless(restarts) }
      return .waiting("the container ended (\(container.ending)) and is started again")
    case "created":
      return container.error.isEmpty
        ? .waiting("the container is being started") : .failed("it could not be started: \(container.error)")
    case "paused": return .failed("it is paused; go on with 'docker unpause \(container.name)'")
    default: return .failed("its container ended: \(container.ending)")
    }
    switch seen.supervisor {
    case .document(let health):
      if health.isHealthy { return .healthy }
      // FATAL is left by nobody but a person.
      let lost = health.services.filter { $0.state == "FATAL" }.map(\.name)
      if !lost.isEmpty {
        let why = seen.reasons.first { reason in lost.contains { reason.hasPrefix("\($0) ") } }
        return .failed("\(lost.joined(separator: ", ")) failed for good" + (why.map { ": \($0)" } ?? ""))
      }
      return .waiting(Progress.doing(health))
    case .silent, .notAsked: return .waiting("its supervisor does not answer yet")
    case .absent(let why):
      switch container.engineHealth {
      case "healthy": return .healthy
      case nil: return .failed("\(why), and the image has no HEALTHCHECK")
      default: return .waiting("the engine's check says \(seen.health)")
      }
    }
  }

  /// The programs whose last words help: those that are down or not ready, else none.
  static func failing(_ seen: Observation) -> [String] {
    guard let health = seen.supervisor.health else { return [] }
    let fatal = health.services.filter { $0.state == "FATAL" || $0.state == "BACKOFF" }
    if !fatal.isEmpty { return fatal.map(\.name) }
    let unhealthy = health.services.filter { $0.status == "unhealthy" }
    if !unhealthy.isEmpty { return unhealthy.map(\.name) }
    return health.services.filter { $0.status == "starting" && $0.pid != nil }.map(\.name)
  }

  private func endless(_ restarts: Int) -> Verdict {
    .failed("its container ended \(restarts) times" + (lastEnding.map { ", the last time with \($0)" } ?? ""))
  }
}
