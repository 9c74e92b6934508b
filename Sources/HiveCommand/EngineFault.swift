// What docker and compose say when they cannot do something, as sentences with a remedy. The words are those of Docker 20.10 to
// 28 and of docker-compose 1.29 and compose 2; what is not known is passed on as it was said.

enum EngineFault {
  /// The problem of an engine that did not answer `docker version`.
  static func unreachable(_ said: String) -> Problem {
    let line = lastLine(said)
    func problem(_ text: String) -> Problem { Problem(text, status: ExitStatusCode.noEngine) }
    if said.contains("permission denied") || said.contains("Permission denied") {
      return problem(
        "cannot use the Docker engine: permission denied on its socket\(named(said)); "
          + "run this as root, or join the group docker (usermod -aG docker USER, then log in again)")
    }
    if said.contains("Cannot connect to the Docker daemon") || said.contains("Is the docker daemon running") {
      return problem(
        "cannot reach the Docker engine\(named(said)): nothing answers there; "
          + "start it (systemctl start docker), or mend DOCKER_HOST or the docker context")
    }
    if said.contains("client version") && said.contains("too ") {
      return problem("cannot use the Docker engine: \(line); upgrade the older of client and engine")
    }
    return problem(
      "cannot reach the Docker engine: \(line.isEmpty ? "docker version gave no reason" : line); mend DOCKER_HOST or the docker context"
    )
  }

  /// The problem of a command that is not there.
  static let noDocker = Problem(
    "cannot find the docker command: it is not in PATH; install Docker (Debian: apt-get install docker.io)",
    status: ExitStatusCode.noEngine)

  static let noCompose = Problem(
    "cannot find compose: there is neither the plugin 'docker compose' nor the program docker-compose; "
      + "install docker-compose-plugin (Docker's repository) or docker-compose (Debian)",
    status: ExitStatusCode.noEngine)

  /// The problem of a compose command that ended with a status other than 0. `doing` is the verb: "start", "look for".
  static func compose(_ doing: String, _ role: Role, status: Int32, said: String) -> Problem {
    let subject = "cannot \(doing) \(role.rawValue)"
    if let port = takenPort(said) {
      return Problem(
        "\(subject): port \(port.number) of \(port.address) is taken; 'docker ps --filter publish=\(port.number)' or "
          + "'ss -ltnp sport = :\(port.number)' names who has it; stop that, or publish another port",
        status: ExitStatusCode.failed)
    }
    if said.contains("Cannot connect to the Docker daemon") || said.contains("Error while fetching server API version")
    {
      return unreachable(said)
    }
    if said.contains("KeyError: 'ContainerConfig'") {
      return Problem(
        "\(subject): docker-compose 1 cannot replace containers of this engine; install docker-compose-plugin, or run 'hive down "
          + "\(role.rawValue)' (volumes are kept) and 'hive up \(role.rawValue)'", details: lastLines(said, 3))
    }
    if said.contains("No such service: ") || said.contains("no such service: ") {
      return Problem(
        "\(subject): its compose file has no service named \(role.rawValue)", status: ExitStatusCode.usage)
    }
    if said.contains("no space left on device") {
      return Problem(
        "\(subject): the engine's disk is full; 'docker system df' shows what takes the space",
        details: lastLines(said, 3))
    }
    let words = lastLines(said, 20)
    if configurationFaults.contains(where: said.contains) {
      return Problem(
        "\(subject): its compose files are not in order; compose's words follow", status: ExitStatusCode.usage,
        details: words)
    }
    return Problem(
      "\(subject): compose ended with exit status \(status); its words follow", details: words)
  }

  /// How compose speaks of files and variables that it cannot use.
  private static let configurationFaults = [
    "Unsupported config option", "is invalid because", "yaml: ", "validating ", "Missing mandatory value",
    "is missing a value", "Invalid interpolation format", "invalid interpolation format", "additional properties",
  ]

  /// A port that somebody else has.
  struct TakenPort: Equatable {
    var address: String
    var number: String
  }

  /// `Bind for 0.0.0.0:48886 failed: port is already allocated` (another container), `listen tcp4 127.0.0.1:48886: bind: address
  /// already in use` (another process), `failed to bind host port for [::]:48886:172.17.0.2:48886/tcp: address already in use` (28).
  static func takenPort(_ said: String) -> TakenPort? {
    for line in said.split(whereSeparator: \.isNewline) {
      guard line.contains("port is already allocated") || line.contains("address already in use") else { continue }
      for word in line.split(separator: " ") { if let port = published(word) { return port } }
    }
    return nil
  }

  /// The address and port at the beginning of a word: `A:P`, `[A]:P`, with or without more behind.
  private static func published(_ word: Substring) -> TakenPort? {
    let isBracketed = word.hasPrefix("[")
    guard let end = isBracketed ? word.firstIndex(of: "]").map(word.index(after:)) : word.firstIndex(of: ":"),
      end < word.endIndex, word[end] == ":"
    else { return nil }
    let number = word[word.index(after: end)...].prefix(while: \.isNumber)
    guard let port = UInt16(number), port > 0 else { return nil }
    return TakenPort(address: String(word[..<end]), number: String(port))
  }

  /// The last line that says something.
  static func lastLine(_ said: String) -> String { lastLines(said, 1).first ?? "" }

  /// The last lines that say something.
  static func lastLines(_ said: String, _ count: Int) -> [String] {
    Array(
      said.split(whereSeparator: \.isNewline).map(String.init).filter { line in line.contains { !$0.isWhitespace } }
        .suffix(count))
  }

  /// ` at unix:///var/run/docker.sock` where the words name the address.
  private static func named(_ said: String) -> String {
    for word in said.split(whereSeparator: { $0.isWhitespace }) {
      for scheme in ["unix://", "tcp://", "ssh://", "npipe://"] where word.hasPrefix(scheme) {
        var address = String(word)
        while address.hasSuffix(".") || address.hasSuffix(":") { address.removeLast() }
        return " at \(address)"
      }
    }
    return ""
  }
}
