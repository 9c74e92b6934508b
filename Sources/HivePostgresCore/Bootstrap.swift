// The first start's own work: POSTGRES_DB and the scripts of /docker-entrypoint-initdb.d, against a server that only we can
// reach: a socket in a private directory, no TCP, and an hba file of its own (peer, mapped to every role).

import CHivePostgres
import Glibc

/// Runs a server on a staged cluster and the scripts against it.
struct Bootstrap {
  let workspace: Workspace
  /// The cluster.
  let staging: String

  private var image: Settings.ImageSettings { workspace.settings.image }
  private var installation: PostgresInstallation { workspace.installation }
  private static let port = 5432

  /// Does nothing, and costs nothing, when no database is to be made and no script is there. Returns the scripts that ran.
  func runIfNeeded() throws(Failure) -> [InstallationState.Script] {
    let scripts = try self.scripts()
    let wantsDatabase = image.database != "postgres" && image.database != "template1"
    guard wantsDatabase || !scripts.isEmpty else { return [] }
    let directory = try privateDirectory()
    defer { try? FileSystem.remove(directory) }
    let server = try start(directory)
    defer { server.release() }
    do throws(Failure) {
      try waitUntilReady(server)
      if wantsDatabase { try makeDatabase(directory) }
      var done: [InstallationState.Script] = []
      for name in scripts {
        try workspace.interruption.check()
        try run(name, directory)
        let content = try FileSystem.read(Path.join(image.scriptDirectory, name), limit: 1 << 30) ?? []
        done.append(InstallationState.Script(name: name, checksum: SHA256.hexadecimal(content)))
      }
      try stop(server)
      return done
    } catch {
      server.quit(within: .milliseconds(600))
      throw error
    }
  }

  /// Names in the order in which they run: by bytes, whatever the locale.
  private func scripts() throws(Failure) -> [String] {
    do throws(Failure) {
      var names: [String] = []
      for name in try FileSystem.list(image.scriptDirectory) {
        if Bootstrap.kind(name) != nil {
          names.append(name)
        } else {
          workspace.console.info(
            "ignoring \(Path.join(image.scriptDirectory, name)): it ends in none of .sh .sql .sql.gz .sql.xz .sql.zst")
        }
      }
      return names
    } catch {
      throw Failure(
        .unusable, error.message,
        remedy: "make \(image.scriptDirectory) and what is in it readable for \(workspace.user.name)")
    }
  }

  /// How a script is run.
  enum Kind: Equatable {
    case shell
    case sql
    /// SQL after this program has unpacked it.
    case packed(String)
  }

  static func kind(_ name: String) -> Kind? {
    if name.hasSuffix(".sh") { return .shell }
    if name.hasSuffix(".sql") { return .sql }
    if name.hasSuffix(".sql.gz") { return .packed("gzip") }
    if name.hasSuffix(".sql.xz") { return .packed("xz") }
    if name.hasSuffix(".sql.zst") { return .packed("zstd") }
    return nil
  }

  private func privateDirectory() throws(Failure) -> String {
    // Below the run directory where its path leaves room for the socket's name, else below /tmp.
    for parent in [workspace.settings.runDirectory, "/tmp"] where parent.utf8.count < 80 {
      var template = Array("\(parent)/.init-XXXXXX".utf8CString)
      if mkdtemp(&template) != nil {
        return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
      }
    }
    throw .system("make a directory in \(workspace.settings.runDirectory)", errno)
  }

  private func start(_ directory: String) throws(Failure) -> Child {
    let hba = Path.join(directory, "pg_hba.conf")
    let ident = Path.join(directory, "pg_ident.conf")
    try FileSystem.writeAtomically(hba, "local all all peer map=init\n".utf8, mode: 0o600)
    // "all" as a role is understood from 16 on; before, scripts can be the superuser only.
    let role = installation.majorVersion >= 16 ? "all" : ServerFiles.quoted(image.superuser)
    try FileSystem.writeAtomically(ident, "init \(ServerFiles.quoted(workspace.user.name)) \(role)\n".utf8, mode: 0o600)
    let settings = [
      "hba_file=\(hba)", "ident_file=\(ident)", "listen_addresses=",
      "unix_socket_directories=\(ServerFiles.listItem(directory))",
      "port=\(Bootstrap.port)", "fsync=off", "full_page_writes=off", "synchronous_commit=off", "logging_collector=off",
      "log_destination=stderr",
    ]
    return try Child(
      installation.program("postgres"), ["-D", staging] + settings.flatMap { ["-c", $0] },
      environment: environment(nil),
      deathSignal: SIGQUIT)
  }

  private func waitUntilReady(_ server: Child) throws(Failure) {
    var ending: Child.Ending?
    let isReady = try workspace.interruption.poll(every: .milliseconds(2), atMost: .seconds(60)) { () throws(Failure) in
      ending = server.poll()
      if ending != nil { return true }
      guard let bytes = try FileSystem.read(Path.join(staging, "postmaster.pid")),
        case .process(let content) = PostmasterFile(parsing: bytes)
      else { return false }
      return content.pid == server.pid && content.status == "ready"
    }
    guard isReady, ending == nil else {
      throw Failure(
        .software,
        "cannot start a server on \(staging): \(ending?.text ?? "not ready in 60 s")"
          + Child.lastLines(server.output()))
    }
  }

