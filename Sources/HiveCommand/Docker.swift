// The command lines of docker.

enum Docker {
  /// Asks the engine for its version: the cheapest question that needs the engine's answer.
  static let version = Invocation("docker", ["version", "--format", "{{.Server.Version}}"])

  /// Everything that the engine knows about containers, as a JSON array.
  static func inspect(_ ids: [String]) -> Invocation { Invocation("docker", ["inspect", "--type", "container"] + ids) }

  /// The verdict of the supervisor in the container: the health document, exit status 0 or 1.
  static func health(_ id: String, seconds: Int) -> Invocation {
    hivesup(id, ["healthcheck", "--json", "--timeout", String(seconds)])
  }

  /// The programs in the container.
  static func status(_ id: String) -> Invocation { hivesup(id, ["ctl", "status", "--json", "--timeout", "5"]) }

  /// Restarts one program and waits until it is ready again.
  static func restart(_ id: String, program: String, wait: Bool, seconds: Int) -> Invocation {
    hivesup(
      id, ["ctl", "restart", "--json", "--timeout", String(seconds)] + (wait ? [] : ["--no-wait"]) + ["--", program])
  }

  /// The last output of one program, kept by the supervisor.
  static func tail(_ id: String, program: String, bytes: Int, follow: Bool) -> Invocation {
    hivesup(id, ["ctl", "tail", "--bytes", String(bytes)] + (follow ? ["--follow"] : []) + ["--", program])
  }

  /// The container's output; all of it when `lines` is nil. `since` is RFC 3339.
  static func logs(_ id: String, lines: Int?, follow: Bool, since: String? = nil) -> Invocation {
    var arguments = ["logs", "--tail", lines.map(String.init) ?? "all"]
    if follow { arguments.append("--follow") }
    if let since { arguments += ["--since", since] }
    return Invocation("docker", arguments + [id])
  }

  /// Any command in the container. Standard input is passed on; a terminal where there is one.
  static func exec(_ id: String, _ command: [String], user: String?, terminal: Bool) -> Invocation {
    var arguments = ["exec", "--interactive"]
    if terminal { arguments.append("--tty") }
    if let user { arguments += ["--user", user] }
    return Invocation("docker", arguments + [id] + command)
  }

  private static func hivesup(_ id: String, _ words: [String]) -> Invocation {
    Invocation("docker", ["exec", id, "hivesup"] + words)
  }
}
