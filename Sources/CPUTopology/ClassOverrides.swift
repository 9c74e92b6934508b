// HIVE_CPU_PERFORMANCE, HIVE_CPU_EFFICIENCY and HIVE_CPU_LOW_POWER: the classes by hand, for machines that lie or say
// nothing.

/// Everything that is wrong with the overrides.
public struct ClassOverrideError: Error, Equatable, Sendable {
  /// A sentence for each, with the remedy.
  public var messages: [String]

  /// An error.
  public init(messages: [String]) { self.messages = messages }
}

/// What the environment says about the classes. A variable names all CPUs of its class; a class whose variable is not
/// set, or is empty, is as detected.
public struct ClassOverrides: Equatable, Sendable {
  /// HIVE_CPU_PERFORMANCE; nil: not set.
  public var performance: CPUSet?
  /// HIVE_CPU_EFFICIENCY; nil: not set.
  public var efficiency: CPUSet?
  /// HIVE_CPU_LOW_POWER; nil: not set.
  public var lowPower: CPUSet?

  /// No overrides.
  public init() {}

  /// Whether there are none.
  public var isEmpty: Bool { performance == nil && efficiency == nil && lowPower == nil }

  /// The override of a class.
  public subscript(_ coreClass: CoreClass) -> CPUSet? {
    get {
      switch coreClass {
      case .performance: performance
      case .efficiency: efficiency
      case .lowPower: lowPower
      }
    }
    set {
      switch coreClass {
      case .performance: performance = newValue
      case .efficiency: efficiency = newValue
      case .lowPower: lowPower = newValue
      }
    }
  }

  /// The variable of a class.
  public static func variable(_ coreClass: CoreClass) -> String {
    switch coreClass {
    case .performance: "HIVE_CPU_PERFORMANCE"
    case .efficiency: "HIVE_CPU_EFFICIENCY"
    case .lowPower: "HIVE_CPU_LOW_POWER"
    }
  }

  /// Reads the environment.
  /// - Parameters:
  ///   - possible: the CPUs that the machine can have.
  ///   - environment: the value of a variable; nil when it is not set.
  /// - Throws: for texts that are no lists, CPUs that the machine does not have, and CPUs in two classes; all of it at
  ///   once.
  public init(possible: CPUSet, environment: (String) -> String?) throws(ClassOverrideError) {
    var messages: [String] = []
    for coreClass in CoreClass.allCases {
      let variable = Self.variable(coreClass)
      guard let value = environment(variable) else { continue }
      let bytes = Array(value.utf8).trimmingSpace
      guard !bytes.isEmpty else { continue }
      if bytes.elementsEqual("none".utf8) {
        self[coreClass] = []
        continue
      }
      let cpus: CPUSet
      do throws(CPUSetError) {
        cpus = try CPUSet(list: bytes)
      } catch {
        let text = harmlessText(bytes, limit: 64)
        messages.append(
          "cannot read \(variable)='\(text)': \(error.reason) at byte \(error.offset); write CPUs as 0-3,8 or 'none'")
        continue
      }
      let unknown = cpus.subtracting(possible)
      if !unknown.isEmpty {
        messages.append(
          "cannot use \(variable)=\(cpus): this machine has no CPU \(unknown); its CPUs are \(possible)")
      }
      for other in CoreClass.allCases where other != coreClass {
        guard let taken = self[other]?.intersection(cpus), !taken.isEmpty else { continue }
        messages.append(
          "cannot use \(variable)=\(cpus): CPU \(taken) is in \(Self.variable(other)) too; name each CPU once")
      }
      self[coreClass] = cpus
    }
    if !messages.isEmpty { throw ClassOverrideError(messages: messages) }
  }

  /// The classes as they are then. CPUs that an override takes leave the class that was detected for them; CPUs of an
  /// overridden class that its variable does not name are unclassified.
  func applied(to detected: CoreClasses, online: CPUSet) -> CoreClasses {
    let named = CoreClass.allCases.reduce(into: CPUSet()) { $0.formUnion(self[$1] ?? []) }
    var classes = CoreClasses(unclassified: detected.unclassified.subtracting(named))
    for coreClass in CoreClass.allCases {
      let others = detected[coreClass].subtracting(named)
      if let cpus = self[coreClass] {
        classes[coreClass] = cpus.intersection(online)
        classes.unclassified.formUnion(others)
      } else {
        classes[coreClass] = others
      }
    }
    return classes
  }
}
