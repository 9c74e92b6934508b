import Foundation
import Glibc
import Synchronization

/// A real PostgreSQL server for tests: its own data directory and socket, no TCP, no fsync.
///
/// The programs come from `HIVE_PG_BINDIR`. PostgreSQL refuses to run as root, so root becomes `nobody` for it.
public final class PostgresServer: @unchecked Sendable {  // Unchecked: a test uses its server from one task.
  /// `HIVE_PG_BINDIR`, when it is set and has a server in it.
  public static let binaryDirectory: String? = {
    guard let path = ProcessInfo.processInfo.environment["HIVE_PG_BINDIR"], access(path + "/postgres", X_OK) == 0
    else { return nil }
    return path
  }()

  /// Whether tests that need a server can run.
  public static var isAvailable: Bool { binaryDirectory != nil }

  /// Why they cannot.
  public static let skipReason = "HIVE_PG_BINDIR does not name a directory with PostgreSQL's programs"

  /// The socket directory.
  public let directory: String
  /// Extra settings, as `postgres -c` takes them.
  public let settings: [String]
  private let bin: String
  private var process: Process?

  /// What went wrong with the server that a test wanted.
  public struct Failure: Error, CustomStringConvertible {
    /// One line.
    public let description: String
  }

  /// Makes a cluster and starts its server; returns when it accepts.
  public init(settings: [String] = []) throws {
    guard let bin = Self.binaryDirectory else { throw Failure(description: Self.skipReason) }
    self.bin = bin
    self.settings = settings
    var template = Array("/tmp/hive-test-XXXXXX".utf8CString)
    guard
      let path = template.withUnsafeMutableBufferPointer({
        $0.baseAddress.flatMap { mkdtemp($0) }.map { String(cString: $0) }
      })
    else { throw Failure(description: "cannot make a directory in /tmp: \(String(cString: strerror(errno)))") }
    directory = path
    Leftovers.add(path)
    if geteuid() == 0, let nobody = getpwnam("nobody") {
      chown(path, nobody.pointee.pw_uid, nobody.pointee.pw_gid)
    }
    try run(["initdb", "-D", path + "/data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"])
    try start()
  }

  deinit {
    signal(SIGCONT)
    signal(SIGKILL)
    process?.waitUntilExit()
    Leftovers.remove(directory)
  }

  /// How to reach it, as `user` in `database`.
  public func conninfo(user: String = "postgres", database: String = "postgres") -> String {
    "host=\(directory) port=5432 user=\(user) dbname=\(database)"
  }

  /// The postmaster.
  public var processID: Int32 { process?.processIdentifier ?? 0 }

  /// Starts the server again; returns when it accepts.
  public func start() throws {
    try launch()
    try waitUntilAccepting()
  }

  /// Starts the server and does not wait.
  public func launch() throws {
    // What a killed server leaves behind; its backends have gone when their socket is free.
    try? FileManager.default.removeItem(atPath: directory + "/data/postmaster.pid")
    var arguments = [
      "postgres", "-D", directory + "/data", "-k", directory, "-c", "listen_addresses=", "-c", "fsync=off",
    ]
    for setting in settings { arguments += ["-c", setting] }
    let started = try spawn(arguments)
    process = started
    Leftovers.add(directory, server: started.processIdentifier)
  }

  /// Waits until `pg_isready` says so, at most 20 s.
  public func waitUntilAccepting() throws {
    let deadline = ContinuousClock.now + .seconds(20)
    while true {
      let probe = try spawn(["pg_isready", "-q", "-h", directory])
      probe.waitUntilExit()
      if probe.terminationStatus == 0 { return }
      guard ContinuousClock.now < deadline, process?.isRunning == true else {
        let log = (try? String(contentsOfFile: directory + "/log", encoding: .utf8)) ?? ""
        throw Failure(description: "the test server does not accept: \(log.suffix(2000))")
      }
      usleep(5000)
    }
  }

  /// Sends a signal to the postmaster.
  public func signal(_ number: Int32) {
    if let process, process.isRunning { kill(process.processIdentifier, number) }
  }

  /// Kills the postmaster and waits for its end; its backends notice and leave.
  public func crash() {
    signal(SIGKILL)
    process?.waitUntilExit()
  }

  /// Fast shutdown.
  public func stop() {
    signal(SIGINT)
    process?.waitUntilExit()
  }

  /// The postmaster's children: backends and helpers.
  public func children() -> [Int32] {
    ProcFile.read("/proc/\(processID)/task/\(processID)/children").split(separator: " ").compactMap { Int32($0) }
  }

  private func run(_ arguments: [String]) throws {
    let process = try spawn(arguments)
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
      let log = (try? String(contentsOfFile: directory + "/log", encoding: .utf8)) ?? ""
      throw Failure(description: "\(arguments[0]) exited with \(process.terminationStatus): \(log.suffix(2000))")
    }
  }

  private func spawn(_ arguments: [String]) throws -> Process {
    let process = Process()
    let command = [bin + "/" + arguments[0]] + arguments.dropFirst()
    if geteuid() == 0 {
      process.executableURL = URL(fileURLWithPath: "/usr/bin/setpriv")
      process.arguments = ["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"] + command
    } else {
      process.executableURL = URL(fileURLWithPath: command[0])
      process.arguments = Array(command.dropFirst())
    }
    process.currentDirectoryURL = URL(fileURLWithPath: "/")
    let log = open(directory + "/log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
    let output = FileHandle(fileDescriptor: log, closeOnDealloc: true)
    process.standardOutput = output
    process.standardError = output
    process.standardInput = FileHandle.nullDevice
    try process.run()
    return process
  }
}

/// Files whose size the kernel does not tell: Foundation stops reading them after a page.
public enum ProcFile {
  /// The whole text, or "" when it cannot be read.
  public static func read(_ path: String) -> String {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return "" }
    defer { close(descriptor) }
    var text: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = Glibc.read(descriptor, &chunk, chunk.count)
      guard count > 0 else { return String(decoding: text, as: UTF8.self) }
      text.append(contentsOf: chunk.prefix(count))
    }
  }
}

/// Servers that live as long as the test process: what is still there at its exit is killed and removed.
private enum Leftovers {
  private static let servers = Mutex<[String: Int32]>([:])
  private static let registration: Void = {
    atexit {
      for (directory, server) in Leftovers.servers.withLock({ $0 }) {
        if server > 0 { kill(server, SIGKILL) }
        try? FileManager.default.removeItem(atPath: directory)
      }
    }
  }()

  static func add(_ directory: String, server: Int32 = 0) {
    _ = registration
    servers.withLock { $0[directory] = server }
  }

  static func remove(_ directory: String) {
    servers.withLock { $0[directory] = nil }
    try? FileManager.default.removeItem(atPath: directory)
  }
}
