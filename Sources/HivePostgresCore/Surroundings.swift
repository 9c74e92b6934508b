// Where this process runs, as far as a remedy depends on it: inside a container nobody can become root or mount a volume anew, and
// the command that mends it is one for the host. What is asked: files that engines put into a container, and the mount table.

import Glibc

/// The engine around this process, and where the volume is mounted from.
public struct Surroundings: Equatable, Sendable {
  /// Who made the container.
  public enum Engine: String, Equatable, Sendable {
    case docker
    case podman
    case kubernetes
  }

  /// nil outside of a container, and where the volume is no mount: the host's commands work then, or nothing outlives the container.
  public var engine: Engine?
  /// V.
  public var volume: String
  /// The mount point that V is on: V or a directory above it. nil: the root filesystem.
  public var mountPoint: String?
  /// The name of the engine's volume, where the mount table shows one.
  public var volumeName: String?
  /// The same of the directory above V.
  var volumeNameBeside: String?
  /// Where somebody has mounted a volume above V, which itself is one that the engine made for this container only.
  var mountPointAbove: String?
  /// The image, as docs/containers.md names it.
  public var image: String

  /// A volume on a host.
  public init(volume: String) {
    self.volume = volume
    image = "hive-genie"
  }

  /// Looks. `root` is "/" but in tests, which put /.dockerenv and /proc below another directory.
  public static func detect(_ settings: Settings, root: String = "/", environment: [String: String]) -> Surroundings {
    var found = Surroundings(volume: settings.volume)
    found.image = "hive-\((settings.role ?? .genie).rawValue)"
    let table = ((try? FileSystem.readText(Path.join(root, "proc/self/mountinfo"))) ?? nil) ?? ""
    guard let mount = MountTable.mount(of: settings.volume, table) else { return found }
    found.mountPoint = mount.point
    found.volumeName = mount.volumeName
    found.volumeNameBeside = MountTable.mount(of: Path.parent(settings.volume), table)?.volumeName
    found.mountPointAbove = MountTable.chosenAbove(settings.volume, table)?.point
    found.engine = engine(root, environment)
    return found
  }

  private static func engine(_ root: String, _ environment: [String: String]) -> Engine? {
    if environment["KUBERNETES_SERVICE_HOST"] != nil { return .kubernetes }
    if access(Path.join(root, "run/.containerenv"), F_OK) == 0 { return .podman }
    if access(Path.join(root, ".dockerenv"), F_OK) == 0 { return .docker }
    // Engines that were told to leave these files out still name the cgroup after themselves, unless it is a namespace's root.
    let cgroups = ((try? FileSystem.readText(Path.join(root, "proc/1/cgroup"))) ?? nil) ?? ""
    if cgroups.contains("kubepods") { return .kubernetes }
    if cgroups.contains("libpod") { return .podman }
    return cgroups.contains("/docker") ? .docker : nil
  }

  // MARK: Commands

  /// What makes the volume's files this user's.
  func own(_ user: ServiceUser) -> String {
    let owner = "\(user.id):\(user.group)"
    switch engine {
    case nil:
      return "run, as root and on the host when this is a bind mount: chown -R \(owner) \(ShellWords.quote(volume))"
    case .kubernetes:
      return "run once, in an init container with runAsUser: 0 and this volume: hive-postgres own \(owner)"
    case .docker, .podman:
      return "stop what uses the volume, then run: \(run("--user 0", "hive-postgres own \(owner)"))"
    }
  }

  /// `docker run` with this volume where it is now.
  func run(_ options: String, _ command: String) -> String {
    let source = volumeName.map(ShellWords.quote) ?? "HOST-DIRECTORY"
    let target = mountPoint ?? volume
    var words = ["\((engine ?? .docker).rawValue) run --rm", options, "-v \(source):\(ShellWords.quote(target))"]
    if volume != Surroundings.usualVolume { words.append("-e HIVE_DATA=\(ShellWords.quote(volume))") }
    return (words + [image, command]).joined(separator: " ")
  }

  /// How to use the cluster in `parent`, where V is a volume of its own.
  func mountBeside(_ parent: String) -> String {
    switch engine {
    case nil: "set HIVE_DATA=\(parent) to use it"
    case .kubernetes: "mount its volume at \(volume)"
    case .docker, .podman:
      "mount its volume at \(volume): -v \(volumeNameBeside.map(ShellWords.quote) ?? "HOST-DIRECTORY"):\(ShellWords.quote(volume))"
    }
  }

  /// How to find who else uses the volume.
  var users: String {
    let warning = "stop that first; two servers on one data directory would destroy it"
    guard let engine, engine != .kubernetes else { return warning }
    let filter = volumeName.map(ShellWords.quote) ?? "VOLUME"
    return "\(warning) (\(engine.rawValue) ps --filter volume=\(filter) shows it)"
  }

  /// HIVE_DATA of the images.
  static let usualVolume = "/var/lib/postgresql/data"

  /// How to get a PostgreSQL of this version.
  func otherVersion(_ version: String) -> String {
    guard engine != nil else { return "set HIVE_PG_BINDIR to PostgreSQL \(version) (with pgvector)" }
    let file = image == "hive-agent" ? "Dockerfile.agent" : "Dockerfile.genie"
    return "use an image with PostgreSQL \(version) (docker build -f \(file) --build-arg "
      + "POSTGRES_IMAGE=pgvector/pgvector:pg\(version)-bookworm -t \(image):pg\(version) .)"
  }
}

/// proc_pid_mountinfo(5).
enum MountTable {
  /// One mount.
  struct Mount: Equatable {
    /// What of its filesystem is mounted: for an engine's volume `…/volumes/NAME/_data`, also with podman.
    var root: String
    var point: String
    /// The kind of filesystem.
    var type = ""

    var volumeName: String? {
      let parts = root.split(separator: "/")
      guard parts.count >= 3, parts[parts.count - 1] == "_data", parts[parts.count - 3] == "volumes" else { return nil }
      return String(parts[parts.count - 2])
    }
  }

  /// The mounts in order; a later one hides an earlier one at the same point.
  static func mounts(_ text: String) -> [Mount] {
    text.split(separator: "\n").compactMap { line in
      let fields = line.split(separator: " ", omittingEmptySubsequences: false)
      guard fields.count > 4 else { return nil }
      // After the optional fields, which a hyphen ends.
      let rest = fields.dropFirst(6).drop { $0 != "-" }.dropFirst()
      return Mount(root: unescaped(fields[3]), point: unescaped(fields[4]), type: rest.first.map(String.init) ?? "")
    }
  }

  /// Where filesystems are mounted.
  static func mountPoints(_ text: String) -> Set<String> { Set(mounts(text).map(\.point)) }

  /// The mount that holds `path`, nil when that is the root filesystem.
  static func mount(of path: String, _ text: String) -> Mount? {
    var found: Mount?
    for mount in mounts(text) where mount.point != "/" && Path.isInside(path, mount.point) {
      if mount.point.utf8.count >= found?.point.utf8.count ?? 0 { found = mount }
    }
    return found
  }

  /// A field with its octal escapes undone.
  private static func unescaped(_ field: Substring) -> String {
    let field = Array(field.utf8)
    var bytes: [UInt8] = []
    var index = 0
    while index < field.count {
      if field[index] == UInt8(ascii: "\\"), index + 3 < field.count,
        let value = UInt8(String(decoding: field[index + 1...index + 3], as: UTF8.self), radix: 8)
      {
        bytes.append(value)
        index += 4
      } else {
        bytes.append(field[index])
        index += 1
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
