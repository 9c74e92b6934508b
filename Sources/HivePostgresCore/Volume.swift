// Where everything is inside the volume.

/// The paths inside a volume V.
public struct Volume: Equatable, Sendable {
  /// V.
  public let root: String
  /// Where the cluster is or will be.
  public let dataDirectory: String
  /// `PGDATA` names it: whatever else is in V was meant to be there.
  let isGiven: Bool

  /// The directory that is ours.
  public static let privateName = ".hivesup"
  /// The staging directory inside a data directory that cannot be renamed.
  static let inPlaceStagingName = ".hivesup-init"
  /// What a new filesystem has in it, and what is ours: no reason to call a directory used.
  static let ignoredNames: Set<String> = ["lost+found", privateName, inPlaceStagingName]

  /// V/.hivesup.
  public var privateDirectory: String { Path.join(root, Volume.privateName) }
  /// The lock.
  public var lock: String { Path.join(privateDirectory, "lock") }
  /// What is known of the cluster.
  public var state: String { Path.join(privateDirectory, "state.json") }
  /// Where a cluster is made before it is renamed.
  var staging: String { Path.join(privateDirectory, "init") }
  /// Where a cluster is made when its directory cannot be renamed.
  var inPlaceStaging: String { Path.join(dataDirectory, Volume.inPlaceStagingName) }
  /// The file that is given up when the disk is full.
  var ballast: String { Path.join(privateDirectory, "ballast") }
  /// The generated password of the application's role.
  public var password: String { Path.join(privateDirectory, "password") }
  /// Configuration files as the server reads them.
  var serverFiles: String { Path.join(privateDirectory, "server") }

  /// The directory of the cluster: `PGDATA` where it is given; else where an earlier boot left it; else V itself when that is a
  /// cluster (the official image's layout up to 17); else the only cluster of another layout in V (that image's from 18 on,
  /// V/18/docker); else V/pgdata.
  init(settings: Settings, state: InstallationState?) throws(Failure) {
    root = settings.volume
    isGiven = settings.dataDirectory != nil
    let usual = Path.join(root, "pgdata")
    if let given = settings.dataDirectory {
      dataDirectory = given
    } else if let recorded = state?.dataDirectory, Path.isInside(recorded, root) {
      dataDirectory = recorded
    } else if try FileSystem.exists(usual) {
      dataDirectory = usual
    } else if try FileSystem.exists(Path.join(root, "PG_VERSION")) {
      dataDirectory = root
    } else {
      let others = try Volume.otherLayouts(in: root)
      dataDirectory = others.count == 1 ? Path.join(root, others[0].path) : usual
    }
  }

  init(root: String, dataDirectory: String) {
    self.root = root
    self.dataDirectory = dataDirectory
    isGiven = false
  }

  /// Clusters in V at the places where official images put them, seen from a volume that is mounted above them: MAJOR/docker from 18
  /// on, data before.
  static func otherLayouts(in root: String) throws(Failure) -> [Survey.OtherLayout] {
    var found: [Survey.OtherLayout] = []
    for name in try FileSystem.list(root) {
      let isVersion = name.utf8.allSatisfy { (0x30...0x39).contains($0) }
      let paths = isVersion ? ["\(name)/docker", "\(name)/data"] : name == "data" || name == "pgdata" ? [name] : []
      for path in paths {
        guard let text = try FileSystem.readText(Path.join(root, "\(path)/PG_VERSION")) else { continue }
        found.append(Survey.OtherLayout(path: path, version: text.trimmingTrailingNewlines))
      }
    }
    return found
  }
}
