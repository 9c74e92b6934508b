// From what a program asks for to the CPUs that it gets, and why they are not the ones it asked for.

/// On which CPUs a program is to run.
public enum CPURequest: Equatable, Sendable {
  /// Wherever it may.
  case any
  /// The first of these classes of which a CPU may be used.
  case classes([CoreClass])
  /// These CPUs, whatever their class.
  case cpus(CPUSet)

  /// As a person writes it: `any`, `low-power,efficiency`, `0-3`.
  public var text: String {
    switch self {
    case .any: "any"
    case .classes(let classes): classes.map(\.rawValue).joined(separator: ",")
    case .cpus(let cpus): cpus.list
    }
  }
}

/// Why the CPUs are not those that were asked for.
public enum PlacementReason: Equatable, Sendable {
  /// The machine has no CPU of this class.
  case absent(CoreClass)
  /// None of the class's CPUs may be used here: what they are.
  case notAllowed(CoreClass, CPUSet)
  /// All of the class's CPUs that may be used are isolated from the scheduler: which.
  case classIsolated(CoreClass, CPUSet)
  /// Another class stands in.
  case standIn(CoreClass)
  /// None of the classes has a CPU that may be used: all that may.
  case anything
  /// These CPUs that were asked for, or are of the class, may not be used here.
  case partlyNotAllowed(CPUSet)
  /// None of the CPUs that were asked for may be used here.
  case noneAllowed(CPUSet)
  /// These CPUs of the class are isolated from the scheduler, and were not asked for by number.
  case isolated(CPUSet)

  /// A clause for people.
  public var text: String {
    switch self {
    case .absent(let coreClass): "no CPU is \(coreClass.rawValue)"
    case .notAllowed(let coreClass, let cpus): "\(coreClass.rawValue) CPU \(cpus) is not allowed here"
    case .classIsolated(let coreClass, let cpus): "\(coreClass.rawValue) CPU \(cpus) is isolated"
    case .standIn(let coreClass): "falls to \(coreClass.rawValue)"
    case .anything: "falls to any CPU that is allowed"
    case .partlyNotAllowed(let cpus): "CPU \(cpus) is not allowed here"
    case .noneAllowed(let cpus): "CPU \(cpus) is not there or not allowed here"
    case .isolated(let cpus): "CPU \(cpus) is isolated"
    }
  }

  /// A word for programs.
  public var code: String {
    switch self {
    case .absent: "class-absent"
    case .notAllowed: "class-not-allowed"
    case .classIsolated: "class-isolated"
    case .standIn: "stand-in"
    case .anything: "anything"
    case .partlyNotAllowed: "partly-not-allowed"
    case .noneAllowed: "none-allowed"
    case .isolated: "isolated"
    }
  }
}

/// What a request comes to on this machine.
public struct Placement: Equatable, Sendable {
  /// What was asked for.
  public var request: CPURequest
  /// The CPUs it gets; empty only when no CPU is online.
  public var cpus: CPUSet
  /// The class that they are of; nil: of any, or given by number.
  public var coreClass: CoreClass?
  /// Why they are not those asked for; empty when they are.
  public var reasons: [PlacementReason]

  /// A placement.
  public init(request: CPURequest, cpus: CPUSet, coreClass: CoreClass? = nil, reasons: [PlacementReason] = []) {
    self.request = request
    self.cpus = cpus
    self.coreClass = coreClass
    self.reasons = reasons
  }

  /// The reasons in one line; empty when there are none.
  public var explanation: String { reasons.map(\.text).joined(separator: "; ") }
}

extension Topology {
  /// The CPUs that programs may use by class: the allowed ones but for isolated ones, as long as any are left.
  public var schedulable: CPUSet {
    let rest = allowed.subtracting(isolated)
    return rest.isEmpty ? allowed : rest
  }

  /// What a request comes to here.
  /// - Parameter onePerCore: only one CPU of each core, so that no two of its threads share one.
  public func placement(_ request: CPURequest, onePerCore: Bool = false) -> Placement {
    var placement = placement(allThreads: request)
    if onePerCore { placement.cpus = self.onePerCore(placement.cpus) }
    return placement
  }

  private func placement(allThreads request: CPURequest) -> Placement {
    switch request {
    case .any: return Placement(request: request, cpus: schedulable, reasons: [])
    case .cpus(let wanted):
      let granted = wanted.intersection(allowed)
      guard !granted.isEmpty else {
        return Placement(request: request, cpus: schedulable, reasons: [.noneAllowed(wanted), .anything])
      }
      let missing = wanted.subtracting(granted)
      return Placement(request: request, cpus: granted, reasons: missing.isEmpty ? [] : [.partlyNotAllowed(missing)])
    case .classes(let wanted):
      var reasons: [PlacementReason] = []
      var chain = wanted
      for standIn in wanted.last?.standIns ?? [] where !chain.contains(standIn) { chain.append(standIn) }
      for (index, coreClass) in chain.enumerated() {
        let all = classes[coreClass]
        let usable = all.intersection(schedulable)
        guard usable.isEmpty else {
          if index > 0 { reasons.append(.standIn(coreClass)) }
          let forbidden = all.subtracting(allowed)
          if !forbidden.isEmpty { reasons.append(.partlyNotAllowed(forbidden)) }
          let isolated = all.intersection(allowed).subtracting(usable)
          if !isolated.isEmpty { reasons.append(.isolated(isolated)) }
          return Placement(request: request, cpus: usable, coreClass: coreClass, reasons: reasons)
        }
        let isolated = all.intersection(allowed)
        reasons.append(
          all.isEmpty
            ? .absent(coreClass)
            : isolated.isEmpty ? .notAllowed(coreClass, all) : .classIsolated(coreClass, isolated))
      }
      return Placement(request: request, cpus: schedulable, reasons: reasons + [.anything])
    }
  }
}
