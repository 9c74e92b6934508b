/// In which order a configuration is started (and, reversed, stopped), and what is wrong with its dependencies.
public struct StartPlan: Equatable, Sendable {
  /// Indexes into `SupervisorSpec.programs`. Tiers start one after the other and stop in reverse order; inside a tier everything happens
  /// at once.
  public private(set) var tiers: [[Int]] = []
  /// Dependency cycles, each as the namespecs along it. Their programs would wait for each other forever.
  public private(set) var cycles: [[String]] = []
  /// Dependencies on names that no program has: index of the program, and the name.
  public private(set) var unknown: [UnknownDependency] = []

  /// A dependency on a name that no program has.
  public struct UnknownDependency: Equatable, Sendable {
    /// Index of the program that depends.
    public var program: Int
    /// The name.
    public var name: String
  }

  /// The plan for a configuration.
  public init(_ spec: SupervisorSpec) {}
}
