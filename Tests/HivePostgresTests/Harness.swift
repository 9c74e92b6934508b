// Runs the real programs: hive-postgres as it was built, PostgreSQL from HIVE_PG_BINDIR.

import Glibc
import Testing

@testable import HivePostgresCore

enum Harness {
  /// What tests on a real server need.
  static let bindir = ProcessEnvironment.current["HIVE_PG_BINDIR"]
  static let hasPostgres = bindir != nil
  static let needsPostgres: Comment =
    "HIVE_PG_BINDIR is not set: give the bin directory of a PostgreSQL 16 with pgvector"
  static let isRoot = geteuid() == 0

  /// Built beside the test bundle.
  static var hivePostgres: String { Path.join(Path.parent(ProcessEnvironment.executable), "hive-postgres") }

  struct Result {
    var ending: Child.Ending
    var output: String
  }

  /// Runs a program to its end, or kills it after `seconds`.
  static func run(
    _ path: String, _ arguments: [String], _ environment: [String: String] = [:], seconds: Double = 60
  ) throws -> Result {
    var environment = environment
    environment["PATH"] = environment["PATH"] ?? "/usr/local/bin:/usr/bin:/bin"
    // The thread that starts a child here may end before the child does.
    let child = try Child(path, arguments, environment: environment, deathSignal: 0)
    defer { child.release() }
    let ending = finish(child, seconds: seconds)
    return Result(ending: ending, output: child.output())
  }

  static func finish(_ child: Child, seconds: Double) -> Child.Ending {
    let deadline = ContinuousClock.now + .seconds(seconds)
    while ContinuousClock.now < deadline {
      if let ending = child.poll() { return ending }
      usleep(1000)
    }
    child.kill()
    return .signaled(SIGKILL)
  }

  /// Waits for something that must become true.
  static func eventually(seconds: Double = 20, _ condition: () throws -> Bool) rethrows -> Bool {
    let deadline = ContinuousClock.now + .seconds(seconds)
    while ContinuousClock.now < deadline {
      if try condition() { return true }
      usleep(2000)
    }
    return try condition()
  }

  static let ports = PortCounter()
}

/// Ports that no two tests share and nobody else has: below those that the kernel gives to outgoing connections.
final class PortCounter: @unchecked Sendable {
  private var lock = pthread_mutex_t()
  private var last = 20000 + Int(getpid()) % 11000

  init() { pthread_mutex_init(&lock, nil) }

  func next() -> Int {
    pthread_mutex_lock(&lock)
    defer { pthread_mutex_unlock(&lock) }
    repeat { last = last >= 32000 ? 20000 : last + 1 } while !PortCounter.isFree(last)
    return last
  }

  private static func isFree(_ port: Int) -> Bool {
    let fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    guard fd >= 0 else { return true }
    defer { close(fd) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(port).bigEndian
    address.sin_addr.s_addr = in_addr_t(INADDR_LOOPBACK).bigEndian
    return withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(fd, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
      }
    }
  }
}

/// A volume, a socket directory and the servers on it, removed at the end.
final class Sandbox {
  let root: String
  var environment: [String: String]
  /// Whom commands run as, when this is root: `--user UID:GID`.
  var user: (uid: uid_t, gid: gid_t)?
  private var children: [Child] = []

  var volume: String { root + "/v" }
  var pgdata: String { volume + "/pgdata" }
  var run: String { root + "/run" }
  var port: Int { Int(environment["HIVE_PG_PORT"] ?? "") ?? 0 }

