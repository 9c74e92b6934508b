// Whose files a volume holds. Only what is ours is ever given away: V itself, V/.hivesup and clusters; a directory of documents that
// was mounted by mistake keeps its owners.

import Glibc

/// Gives a volume to a user, as root.
public struct Ownership {
  let settings: Settings
  let user: ServiceUser
  let surroundings: Surroundings
  let console: Console
  let interruption: Interruption

  /// For `hive-postgres own [USER]`: without a user the one of `HIVE_POSTGRES_USER`.
  public init(settings: Settings, user: String?, console: Console, interruption: Interruption) throws(Failure) {
    let surroundings = Surroundings.detect(settings, environment: ProcessEnvironment.current)
    try self.init(
      settings: settings, user: ServiceUser.named(user ?? settings.serviceUser), surroundings: surroundings,
      console: console, interruption: interruption)
  }

  init(
    settings: Settings, user: ServiceUser, surroundings: Surroundings, console: Console, interruption: Interruption
  ) {
    self.settings = settings
    self.user = user
    self.surroundings = surroundings
    self.console = console
    self.interruption = interruption
  }

  /// Never given away, whatever the environment says.
  private static let sharedDirectories: Set<String> = [
    "/", "/tmp", "/var/tmp", "/dev/shm", "/run", "/var", "/var/lib", "/home", "/root", "/etc", "/usr", "/opt", "/srv",
    "/mnt",
  ]

  /// `hive-postgres own`: the volume and every cluster in it.
  public func run() throws(Failure) {
    guard geteuid() == 0 else {
      throw Failure(
        .unusable, "cannot give \(settings.volume) to user \(user.id): this is user \(geteuid()), and it takes root",
        remedy: surroundings.own(user))
    }
    guard let status = try FileSystem.status(settings.volume), status.isDirectory else {
      throw Failure(
        .unusable, "cannot give \(settings.volume) to user \(user.id): there is no such directory",
        remedy: "set HIVE_DATA to the volume")
    }
    guard !FileSystem.isReadOnly(settings.volume) else {
      throw Failure(
        .unusable, "cannot give \(settings.volume) to user \(user.id): it is mounted read-only",
        remedy: "mount it without :ro")
    }
    var clusters = Set(try Volume.otherLayouts(in: settings.volume).map { Path.join(settings.volume, $0.path) })
    if try FileSystem.exists(Path.join(settings.volume, "PG_VERSION")) { clusters.insert(settings.volume) }
    clusters.insert(try locate().dataDirectory)
    try give(clusters.sorted())
    console.info("\(settings.volume) and what PostgreSQL has in it belong to user \(user.id), group \(user.group)")
  }

  private func locate() throws(Failure) -> Volume {
    let own = Path.join(settings.volume, Volume.privateName)
    return try Volume(settings: settings, state: InstallationState.read(Path.join(own, "state.json")))
  }

  /// As root, before a command becomes the user: makes the volume where there is none, and gives it and its cluster.
  func prepare() throws(Failure) {
    if try !FileSystem.exists(settings.volume) { try FileSystem.makeDirectories(settings.volume, mode: 0o755) }
    try give([try locate().dataDirectory])
    let own = Path.join(settings.volume, Volume.privateName)
    if try !FileSystem.exists(own) {
      try FileSystem.makeDirectories(own, mode: 0o700)
      try FileSystem.changeOwner(own, to: user.id, group: user.group)
    }
    if let directory = settings.image.walDirectory {
      try FileSystem.makeDirectories(directory, mode: 0o700)
      if try FileSystem.status(directory)?.owner != user.id {
        try FileSystem.changeOwner(tree: directory, to: user.id, group: user.group)
      }
    }
  }

  /// V, what is ours in it, and these clusters: first looked at, all of them, then given.
  private func give(_ clusters: [String]) throws(Failure) {
    let volume = settings.volume
    guard !Ownership.sharedDirectories.contains(volume) else {
      throw Failure(
        .usage, "cannot use HIVE_DATA=\(volume): it belongs to the whole system", remedy: "give a directory of its own")
    }
    let own = Path.join(volume, Volume.privateName)
    var isOwnForeign = false
    if let owner = try FileSystem.status(own, follow: false)?.owner { isOwnForeign = owner != user.id }
    var foreign: [String] = []
    for directory in clusters {
      // Behind a symbolic link, too: links themselves are never followed when a tree is given away.
      guard let data = ProcessTable.realPath(directory), let owner = try FileSystem.status(data)?.owner else {
        continue
      }
      let inside = try FileSystem.status(Path.join(data, "PG_VERSION"))?.owner ?? user.id
      if owner != user.id || inside != user.id { foreign.append(data) }
    }
    if isOwnForeign || !foreign.isEmpty { try checkUnlocked(Path.join(own, "lock")) }
    for data in foreign { try checkUnused(data) }

    for data in foreign { try give(cluster: data) }
    if isOwnForeign { try FileSystem.changeOwner(tree: own, to: user.id, group: user.group) }
    if let status = try FileSystem.status(volume), status.owner != user.id {
      try FileSystem.changeOwner(volume, to: user.id, group: user.group)
    }
  }

  private func give(cluster data: String) throws(Failure) {
    console.info("giving \(data) to user \(user.id)")
    for path in try linked(data) { try FileSystem.changeOwner(tree: path, to: user.id, group: user.group) }
    var above = Path.parent(data)
    while above != settings.volume, Path.isInside(above, settings.volume) {
      try FileSystem.changeOwner(above, to: user.id, group: user.group)
      above = Path.parent(above)
    }
    try FileSystem.changeOwner(tree: data, to: user.id, group: user.group)
  }

  /// A WAL directory and tablespaces outside of the cluster.
  private func linked(_ data: String) throws(Failure) -> [String] {
    let tablespaces = Path.join(data, "pg_tblspc")
    let links = try [Path.join(data, "pg_wal")] + FileSystem.list(tablespaces).map { Path.join(tablespaces, $0) }
    return links.filter { FileSystem.linkTarget($0) != nil }.compactMap { ProcessTable.realPath($0) }
  }

  /// Files that change their owner under a running server are lost for it.
  private func checkUnused(_ data: String) throws(Failure) {
    if let owner = try FileSystem.status(data)?.owner,
      let server = try ProcessTable.servers(of: data, owner: owner).first
    {
      throw Failure(
        .locked, "cannot give \(data) to user \(user.id): process \(server.identity.pid) serves it",
        remedy: surroundings.users)
    }
    try ServerElsewhere(dataDirectory: data)
      .waitUntilGone(user, atMost: settings.lockTimeout, interruption, surroundings: surroundings, console: console)
  }

  private func checkUnlocked(_ path: String) throws(Failure) {
    guard try FileSystem.exists(path) else { return }
    let isFree = try interruption.poll(every: .milliseconds(100), atMost: settings.lockTimeout) { () throws(Failure) in
      guard case .taken(let lock) = try VolumeLock.attempt(path) else { return false }
      lock.release()
      return true
    }
    guard isFree else {
      throw Failure(
        .locked, "cannot give \(settings.volume) to user \(user.id): another process has it", remedy: surroundings.users
      )
    }
  }
}
