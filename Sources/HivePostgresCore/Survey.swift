// What is in a volume, and what to do about it: first the facts, then one function from facts to decision. Nothing here changes
// anything. The table is in docs/postgres.md, "The data directory".

import Glibc

/// What was seen in a volume.
public struct Survey: Equatable, Sendable {
  /// The data directory itself.
  public var data: Contents
  /// What state.json says.
  public var state: InstallationState?
  /// V/.hivesup/init is there.
  public var staging: Bool
  /// DATA/.hivesup-init is there.
  public var inPlaceStaging: Bool
  /// The data directory cannot be replaced by a rename: it is V, a mount point or a symbolic link.
  public var fixedDirectory: Bool
  /// Directories inside V that hold a cluster in a layout of the official image ("18/docker", "data").
  public var otherLayouts: [OtherLayout] = []

  /// A cluster elsewhere in the volume.
  public struct OtherLayout: Equatable, Sendable {
    /// Relative to V.
    public var path: String
    /// PG_VERSION's content.
    public var version: String
  }

  /// What a data directory holds.
  public enum Contents: Equatable, Sendable {
    /// Not there, or with nothing in it that counts.
    case empty
    /// Other files: the first of their names.
    case foreign([String])
    /// PG_VERSION is there.
    case cluster(version: String, control: ControlData?, missing: [String])
    /// Not a directory.
    case notDirectory
  }

  /// What to do.
  public enum Decision: Equatable, Sendable {
    /// Nothing: the cluster is ours and complete.
    case ready(InstallationState)
    /// A complete cluster is in the staging directory or half-way out of it: move the rest.
    case finish(InstallationState, Placement)
    /// Make a new cluster. What an earlier attempt left in the staging directory is deleted.
    case initialise(Placement)
    /// Move the broken directory aside, then make a new one.
    case quarantine
    /// Take over a cluster that others made.
    case adopt
    /// Stop.
    case refuse(Failure)
  }

  /// How a new cluster gets to its place.
  public enum Placement: Equatable, Sendable {
    /// One rename of the whole directory.
    case rename
    /// Entry by entry into a directory that cannot be renamed, PG_VERSION last.
    case inPlace
  }

  /// Looks. `control` reads a cluster's pg_control, nil when it cannot be read.
  static func take(
    _ volume: Volume, state: InstallationState?, control: (String) throws(Failure) -> ControlData?
  ) throws(Failure) -> Survey {
    let directory = volume.dataDirectory
    let link = try FileSystem.status(directory, follow: false)?.isSymbolicLink ?? false
    var survey = Survey(
      data: try contents(directory, control), state: state, staging: try FileSystem.exists(volume.staging),
      inPlaceStaging: try FileSystem.exists(volume.inPlaceStaging),
      fixedDirectory: try FileSystem.isMountPoint(directory) || link || directory == volume.root)
    for name in try FileSystem.list(volume.root) {
      let isVersion = name.utf8.allSatisfy { (0x30...0x39).contains($0) }
      let paths = isVersion ? ["\(name)/docker", "\(name)/data"] : name == "data" || name == "pgdata" ? [name] : []
      for path in paths where Path.join(volume.root, path) != directory {
        guard let text = try FileSystem.readText(Path.join(volume.root, "\(path)/PG_VERSION")) else { continue }
        survey.otherLayouts.append(OtherLayout(path: path, version: text.trimmingTrailingNewlines))
      }
    }
    return survey
  }

  private static func contents(
    _ directory: String, _ control: (String) throws(Failure) -> ControlData?
  ) throws(Failure) -> Contents {
    guard let status = try FileSystem.status(directory) else {
      // A dangling link is something that somebody meant.
      return try FileSystem.exists(directory) ? .notDirectory : .empty
    }
    guard status.isDirectory else { return .notDirectory }
    let names = try FileSystem.list(directory).filter { !Volume.ignoredNames.contains($0) }
    guard names.contains("PG_VERSION"), let version = try FileSystem.readText(Path.join(directory, "PG_VERSION")) else {
      return names.isEmpty ? .empty : .foreign(Array(names.prefix(3)))
    }
    var missing: [String] = []
    // template1, template0 and postgres have these numbers since 15 (src/include/catalog/pg_database.dat).
    for name in ["base/1/PG_VERSION", "base/4/PG_VERSION", "base/5/PG_VERSION"]
    where try !FileSystem.exists(Path.join(directory, name)) {
      missing.append(name)
    }
    var facts: ControlData?
    if try FileSystem.exists(Path.join(directory, "global/pg_control")) {
      facts = try control(directory)
    } else {
      missing.append("global/pg_control")
    }
    return .cluster(version: version.trimmingTrailingNewlines, control: facts, missing: missing)
  }

