// A cluster that others made is taken over as it is: owner, mode, version and pages are checked, its superuser is asked for, and
// it is written down. Scripts never run on it.

import Glibc

/// Takes over an existing cluster.
struct Adoption {
  let workspace: Workspace
  let volume: Volume

  func run() throws(Failure) {
    let directory = volume.dataDirectory
    try Adoption.setMode(directory, workspace.console)
    guard let control = try workspace.controlData(directory) else {
      throw Failure(.configuration, "cannot read \(directory)/global/pg_control", remedy: "restore a backup")
    }
    if !control.isShutDown {
      workspace.console.warning(
        "the cluster in \(directory) was not shut down (\(control.state)): it recovers now. If another container still serves it, "
          + "stop this one at once")
    }
    let superuser = try findSuperuser()
    let state = InstallationState(
      phase: .adopted, dataDirectory: directory, systemIdentifier: control.systemIdentifier,
      majorVersion: workspace.installation.majorVersion, superuser: superuser, since: Workspace.timestamp())
    try state.write(volume.state)
    workspace.console.info("adopted the cluster \(control.systemIdentifier) in \(directory), superuser \(superuser)")
  }

  /// The server accepts 0700 and 0750 only (src/backend/utils/init/miscinit.c, checkDataDir); the bits above do not count. What
  /// widens it is mostly a kubelet that gives a volume to an fsGroup.
  static func setMode(_ directory: String, _ console: Console) throws(Failure) {
    guard let status = try FileSystem.status(directory), status.permissions & 0o777 != 0o700,
      status.permissions & 0o777 != 0o750
    else {
      return
    }
    console.info("setting the mode of \(directory) to 0700, as the server demands")
    guard chmod(directory, 0o700) == 0 else { throw .system("set the mode of \(directory)", errno) }
  }

  /// Single-user mode connects as the bootstrap superuser whatever its name is, needs no authentication, and recovers first.
  private func findSuperuser() throws(Failure) -> String {
    let configuration = try workspace.configurationDirectory()
    var failure: Failure?
    for database in ["postgres", "template1"] {
      let input = try Initialiser.pipe(holding: "SELECT rolname FROM pg_catalog.pg_authid WHERE oid = 10\n")
      defer { close(input) }
      do throws(Failure) {
        let output = try Child.run(
          workspace.installation.program("postgres"),
          [
            "--single", "-D", volume.dataDirectory, "-c", "config_file=\(Path.join(configuration, "postgresql.conf"))",
            "-c", "logging_collector=off", database,
          ], environment: workspace.environment, interruption: workspace.interruption,
          action: "open the cluster in \(volume.dataDirectory)", input: input)
        if let name = Adoption.superuser(in: output) { return name }
        failure = Failure(
          .configuration, "cannot tell the superuser of \(volume.dataDirectory)" + Child.lastLines(output),
          remedy: "look at the server's messages above")
      } catch  where error.status == .software {
        failure = Failure(
          .configuration, error.message,
          remedy: "start it once with the image that made it, stop that in order, and try again")
      }
    }
    throw failure ?? Failure(.configuration, "cannot open the cluster in \(volume.dataDirectory)")
  }

  /// Single-user output: `\t 1: rolname = "postgres"\t(typeid = 19, len = 64, typmod = -1, byval = f)`.
  static func superuser(in output: String) -> String? {
    let mark = "rolname = \""
    for line in output.split(separator: "\n") {
      guard let start = line.firstRange(of: mark), let end = line.lastIndex(of: "\""), start.upperBound <= end else {
        continue
      }
      let name = line[start.upperBound..<end]
      return name.isEmpty ? nil : String(name)
    }
    return nil
  }
}