  private func makeDatabase(_ directory: String) throws(Failure) {
    do throws(SQLFailure) {
      let connection = try SQLConnection(
        [
          ("host", directory), ("port", String(Bootstrap.port)), ("user", image.superuser), ("dbname", "postgres"),
          ("application_name", "hive-postgres init"),
        ], within: .seconds(10), workspace.interruption)
      let found = try connection.query("SELECT 1 FROM pg_catalog.pg_database WHERE datname = $1", [image.database])
      if found.isEmpty { try connection.query("CREATE DATABASE \(SQLConnection.identifier(image.database))") }
    } catch {
      if case .interrupted(let signal) = error.kind { throw .interrupted(signal) }
      throw Failure(.software, "cannot make the database \(image.database): \(error.message)")
    }
  }

  /// What the official image's scripts find: `psql` connects as the superuser to POSTGRES_DB without further arguments.
  private func environment(_ directory: String?) -> [String: String] {
    var environment = workspace.environment
    environment["PGDATA"] = staging
    guard let directory else { return environment }
    environment["PATH"] = "\(installation.binaryDirectory):\(environment["PATH"] ?? "")"
    environment["PGHOST"] = directory
    environment["PGPORT"] = String(Bootstrap.port)
    environment["PGUSER"] = image.superuser
    environment["PGDATABASE"] = image.database
    environment["POSTGRES_USER"] = image.superuser
    environment["POSTGRES_DB"] = image.database
    environment["POSTGRES_PASSWORD"] = image.password
    return environment
  }

  private func run(_ name: String, _ directory: String) throws(Failure) {
    let path = Path.join(image.scriptDirectory, name)
    workspace.console.info("running \(path)")
    let action = "run \(path)"
    let psql = ["-v", "ON_ERROR_STOP=1", "--no-password", "--no-psqlrc", "-q"]
    switch Bootstrap.kind(name) {
    case .shell:
      let shell = access("/bin/bash", X_OK) == 0 ? "/bin/bash" : "/bin/sh"
      if access(path, X_OK) == 0 && !workspace.settings.sourceScripts {
        try runScript(path, [], directory, action)
      } else if workspace.settings.sourceScripts {
        // A shell of its own: an `exit` in the file ends that, and not the init.
        try runScript(shell, ["-c", ". \"$0\"", path], directory, action)
      } else {
        try runScript(shell, [path], directory, action)
      }
    case .sql:
      try runScript(installation.program("psql"), psql + ["-f", path], directory, action)
    case .packed(let tool):
      try runPacked(path, tool, psql, directory, action)
    case nil: break
    }
  }

  private func runScript(_ program: String, _ arguments: [String], _ directory: String, _ action: String)
    throws(Failure)
  {
    let child = try Child(program, arguments, environment: environment(directory), output: .inherit)
    try expectSuccess(child, action)
  }

  private func expectSuccess(_ child: Child, _ action: String) throws(Failure) {
    guard let ending = try child.wait(workspace.interruption) else { return }
    // What a script leaves in the background must not outlive it: the server is about to be moved.
    child.signal(SIGKILL)
    guard ending == .exited(0) else {
      throw Failure(
        .software, "cannot \(action): \(child.name) ended with \(ending.text)",
        remedy: "mend the script; the unfinished cluster is removed and the next start begins anew")
    }
  }

  private func runPacked(
    _ path: String, _ tool: String, _ psql: [String], _ directory: String, _ action: String
  ) throws(Failure) {
    let search = (environment(directory)["PATH"] ?? "").split(separator: ":")
    guard let program = search.map({ "\($0)/\(tool)" }).first(where: { (path: String) in access(path, X_OK) == 0 })
    else {
      throw Failure(
        .software, "cannot \(action): \(tool) is not in PATH", remedy: "install \(tool), or unpack the file")
    }
    let (unpacker, reader) = try startPipeline(program, path, psql, directory)
    do throws(Failure) {
      try expectSuccess(reader, action)
    } catch {
      unpacker.kill()
      throw error
    }
    try expectSuccess(unpacker, action)
  }

  /// Both ends of the pipe are closed here afterwards, so that each side sees the other's end.
  private func startPipeline(
    _ program: String, _ path: String, _ psql: [String], _ directory: String
  ) throws(Failure) -> (unpacker: Child, reader: Child) {
    var ends: [Int32] = [-1, -1]
    guard hpg_pipe(&ends) == 0 else { throw .system("make a pipe", errno) }
    defer {
      close(ends[0])
      close(ends[1])
    }
    let unpacker = try Child(
      program, ["-dc", "--", path], environment: environment(directory), output: .inherit, standardOutput: ends[1])
    do throws(Failure) {
      let reader = try Child(
        installation.program("psql"), psql + ["--single-transaction"], environment: environment(directory),
        output: .inherit,
        input: ends[0])
      return (unpacker, reader)
    } catch {
      unpacker.kill()
      throw error
    }
  }

  /// Fast shutdown: with a checkpoint.
  private func stop(_ server: Child) throws(Failure) {
    _ = kill(server.pid, SIGINT)
    guard let ending = try server.wait(workspace.interruption, atMost: .seconds(60)) else {
      throw Failure(.software, "cannot stop the server on \(staging) within 60 s" + Child.lastLines(server.output()))
    }
    guard ending == .exited(0) else {
      throw Failure(
        .software, "cannot stop the server on \(staging) in order: \(ending.text)" + Child.lastLines(server.output()))
    }
  }
}
