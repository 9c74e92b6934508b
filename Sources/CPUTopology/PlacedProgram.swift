// A program on the machine, for the drawing.

/// Where a program runs.
public struct PlacedProgram: Equatable, Sendable {
  /// Its name.
  public var name: String
  /// Its main process; nil: none.
  public var pid: Int?
  /// What its configuration asks for, e.g. `low-power,efficiency`; nil: nothing.
  public var requested: String?
  /// The CPUs on which it may run; nil when that cannot be found out.
  public var cpus: CPUSet?
  /// Why these are not the ones it asked for; empty when they are.
  public var explanation: String

  /// A program.
  public init(name: String, pid: Int?, requested: String? = nil, cpus: CPUSet?, explanation: String = "") {
    self.name = name
    self.pid = pid
    self.requested = requested
    self.cpus = cpus
    self.explanation = explanation
  }
}
