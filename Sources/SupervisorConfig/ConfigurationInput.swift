// Everything that loading a configuration needs to know of the world. All of it is injected: the parser itself does no
// I/O, so every rule can be tested without a file, a user or a clock.

/// The world as the configuration sees it. `ConfigurationInput.live(path:)` is the real one.
public struct ConfigurationInput {
  /// The main file. Relative paths are relative to `workingDirectory`.
  public var path: String
  /// The supervisor's own environment, in any order: what children inherit, and what `%(ENV_name)s` expands to.
  public var environment: [(String, String)]
  /// uname(2)'s node name, for `%(host_node_name)s`.
  public var hostName: String
  /// The supervisor's working directory, absolute.
  public var workingDirectory: String
  /// The supervisor's effective user id.
  public var effectiveUserID: UInt32
  /// A file's bytes.
  public var readFile: (String) throws(FileProblem) -> [UInt8]
  /// The names in a directory without `.` and `..`, in any order. nil: not a directory, or not readable.
  public var listDirectory: (String) -> [String]?
  /// Whether the path names anything at all (a dangling symbolic link counts).
  public var fileExists: (String) -> Bool
  /// Whether the path names a directory.
  public var directoryExists: (String) -> Bool
  /// The user with this name, or with this id when the text is a number.
  public var user: (String) -> UserRecord?
  /// Whether a group with this name, or with this id when the text is a number, exists.
  public var groupExists: (String) -> Bool
  /// The TZif file of an IANA zone name. nil: there is none.
  public var zoneInformation: (String) -> [UInt8]?

  /// An input of which nothing exists but what the closures say.
  public init(
    path: String, environment: [(String, String)], hostName: String, workingDirectory: String, effectiveUserID: UInt32,
    readFile: @escaping (String) throws(FileProblem) -> [UInt8],
    listDirectory: @escaping (String) -> [String]? = { _ in nil },
    fileExists: @escaping (String) -> Bool = { _ in false },
    directoryExists: @escaping (String) -> Bool = { _ in false },
    user: @escaping (String) -> UserRecord? = { _ in nil },
    groupExists: @escaping (String) -> Bool = { _ in false },
    zoneInformation: @escaping (String) -> [UInt8]? = { _ in nil }
  ) {
    self.path = path
    self.environment = environment
    self.hostName = hostName
    self.workingDirectory = workingDirectory
    self.effectiveUserID = effectiveUserID
    self.readFile = readFile
    self.listDirectory = listDirectory
    self.fileExists = fileExists
    self.directoryExists = directoryExists
    self.user = user
    self.groupExists = groupExists
    self.zoneInformation = zoneInformation
  }

  /// Whether the supervisor runs as root, and so may become any user.
  public var isRoot: Bool { effectiveUserID == 0 }
}

/// Why a file's bytes are not there.
public enum FileProblem: Error, Equatable, Sendable {
  /// Nothing has this name.
  case absent
  /// It is a directory.
  case directory
  /// It is larger than `bytes`.
  case tooLarge(bytes: Int)
  /// The system's own words, e.g. `Permission denied`.
  case system(String)
}

/// A user, as passwd(5) has it.
public struct UserRecord: Equatable, Sendable {
  /// The login name.
  public var name: String
  /// The user id.
  public var userID: UInt32
  /// The primary group's id.
  public var groupID: UInt32
  /// The home directory.
  public var home: String

  /// A user.
  public init(name: String, userID: UInt32, groupID: UInt32, home: String) {
    self.name = name
    self.userID = userID
    self.groupID = groupID
    self.home = home
  }
}