  /// The decision for these facts.
  public func decide(volume: Volume, installation: PostgresInstallation, quarantine: Bool) -> Decision {
    let placement: Placement = fixedDirectory ? .inPlace : .rename
    let directory = volume.dataDirectory
    switch data {
    case .notDirectory:
      return .refuse(
        Failure(
          .configuration, "cannot use \(directory): it is not a directory",
          remedy: "remove it or set PGDATA to another place"))
    case .empty:
      return decideEmpty(volume, placement, installation)
    case .foreign(let names):
      if let state, state.phase == .installing, inPlaceStaging { return .finish(state, .inPlace) }
      return .refuse(
        Failure(
          .configuration,
          "cannot make a cluster in \(directory): it is not empty (\(names.joined(separator: ", ")), …)",
          remedy: "mount configuration elsewhere (HIVE_ETC), or set PGDATA to a directory inside \(volume.root)"))
    case .cluster(let version, let control, let missing):
      return decideCluster(volume, placement, installation, quarantine, (version, control, missing))
    }
  }

  private func decideEmpty(_ volume: Volume, _ placement: Placement, _ installation: PostgresInstallation) -> Decision {
    if let state {
      let staged = placement == .rename ? staging : inPlaceStaging
      switch state.phase {
      case .installing: return staged ? .finish(state, placement) : .initialise(placement)
      case .initialised, .adopted:
        return .refuse(
          Failure(
            .configuration,
            "cannot find the cluster \(state.systemIdentifier) of \(state.since) in \(volume.dataDirectory): nothing is there",
            remedy: "mount the volume that has it, restore a backup, or remove \(volume.state) to start empty"))
      }
    }
    if let other = otherLayouts.first {
      let path = Path.join(volume.root, other.path)
      guard other.version == String(installation.majorVersion) else {
        return .refuse(wrongVersion(path, other.version, installation))
      }
      return .refuse(
        Failure(
          .configuration,
          "cannot make a cluster in \(volume.dataDirectory): the volume has one of this version in \(path)",
          remedy: "set PGDATA=\(path) to use it"))
    }
    return .initialise(placement)
  }

  private func decideCluster(
    _ volume: Volume, _ placement: Placement, _ installation: PostgresInstallation, _ quarantine: Bool,
    _ cluster: (version: String, control: ControlData?, missing: [String])
  ) -> Decision {
    let directory = volume.dataDirectory
    guard cluster.version == String(installation.majorVersion) else {
      return .refuse(wrongVersion(directory, cluster.version, installation))
    }
    guard let control = cluster.control, cluster.missing.isEmpty else {
      if quarantine && placement == .rename { return .quarantine }
      let what =
        cluster.missing.isEmpty ? "pg_control is damaged" : "\(cluster.missing.joined(separator: ", ")) is missing"
      return .refuse(
        Failure(
          .configuration, "cannot use the cluster in \(directory): \(what)",
          remedy: placement == .inPlace
            ? "restore a backup, or empty the directory to start with a new cluster"
            : "restore a backup, or set HIVESUP_QUARANTINE=1 once to move it aside and start with a new cluster"))
    }
    guard control.blockBytes == installation.features.blockBytes else {
      return .refuse(
        Failure(
          .configuration,
          "cannot use the cluster in \(directory): its pages have \(control.blockBytes) bytes, this build's \(installation.features.blockBytes)",
          remedy: "name the build that made it in HIVE_PG_BINDIR"))
    }
    guard let state else { return .adopt }
    guard state.systemIdentifier == control.systemIdentifier else {
      return .refuse(
        Failure(
          .configuration,
          "cannot use the cluster in \(directory): its identifier is \(control.systemIdentifier), and \(state.systemIdentifier) was here at \(state.since)",
          remedy: "mount the right volume; when the cluster was replaced on purpose, remove \(volume.state)"))
    }
    return state.phase == .installing ? .finish(state, placement) : .ready(state)
  }

  private func wrongVersion(_ path: String, _ version: String, _ installation: PostgresInstallation) -> Failure {
    Failure(
      .configuration,
      "cannot use the cluster in \(path): PostgreSQL \(version) made it, and this is \(installation.version)",
      remedy: "set HIVE_PG_BINDIR to PostgreSQL \(version) (with pgvector), or move the data: pg_dumpall with version "
        + "\(version), then restore it here into an empty volume")
  }
}
