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
  /// The same beside V, in the directory that it is mounted in: from 18 on the official image's volume is mounted one higher.
  public var beside: [OtherLayout] = []
  /// Names in V that are neither ours nor a filesystem's: of no interest once there is a cluster.
  public var foreign: [String] = []

  /// A cluster elsewhere in the volume.
  public struct OtherLayout: Equatable, Sendable {
    /// Relative to where it was found.
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
    survey.otherLayouts = try Volume.otherLayouts(in: volume.root).filter {
      Path.join(volume.root, $0.path) != directory
    }
    guard survey.data == .empty, state == nil else { return survey }
    survey.beside = ((try? Volume.otherLayouts(in: Path.parent(volume.root))) ?? []).filter {
      $0.path.hasSuffix("/docker")
    }
    if !volume.isGiven { survey.foreign = try foreignNames(volume) }
    return survey
  }

  /// Half a cluster, or somebody's documents: nothing to begin a cluster beside. No name of a cluster begins with a dot, and what
  /// does is mostly the storage's own (`.snapshot`). An empty `data` is an image's: what an engine has put into a volume that was
  /// mounted at /var/lib/postgresql.
  private static func foreignNames(_ volume: Volume) throws(Failure) -> [String] {
    let names = try FileSystem.list(volume.root).filter { name in
      !name.hasPrefix(".") && !Volume.ignoredNames.contains(name) && !name.hasPrefix("pgdata.broken-")
        && !Path.isInside(volume.dataDirectory, Path.join(volume.root, name))
    }
    let data = Path.join(volume.root, "data")
    guard names.contains("data"), try FileSystem.status(data, follow: false)?.isDirectory == true,
      // One that cannot be looked into counts as full.
      (try? FileSystem.list(data))?.isEmpty == true
    else { return names }
    return names.filter { $0 != "data" }
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

  /// What can be refused without looking into pg_control: asked before anything is changed, be it an owner or a mode.
  func refusal(_ volume: Volume, _ installation: PostgresInstallation, _ surroundings: Surroundings) -> Failure? {
    let directory = volume.dataDirectory
    switch data {
    case .notDirectory:
      return Failure(
        .configuration, "cannot use \(directory): it is not a directory",
        remedy: "remove it or set PGDATA to another place")
    case .empty:
      return refusalOfEmpty(volume, installation, surroundings)
    case .foreign(let names):
      if let state, state.phase == .installing, inPlaceStaging { return nil }
      return Failure(
        .configuration, "cannot make a cluster in \(directory): it is not empty (\(names.joined(separator: ", ")), …)",
        remedy: "mount configuration elsewhere (HIVE_ETC), or set PGDATA to a directory inside \(volume.root)")
    case .cluster(let version, _, _):
      guard version == String(installation.majorVersion) else {
        return wrongVersion(directory, version, installation, surroundings)
      }
      return nil
    }
  }

  private func refusalOfEmpty(
    _ volume: Volume, _ installation: PostgresInstallation, _ surroundings: Surroundings
  ) -> Failure? {
    let directory = volume.dataDirectory
    if let state {
      guard state.phase != .installing else { return nil }
      return Failure(
        .configuration,
        "cannot find the cluster \(state.systemIdentifier) of \(state.since) in \(directory): nothing is there",
        remedy: "mount the volume that has it, restore a backup, or remove \(volume.state) to start empty")
    }
    if let other = otherLayouts.first {
      let path = Path.join(volume.root, other.path)
      if otherLayouts.count == 1, other.version != String(installation.majorVersion) {
        return wrongVersion(path, other.version, installation, surroundings)
      }
      let all = otherLayouts.map { "\($0.path) (\($0.version))" }.joined(separator: ", ")
      return Failure(
        .configuration, "cannot make a cluster in \(directory): the volume has clusters already: \(all)",
        remedy: "set PGDATA to the one to use, for example PGDATA=\(path)")
    }
    if let other = beside.first {
      let parent = Path.parent(volume.root)
      return Failure(
        .configuration,
        "cannot make a cluster in \(directory): PostgreSQL \(other.version) has one in \(Path.join(parent, other.path)), beside the volume",
        remedy: surroundings.mountBeside(parent))
    }
    if let failure = surroundings.refusalBelowAnother { return failure }
    guard foreign.isEmpty else {
      let names = foreign.prefix(3).joined(separator: ", ") + (foreign.count > 3 ? ", …" : "")
      return Failure(
        .configuration,
        "cannot make a cluster in the volume \(volume.root): it is not empty (\(names)) and has no cluster",
        remedy:
          "give an empty volume, restore the cluster that was in it, or set PGDATA=\(directory) to make one beside these files"
      )
    }
    return nil
  }

  /// The decision for these facts.
  func decide(
    volume: Volume, installation: PostgresInstallation, surroundings: Surroundings, quarantine: Bool
  ) -> Decision {
    if let failure = refusal(volume, installation, surroundings) { return .refuse(failure) }
    let placement: Placement = fixedDirectory ? .inPlace : .rename
    switch data {
    case .cluster(_, let control, let missing):
      return decideCluster(volume, placement, installation, quarantine, (control, missing))
    case .empty, .foreign, .notDirectory:
      // Refused above but for what an installation left: a cluster in the staging directory, or in the middle of the way.
      guard let state else { return .initialise(placement) }
      if data != .empty { return .finish(state, .inPlace) }
      let staged = placement == .rename ? staging : inPlaceStaging
      return staged ? .finish(state, placement) : .initialise(placement)
    }
  }

  private func decideCluster(
    _ volume: Volume, _ placement: Placement, _ installation: PostgresInstallation, _ quarantine: Bool,
    _ cluster: (control: ControlData?, missing: [String])
  ) -> Decision {
    let directory = volume.dataDirectory
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

  private func wrongVersion(
    _ path: String, _ version: String, _ installation: PostgresInstallation, _ surroundings: Surroundings
  ) -> Failure {
    guard Int(version) != nil else {
      return Failure(
        .configuration, "cannot use the cluster in \(path): its PG_VERSION is damaged", remedy: "restore a backup")
    }
    return Failure(
      .configuration,
      "cannot use the cluster in \(path): PostgreSQL \(version) made it, and this is \(installation.version)",
      remedy:
        "\(surroundings.otherVersion(version)), or move the data: pg_dumpall with version \(version), then restore it here into "
        + "an empty volume; nothing was changed")
  }
}
