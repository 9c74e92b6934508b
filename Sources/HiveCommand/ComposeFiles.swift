// Which compose files make a container: named ones, those of HIVE_COMPOSE_DIR, or those of the tree that `hive` stands in.

/// Where compose files are looked for. What is named explicitly is the only place that is tried.
struct ComposeFiles: Equatable {
  static let name = "compose.yaml"
  static let productionName = "compose.production.yaml"

  /// `--file`, in order.
  var named: [String] = []
  /// `--production`.
  var production = false
  /// HIVE_COMPOSE_DIR: holds genie/compose.yaml and agent/compose.yaml.
  var directory: String?
  /// The path of this program, without symbolic links.
  var executable: String?
  /// Where the command was typed.
  var workingDirectory: String?

  /// The files of a role, the base first.
  func find(_ role: Role, exists: (String) -> Bool) throws(Problem) -> [String] {
    let base: [String]
    if !named.isEmpty {
      if let missing = named.first(where: { !exists($0) }) {
        throw Problem(
          "cannot use --file \(missing): there is no such file that can be read", status: ExitStatusCode.usage)
      }
      base = named
    } else if let directory, !directory.isEmpty {
      let path = "\(directory)/\(role.rawValue)/\(Self.name)"
      guard exists(path) else {
        throw Problem(
          "cannot find \(path): HIVE_COMPOSE_DIR names a directory with \(role.rawValue)/\(Self.name); mend or unset it",
          status: ExitStatusCode.usage)
      }
      base = [path]
    } else {
      let places = (Self.above(executable) + Self.above(workingDirectory.map { $0 + "/." }))
      guard let path = places.map({ "\($0)/etc/\(role.rawValue)/\(Self.name)" }).first(where: exists) else {
        throw Problem(
          "cannot find etc/\(role.rawValue)/\(Self.name) above this program or the working directory: "
            + "name it with --file, or set HIVE_COMPOSE_DIR to a directory with \(role.rawValue)/\(Self.name)",
          status: ExitStatusCode.usage)
      }
      base = [path]
    }
    guard production, let first = base.first else { return base }
    let path = Self.parent(first) + "/" + Self.productionName
    guard exists(path) else {
      throw Problem(
        "cannot use --production: there is no \(path); add the override with a second --file",
        status: ExitStatusCode.usage)
    }
    return base + [path]
  }

  /// The directories above a file's path, the nearest first, without the root's own: `/a/b/c` gives `/a/b`, `/a`.
  static func above(_ path: String?) -> [String] {
    guard let path, path.hasPrefix("/") else { return [] }
    var parts = path.split(separator: "/").dropLast()
    var found: [String] = []
    while !parts.isEmpty {
      found.append("/" + parts.joined(separator: "/"))
      parts = parts.dropLast()
    }
    return found
  }

  private static func parent(_ path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }
}
