// The CPUs that a process was started with, once it has confined itself to fewer: affinity has no memory, so what is allowed has to be asked for.

/// Where a process would run had it not moved itself.
public struct HomeCPUs: Equatable, Sendable {
  /// In which variable the supervisor tells its children, where it has moved itself.
  public static let variable = "HIVESUP_CPUS"

  /// What to ask the kernel for: the affinity that the process was started with, or every CPU that there can be where nothing but the cpuset
  /// limited it. The kernel takes out what the cpuset does not have.
  public let cpus: CPUSet

  private static let every = CPUSet(words: repeatElement(.max, count: CPUSet.capacity / 64))

  /// The calling thread's. It must not have moved yet.
  public init?() {
    guard let started = Affinity.current(), Affinity.set(Self.every) == 0 else { return nil }
    // Whoever has all that the cpuset has follows it when it grows.
    let isWhole = Affinity.current() == started
    _ = Affinity.set(started)
    cpus = isWhole ? Self.every : started
  }

  /// Reads the variable; nil for what is no list of CPUs.
  public init?(text: String) {
    guard text != "all" else {
      cpus = Self.every
      return
    }
    guard let list = try? CPUSet(list: text), !list.isEmpty else { return nil }
    cpus = list
  }

  /// For the variable: `all`, or a list.
  public var text: String { cpus == Self.every ? "all" : cpus.list }

  /// The CPUs that are allowed now. The calling thread asks for them and goes back to where it is; when that is gone meanwhile it stays.
  public func allowed() -> CPUSet? {
    guard let present = Affinity.current(), enter() == 0 else { return nil }
    let allowed = Affinity.current()
    _ = Affinity.set(present)
    return allowed
  }

  /// What to ask the kernel for in a child of the calling thread, which would be refused where nothing of `cpus` is left.
  public func forChild() -> CPUSet {
    guard cpus != Self.every, let allowed = allowed(), allowed.isDisjoint(with: cpus) else { return cpus }
    return Self.every
  }

  /// Takes the calling thread home; 0 or errno. Where nothing of it is left, every CPU that is allowed is.
  public func enter() -> Int32 { Affinity.set(cpus) == 0 ? 0 : Affinity.set(Self.every) }
}
