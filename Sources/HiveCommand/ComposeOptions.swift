// The options that say which compose project is meant, and opening it.

import ArgumentParser
import CommandOutput
@preconcurrency import Glibc

struct ComposeOptions: ParsableArguments {
  @Option(
    name: .customLong("file"),
    help: ArgumentHelp("A compose file; may be given more than once.", valueName: "path"), completion: .file())
  var files: [String] = []

  @Flag(name: .long, help: "Add compose.production.yaml, which stands beside the compose file.")
  var production = false

  @Option(
    name: .customLong("env-file"), help: ArgumentHelp("Variables for the compose files.", valueName: "path"),
    completion: .file())
  var environmentFile: String?

  @Option(
    name: .customLong("project-name"),
    help: ArgumentHelp("The compose project; compose's own choice when it is not given.", valueName: "name"))
  var projectName: String?

  /// The projects of these roles, with an engine that answers.
  func open(_ roles: [Role], _ engine: Engine) async throws -> [ComposeProject] {
    var search = ComposeFiles(named: files, production: production)
    search.directory = environmentValue("HIVE_COMPOSE_DIR")
    search.executable = Self.executable()
    search.workingDirectory = Self.workingDirectory()
    if let environmentFile, !Self.exists(environmentFile) {
      throw Problem(
        "cannot use --env-file \(environmentFile): there is no such file that can be read", status: ExitStatusCode.usage
      )
    }
    var found: [(role: Role, files: [String])] = []
    for role in roles { found.append((role, try search.find(role, exists: Self.exists))) }
    try await engine.check()
    let tool = try await engine.compose()
    return found.map {
      ComposeProject(
        tool: tool, role: $0.role, files: $0.files, environmentFile: environmentFile, name: projectName)
    }
  }

  private static func exists(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT != S_IFDIR && access(path, R_OK) == 0
  }

  private static func executable() -> String? {
    var buffer = [UInt8](repeating: 0, count: Int(PATH_MAX))
    let count = buffer.withUnsafeMutableBytes { bytes in
      bytes.baseAddress.map { readlink("/proc/self/exe", $0.assumingMemoryBound(to: CChar.self), bytes.count) } ?? 0
    }
    return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : nil
  }

  private static func workingDirectory() -> String? {
    guard let path = getcwd(nil, 0) else { return nil }
    defer { free(path) }
    return String(cString: path)
  }
}

/// Output for programs.
struct FormatOption: ParsableArguments {
  @Flag(name: .long, help: "Print one JSON document instead of text.")
  var json = false
}
