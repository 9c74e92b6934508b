// Where everything is inside the volume.

/// The paths inside a volume V.
public struct Volume: Equatable, Sendable {
  /// V.
  public let root: String
  /// Where the cluster is or will be.
  public let dataDirectory: String

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
  /// cluster (the official image's layout up to 17); else V/pgdata.
  init(settings: Settings, state: InstallationState?) throws(Failure) {
    root = settings.volume
    let usual = Path.join(root, "pgdata")
    if let given = settings.dataDirectory {
      dataDirectory = given
    } else if let recorded = state?.dataDirectory, Path.isInside(recorded, root) {
      dataDirectory = recorded
    } else if try !FileSystem.exists(usual), try FileSystem.exists(Path.join(root, "PG_VERSION")) {
      dataDirectory = root
    } else {
      dataDirectory = usual
    }
  }

  init(root: String, dataDirectory: String) {
    self.root = root
    self.dataDirectory = dataDirectory
  }
}