  init(role: String = "genie") throws {
    var template = Array("/tmp/hpg-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw Failure.system("make a directory", errno) }
    root = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    chmod(root, 0o755)
    environment = [
      "HIVE_ROLE": role, "HIVE_DATA": root + "/v", "HIVE_RUN_DIR": root + "/run", "HIVE_ETC": Sandbox.etc(role),
      "HIVE_PG_BINDIR": Harness.bindir ?? "", "HIVE_PG_PORT": String(Harness.ports.next()),
      "HIVE_INITDB_SCRIPTS": root + "/initdb.d", "HIVE_LOCK_TIMEOUT": "5", "HIVE_READY_TIMEOUT": "10",
      "PATH": "/usr/local/bin:/usr/bin:/bin", "HIVE_BALLAST_MB": "0",
    ]
  }

  /// etc/ROLE of this checkout.
  static func etc(_ role: String) -> String {
    var directory = Path.parent(Path.absolute(#filePath, from: ProcessEnvironment.workingDirectory))
    // A package that links to the checkout has its tests, not its etc, beside it.
    directory = ProcessTable.realPath(directory) ?? directory
    return Path.join(Path.parent(Path.parent(directory)), "etc/\(role)")
  }

  deinit {
    for child in children where child.poll() == nil { child.quit(within: .seconds(2)) }
    for pid in (try? servers()) ?? [] { kill(pid, SIGKILL) }
    usleep(20000)
    try? FileSystem.remove(root)
  }

  func servers(of directory: String? = nil) throws -> [pid_t] {
    let owner = try FileSystem.status(directory ?? pgdata)?.owner ?? geteuid()
    return try ProcessTable.servers(of: directory ?? pgdata, owner: owner).map(\.identity.pid)
  }

  /// A command line as `user`.
  private func line(_ words: [String]) -> [String] {
    guard let user else { return words }
    return ["/usr/bin/setpriv", "--reuid=\(user.uid)", "--regid=\(user.gid)", "--clear-groups", "--"] + words
  }

  /// Runs a program as `user` to its end.
  @discardableResult
  func run(_ words: [String], seconds: Double = 60) throws -> Harness.Result {
    let words = line(words)
    return try Harness.run(words[0], Array(words.dropFirst()), seconds: seconds)
  }

  /// Runs a command of hive-postgres to its end.
  @discardableResult
  func hive(_ command: String, _ extra: [String: String] = [:], seconds: Double = 60) throws -> Harness.Result {
    let words = line([Harness.hivePostgres] + command.split(separator: " ").map(String.init))
    return try Harness.run(words[0], Array(words.dropFirst()), environment.merging(extra) { $1 }, seconds: seconds)
  }

  /// Starts a command of hive-postgres; it is ended with the sandbox.
  func start(_ command: String, _ extra: [String: String] = [:]) throws -> Child {
    let words = line([Harness.hivePostgres, command])
    let child = try Child(
      words[0], Array(words.dropFirst()), environment: environment.merging(extra) { $1 }, deathSignal: 0)
    children.append(child)
    return child
  }

  /// init, exec, and the server accepts.
  @discardableResult
  func serve() throws -> Child {
    let made = try hive("init")
    guard made.ending == .exited(0) else { throw Failure(.software, "init: \(made.ending) \(made.output)") }
    return try startServer()
  }

  func startServer(_ extra: [String: String] = [:]) throws -> Child {
    let server = try start("exec", extra)
    guard Harness.eventually({ self.isReady(server.pid) || server.poll() != nil }), isReady(server.pid) else {
      throw Failure(.software, "exec: \(server.output())")
    }
    return server
  }

  /// postmaster.pid is this server's, and says that it is ready; an older one may say so too.
  private func isReady(_ pid: pid_t) -> Bool {
    guard let bytes = try? FileSystem.read(pgdata + "/postmaster.pid"),
      case .process(let content) = PostmasterFile(parsing: bytes)
    else { return false }
    return content.pid == pid && content.status == "ready"
  }

  /// Asks psql; as root that is peer-mapped, too.
  func sql(_ statement: String, user: String = "postgres", database: String = "postgres", options: [String] = []) throws
    -> String
  {
    let result = try Harness.run(
      (Harness.bindir ?? "") + "/psql",
      ["-h", run, "-p", String(port), "-U", user, "-w", "-XAtq", "-v", "ON_ERROR_STOP=1"] + options + [
        "-c", statement, database,
      ])
    guard result.ending == .exited(0) else { throw Failure(.software, result.output) }
    return result.output.trimmingTrailingNewlines
  }

  /// Fast shutdown; the exit status must be 0.
  func stop(_ server: Child) -> Child.Ending {
    kill(server.pid, SIGINT)
    return Harness.finish(server, seconds: 20)
  }

  func write(_ path: String, _ content: String, mode: mode_t = 0o644) throws {
    try FileSystem.makeDirectories(Path.parent(path), mode: 0o755)
    try FileSystem.writeAtomically(path, content.utf8, mode: mode)
  }

  /// Everything about the volume that a refusal must leave as it was: names, owners, modes, times, contents.
  func fingerprint() throws -> String {
    let result = try Harness.run(
      "/bin/sh",
      [
        "-c",
        "cd \"$0\" && find . -printf '%p %U:%G %m %s %T@ %l\\n' | sort && find . -type f -exec sha256sum {} + | sort | sha256sum",
        volume,
      ])
    guard result.ending == .exited(0) else { throw Failure(.software, result.output) }
    return result.output
  }

  func controlState() throws -> ControlData? {
    ControlData(
      parsing: try Harness.run((Harness.bindir ?? "") + "/pg_controldata", ["-D", pgdata], ["LC_ALL": "C"]).output)
  }
}
