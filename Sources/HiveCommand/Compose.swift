// The command lines of compose: the plugin `docker compose`, or the older program `docker-compose`.

/// Which compose there is.
enum ComposeTool: Equatable, Sendable {
  /// Docker's plugin (v2).
  case plugin
  /// The program of its own: 1.29.2 in Debian 12, or v2 installed under that name.
  case standalone(version: String)

  /// How to call it, without arguments.
  var invocation: Invocation {
    switch self {
    case .plugin: Invocation("docker", ["compose"])
    case .standalone: Invocation("docker-compose", [])
    }
  }

  /// Version 1 lists stopped containers by itself; from 2 on that has to be said.
  var isVersion1: Bool {
    if case .standalone(let version) = self { version.hasPrefix("1.") } else { false }
  }

  /// Asks for the version, to find out whether it is there.
  static let askPlugin = Invocation("docker", ["compose", "version", "--short"])
  static let askStandalone = Invocation("docker-compose", ["version", "--short"])
}

/// One role's compose project: what is asked of compose about it.
struct ComposeProject: Equatable, Sendable {
  var tool: ComposeTool
  var role: Role
  /// The compose files, the base first.
  var files: [String]
  /// `--env-file`: variables for the compose files.
  var environmentFile: String?
  /// `--project-name`; nil: compose's own choice, so that plain compose finds the same containers and volumes.
  var name: String?

  /// Starts the service in the background and makes what is missing: image, network, volumes, container.
  func up(build: Bool) -> Invocation {
    compose(["up", "--detach"] + (build ? ["--build"] : []) + [role.rawValue])
  }

  /// Fetches the service's image.
  func pull() -> Invocation { compose(["pull", role.rawValue]) }

  /// Stops and removes containers and networks; with `volumes` also the named volumes, which hold all data.
  func down(volumes: Bool) -> Invocation { compose(["down"] + (volumes ? ["--volumes"] : [])) }

  /// Stops the service's container in order and starts it again.
  func restart() -> Invocation { compose(["restart", role.rawValue]) }

  /// The ids of the service's containers, one a line, also of stopped ones.
  func containers() -> Invocation { compose(["ps"] + (tool.isVersion1 ? [] : ["--all"]) + ["--quiet", role.rawValue]) }

  /// The names of the volumes that the files declare, one a line.
  func volumes() -> Invocation { compose(["config", "--volumes"]) }

  private func compose(_ arguments: [String]) -> Invocation {
    var invocation = tool.invocation
    for file in files { invocation.arguments += ["--file", file] }
    if let environmentFile { invocation.arguments += ["--env-file", environmentFile] }
    if let name { invocation.arguments += ["--project-name", name] }
    invocation.arguments += ["--ansi", "never"] + arguments
    return invocation
  }
}
