// The files that the server reads at start: postgresql.conf, pg_hba.conf and pg_ident.conf, from the configuration directory, with
// what is known only here.

import Glibc

/// Copies for the server, in V/.hivesup/server.
struct ServerFiles: Equatable {
  var configuration: String
  var hba: String
  var ident: String

  /// Reads the files, as root where we still are that: a checkout in root's home is out of the server's reach.
  struct Sources {
    var configuration: [UInt8]
    var hba: [UInt8]
    var ident: String

    init(_ directory: String) throws(Failure) {
      func read(_ name: String) throws(Failure) -> [UInt8] {
        guard let bytes = try FileSystem.read(Path.join(directory, name)) else {
          throw Failure(
            .configuration, "cannot read \(Path.join(directory, name)): there is no such file",
            remedy: "set HIVE_ETC to a directory with postgresql.conf, pg_hba.conf and pg_ident.conf")
        }
        return bytes
      }
      configuration = try read("postgresql.conf")
      hba = try read("pg_hba.conf")
      ident = String(decoding: try read("pg_ident.conf"), as: UTF8.self)
      try HBAFile.check(hba, path: Path.join(directory, "pg_hba.conf"))
    }
  }

  /// Writes the copies. `roles`: whom `users` may be on the socket.
  init(_ sources: Sources, volume: Volume, users: [String], roles: [String]) throws(Failure) {
    let directory = volume.serverFiles
    try FileSystem.makeDirectories(directory, mode: 0o700)
    configuration = Path.join(directory, "postgresql.conf")
    hba = Path.join(directory, "pg_hba.conf")
    ident = Path.join(directory, "pg_ident.conf")
    // What the heat had braked ends with the server that it braked.
    let brakes = Path.join(directory, ThermalBrakes.directoryName)
    try FileSystem.makeDirectories(brakes, mode: 0o700)
    try FileSystem.writeAtomically(
      Path.join(brakes, ThermalBrakes.fileName), ThermalBrakes().text(.normal, celsius: nil).utf8, mode: 0o600)
    try FileSystem.writeAtomically(
      configuration, sources.configuration + Array(ThermalBrakes.includeLine.utf8), mode: 0o600)
    try FileSystem.writeAtomically(hba, sources.hba, mode: 0o600)
    let map = ServerFiles.identMap(users: users, roles: roles)
    try FileSystem.writeAtomically(ident, (sources.ident + "\n" + map).utf8, mode: 0o600)
  }

  /// One line for each user and role.
  static func identMap(users: [String], roles: [String]) -> String {
    users.flatMap { user in roles.map { role in "hive \(quoted(user)) \(quoted(role))\n" } }.joined()
  }

  /// A token of pg_hba.conf and pg_ident.conf: in double quotes no keyword and no regular expression.
  static func quoted(_ token: String) -> String {
    var text = "\""
    for scalar in token.unicodeScalars {
      if scalar == "\"" { text += "\"\"" } else { text.unicodeScalars.append(scalar) }
    }
    return text + "\""
  }

  /// An item of a list setting such as unix_socket_directories: quoted where it has a comma or space.
  static func listItem(_ path: String) -> String {
    path.contains { $0 == "," || $0 == " " || $0 == "\"" } ? quoted(path) : path
  }
}
