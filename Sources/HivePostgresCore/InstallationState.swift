// What must be remembered between two boots: V/.hivesup/state.json. Written whole or not at all (FileSystem.writeAtomically).

import ControlProtocol

/// What is known of the cluster in a volume.
public struct InstallationState: Equatable, Sendable {
  /// How far it got.
  public var phase: Phase
  /// Where the cluster is (or will be, while `installing`).
  public var dataDirectory: String
  /// Decimal, as pg_controldata prints it: tells a swapped volume.
  public var systemIdentifier: String
  /// PostgreSQL's major version.
  public var majorVersion: Int
  /// The bootstrap superuser.
  public var superuser: String
  /// When, as RFC 3339.
  public var since: String
  /// Scripts that ran at the first start.
  public var scripts: [Script] = []

  /// How far an installation got.
  public enum Phase: String, Sendable {
    /// Complete in the staging directory, being moved into place: only the move is left to do.
    case installing
    /// Made by us, in place.
    case initialised
    /// Found, checked and taken over.
    case adopted
  }

  /// A script of /docker-entrypoint-initdb.d.
  public struct Script: Equatable, Sendable {
    /// The file's name.
    public var name: String
    /// SHA-256 of its content, hexadecimal.
    public var checksum: String
  }

  private static let format: Int64 = 1

  /// The file's content.
  var json: [UInt8] {
    var writer = JSONWriter()
    writer.beginObject()
    writer.member("format", InstallationState.format)
    writer.member("phase", phase.rawValue)
    writer.member("data_directory", dataDirectory)
    writer.member("system_identifier", systemIdentifier)
    writer.member("major_version", majorVersion)
    writer.member("superuser", superuser)
    writer.member("since", since)
    writer.key("initdb_scripts")
    writer.beginArray()
    for script in scripts {
      writer.beginObject()
      writer.member("name", script.name)
      writer.member("sha256", script.checksum)
      writer.endObject()
    }
    writer.endArray()
    writer.endObject()
    writer.endLine()
    return writer.take()
  }

  /// Reads the file's content, or nil when it is not what we write.
  init?(parsing bytes: [UInt8]) {
    guard let root = try? JSONValue(parsing: bytes), root["format"]?.int == InstallationState.format,
      let phase = root["phase"]?.string.flatMap(Phase.init),
      let directory = root["data_directory"]?.string, directory.hasPrefix("/"),
      let identifier = root["system_identifier"]?.string,
      let major = root["major_version"]?.int.flatMap({ Int(exactly: $0) }),
      let superuser = root["superuser"]?.string, !superuser.isEmpty,
      let since = root["since"]?.string, let scripts = root["initdb_scripts"]?.array
    else { return nil }
    self.phase = phase
    self.dataDirectory = directory
    self.systemIdentifier = identifier
    self.majorVersion = major
    self.superuser = superuser
    self.since = since
    for script in scripts {
      guard let name = script["name"]?.string, let checksum = script["sha256"]?.string else { return nil }
      self.scripts.append(Script(name: name, checksum: checksum))
    }
  }

  init(
    phase: Phase, dataDirectory: String, systemIdentifier: String, majorVersion: Int, superuser: String, since: String,
    scripts: [Script] = []
  ) {
    self.phase = phase
    self.dataDirectory = dataDirectory
    self.systemIdentifier = systemIdentifier
    self.majorVersion = majorVersion
    self.superuser = superuser
    self.since = since
    self.scripts = scripts
  }

  /// The state of a volume, or nil where none was written. A file that cannot be understood is an error: guessing could cost data.
  static func read(_ path: String) throws(Failure) -> InstallationState? {
    guard let bytes = try FileSystem.read(path) else { return nil }
    guard let state = InstallationState(parsing: bytes) else {
      throw Failure(
        .configuration, "cannot understand \(path): it was not written by this version of hive-postgres",
        remedy: "when the cluster beside it is sound, remove the file: it is then examined and adopted")
    }
    return state
  }

  /// Writes it.
  func write(_ path: String) throws(Failure) {
    try FileSystem.writeAtomically(path, json, mode: 0o600)
  }
}
