// What is known about one container at one moment: what the engine says about the container, and what the supervisor inside says
// about its programs.

import ControlProtocol

/// What the supervisor in the container answered.
enum SupervisorAnswer: Equatable, Sendable {
  /// Nobody asked, because the container does not run.
  case notAsked
  /// Its health document.
  case document(HealthDocument)
  /// No document: why.
  case silent(String)
  /// There is no hivesup in the container.
  case absent(String)

  /// Of `docker exec … hivesup healthcheck --json`.
  init(status: Int32, output: [UInt8], error: String) {
    if let json = try? JSONValue(parsing: output, maximumBytes: 16 << 20), let health = HealthDocument(json: json) {
      self = .document(health)
      return
    }
    // 126 and 127 are docker's when the program cannot be executed or found; the words tell them from a program's own.
    if status == 126 || status == 127, error.contains("exec failed") || error.contains("executable file not found") {
      self = .absent("there is no hivesup in the container's PATH")
      return
    }
    let said = [EngineFault.lastLine(String(decoding: output, as: UTF8.self)), EngineFault.lastLine(error)]
    self = .silent(said.first { !$0.isEmpty } ?? "it gave no answer")
  }

  /// The document, if there is one.
  var health: HealthDocument? {
    if case .document(let health) = self { health } else { nil }
  }
}

/// One look at one role's container.
struct Observation: Equatable, Sendable {
  var role: Role
  /// nil: there is none.
  var container: ContainerDocument?
  var supervisor: SupervisorAnswer = .notAsked

  /// One word for people and scripts: `healthy`, `unhealthy`, `starting`, `stopped` or `absent`.
  var health: String {
    guard let container else { return "absent" }
    switch container.state {
    case "running": break
    case "restarting": return "unhealthy"
    default: return "stopped"
    }
    switch supervisor {
    case .document(let health): return health.status
    // Without the supervisor's word the engine's counts.
    case .absent: return container.engineHealth ?? "unhealthy"
    case .silent, .notAsked: return container.engineHealth == "starting" ? "starting" : "unhealthy"
    }
  }

  var isHealthy: Bool { health == "healthy" }

  /// Why it is not healthy; empty when it is.
  var reasons: [String] {
    guard let container else { return ["there is no container; make it with 'hive up \(role.rawValue)'"] }
    switch container.state {
    case "running": break
    case "restarting": return ["the container ended (\(container.ending)) and is about to be started again"]
    case "paused": return ["the container is paused; go on with 'docker unpause \(container.name)'"]
    case "created":
      return ["the container was made but not started" + (container.error.isEmpty ? "" : ": \(container.error)")]
    default: return ["the container ended: \(container.ending)"]
    }
    switch supervisor {
    case .document(let health): return health.isHealthy ? [] : health.reasons
    case .silent(let why): return ["its supervisor does not answer: \(why)"]
    case .absent(let why): return isHealthy ? [] : ["the engine's check says \(health); \(why)"]
    case .notAsked: return ["its supervisor was not asked"]
    }
  }

  /// The reason that explains the others: that of a program that fails, not of one that waits for it. nil: there is none.
  var mainReason: String? {
    let failing = supervisor.health?.services.filter { $0.status == "unhealthy" }.map(\.name) ?? []
    return reasons.first { reason in failing.contains { reason.hasPrefix("\($0) ") } } ?? reasons.first
  }
}
