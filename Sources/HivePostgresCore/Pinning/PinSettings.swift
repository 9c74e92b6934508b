// HIVE_PG_PIN and HIVE_PG_PIN_…: which core class or which CPUs each role of the server is asked for.

import CPUTopology

/// Where the processes of a group are to run.
public enum PinWish: Equatable, Sendable {
  /// Wherever the container may.
  case any
  /// Where the postmaster and the backends run.
  case asBackends
  /// On the first of these classes of which a CPU may be used.
  case classes([CoreClass])
  /// On these CPUs.
  case cpus(CPUSet)
  /// On these CPUs; where none of them may be used, on one of these classes.
  case seats(CPUSet, otherwise: [CoreClass])

  /// As a person writes it.
  public var text: String {
    switch self {
    case .any: "any"
    case .asBackends: "backends"
    case .classes(let classes): CPURequest.classes(classes).text
    case .cpus(let cpus), .seats(let cpus, _): cpus.list
    }
  }

  /// Reads `any`, `backends`, `performance,efficiency` or `0-3,8`.
  init(_ text: String, of group: PinGroup) throws(Failure) {
    let words = text.split(separator: ",").map { $0.filter { $0 != " " && $0 != "\t" } }
    if words == ["any"] {
      self = .any
      return
    }
    if words == ["backends"], group != .backends {
      self = .asBackends
      return
    }
    let classes = words.compactMap(CoreClass.init(rawValue:))
    if !classes.isEmpty, classes.count == words.count {
      self = .classes(classes)
      return
    }
    guard let first = text.utf8.first(where: { $0 != 0x20 }), (0x30...0x39).contains(first) else {
      throw Failure(
        .usage, "cannot use \(group.variable)=\(text): it is neither a core class nor a list of CPUs",
        remedy: "give for example performance, low-power,efficiency, 0-3,8"
          + (group == .backends ? " or any" : ", any or backends (as those)"))
    }
    do throws(CPUSetError) {
      self = .cpus(try CPUSet(list: text))
    } catch {
      throw Failure(
        .usage, "cannot use \(group.variable)=\(text): \(error.reason) at byte \(error.offset)",
        remedy: "write CPUs as 0-3,8")
    }
  }
}

/// A table of wishes.
public enum PinProfile: String, CaseIterable, Sendable {
  /// Nothing is pinned, but for what has a variable of its own.
  case off
  /// Each role on the class that suits it.
  case byClass = "by-class"
  /// By single cores, for six performance, eight efficient and two low-power ones (Core Ultra 155H and its kind).
  case meteorLake = "meteor-lake"
}

/// What the environment says about pinning.
public struct PinSettings: Equatable, Sendable {
  /// `HIVE_PG_PIN`; nil: by-class where the machine has cores of different classes, else off.
  public var profile: PinProfile?
  /// `HIVE_PG_PIN_BACKENDS` and its kind.
  public var overrides: [PinGroup: PinWish] = [:]
  /// `HIVE_PG_PIN_SMT=one-per-core`: only one thread of each core of a class.
  public var onePerCore = false

  static let variable = "HIVE_PG_PIN"

  /// No variable is set.
  public init() {}

  /// Reads the environment. An empty variable counts as unset.
  /// - Throws: for a profile, a role or a place that does not exist.
  public init(environment: [String: String]) throws(Failure) {
    let names = environment.keys.filter { $0 == Self.variable || $0.hasPrefix(Self.variable + "_") }
    for name in names.sorted() {
      guard let value = environment[name], !value.isEmpty else { continue }
      if name == Self.variable {
        guard let profile = PinProfile(rawValue: value) else {
          throw Failure(
            .usage, "cannot use \(name)=\(value): there is no such profile",
            remedy: "give one of " + PinProfile.allCases.map(\.rawValue).joined(separator: ", "))
        }
        self.profile = profile
      } else if name == Self.variable + "_SMT" {
        guard value == "all" || value == "one-per-core" else {
          throw Failure(
            .usage, "cannot use \(name)=\(value): it is neither all nor one-per-core", remedy: "give one of them")
        }
        onePerCore = value == "one-per-core"
      } else if let group = PinGroup.allCases.first(where: { $0.variable == name }) {
        overrides[group] = try PinWish(value, of: group)
      } else {
        throw Failure(
          .usage, "cannot use \(name): there is no such role",
          remedy: "the roles are " + PinGroup.allCases.map { $0.rawValue.uppercased() }.joined(separator: ", "))
      }
    }
  }

  /// Whether anything is to be pinned on a machine.
  public func isOn(_ topology: Topology) -> Bool {
    !overrides.isEmpty || profile(on: topology) != .off
  }

  /// The profile that holds on a machine.
  public func profile(on topology: Topology) -> PinProfile {
    profile ?? (topology.classes.isHybrid ? .byClass : .off)
  }
}
