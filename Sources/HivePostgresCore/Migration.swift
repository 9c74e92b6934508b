// The versioned SQL files of a role, and what may be done with them given what a database has seen.

/// One file `NNNN_name.sql`.
public struct Migration: Equatable, Sendable {
  /// NNNN.
  public var version: Int
  /// The file's name without version and extension.
  public var name: String
  /// What is run.
  public var sql: String
  /// SHA-256 of the file, hexadecimal.
  public var checksum: String

  init(fileName: String, content: [UInt8]) throws(Failure) {
    let stem = fileName.dropLast(".sql".count)
    let digits = stem.prefix { $0.isASCII && $0.isNumber }
    let rest = stem.dropFirst(digits.count)
    guard digits.count == 4, let version = Int(digits), version > 0, rest.first == "_", rest.count > 1 else {
      throw Failure(
        .configuration, "cannot use the migration \(fileName): its name is not like 0001_what_it_does.sql",
        remedy: "rename it")
    }
    guard let sql = String(validating: content, as: UTF8.self), !content.contains(0) else {
      throw Failure(.configuration, "cannot use the migration \(fileName): it is no UTF-8 text", remedy: "convert it")
    }
    self.version = version
    name = String(rest.dropFirst())
    self.sql = sql
    checksum = SHA256.hexadecimal(content)
  }

  /// "0001_name".
  public var title: String {
    let digits = String(version)
    return String(repeating: "0", count: max(0, 4 - digits.count)) + digits + "_" + name
  }

  /// All of a directory, by version.
  static func read(_ directory: String) throws(Failure) -> [Migration] {
    var found: [Migration] = []
    for name in try FileSystem.list(directory) where name.hasSuffix(".sql") {
      let path = Path.join(directory, name)
      guard let content = try FileSystem.read(path) else { continue }
      let migration = try Migration(fileName: name, content: content)
      if let other = found.first(where: { $0.version == migration.version }) {
        throw Failure(
          .configuration,
          "cannot order the migrations \(other.title) and \(migration.title): they have the same number",
          remedy: "renumber the one that no database has seen")
      }
      found.append(migration)
    }
    return found.sorted { $0.version < $1.version }
  }

  /// A row of schema_migrations.
  struct Applied: Equatable {
    var version: Int
    var name: String
    var checksum: String
  }

  /// Those still to run. Throws where files and database contradict each other: nothing is run then.
  static func pending(files: [Migration], applied: [Applied]) throws(Failure) -> [Migration] {
    for row in applied {
      guard let file = files.first(where: { $0.version == row.version }) else {
        throw Failure(
          .configuration,
          "cannot migrate: the database has migration \(row.version) (\(row.name)), and there is no file for it",
          remedy: "this is an older release than the one that was here: run that, or restore a backup from before")
      }
      guard file.checksum == row.checksum else {
        throw Failure(
          .configuration, "cannot migrate: \(file.title).sql was changed after it had run on this database",
          remedy: "restore the file (sha256 \(row.checksum)) and put the change into a new migration")
      }
    }
    let last = applied.map(\.version).max() ?? 0
    let pending = files.filter { file in !applied.contains { $0.version == file.version } }
    if let late = pending.first(where: { $0.version < last }) {
      throw Failure(
        .configuration,
        "cannot migrate: \(late.title).sql is new, but migration \(last) has already run on this database",
        remedy: "give it a number above \(last)")
    }
    return pending
  }
}
