import Foundation
import Glibc
import PostgresClient
import PostgresTestSupport
import Testing

/// The real `hive-service` executable, started the way PID 1 starts it: it tells over `NOTIFY_SOCKET` when it is ready.
final class ServiceProcess: @unchecked Sendable {  // Unchecked: a test uses its service from one task.
  let processID: pid_t
  let port: UInt16
  private let notifications: NotificationSocket
  private let log: String
  private var status: Int32?

  /// Beside the test bundle.
  static let executable: String? = {
    guard let bundle = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe") else { return nil }
    // Swift Testing may run in a helper of the toolchain; the bundle is then an argument.
    let candidates = [bundle] + CommandLine.arguments
    return candidates.map { ($0 as NSString).deletingLastPathComponent + "/hive-service" }
      .first { access($0, X_OK) == 0 }
  }()

  /// Starts a service that inherits a fresh listening socket on loopback; returns when it says that it is ready.
  init(
    role: String = "genie", conninfo: String, environment: [String: String] = [:], inheritsSocket: Bool = true,
    abstractNotify: Bool = false, waitsUntilReady: Bool = true
  ) throws {
    guard let executable = Self.executable else { throw TestFailure("hive-service is not beside the test bundle") }
    let listener = try ListeningDescriptor()
    port = listener.port
    notifications = try NotificationSocket(abstract: abstractNotify)
    log = notifications.directory + "/log"
    var variables = environment
    variables["HIVE_ROLE"] = role
    variables["HIVE_DATABASE_URL"] = conninfo
    variables["NOTIFY_SOCKET"] = notifications.name
    variables["PATH"] = "/usr/bin:/bin"
    if inheritsSocket {
      variables["LISTEN_FDS"] = "1"
      variables["LISTEN_FDNAMES"] = "api"
    } else {
      variables["HIVE_BIND"] = "127.0.0.1"
      variables["HIVE_PORT"] = environment["HIVE_PORT"] ?? String(port)
      listener.close()
    }
    processID = try Self.spawn(
      executable, variables, listener: inheritsSocket ? listener.descriptor : nil, log: log)
    listener.close()
    guard waitsUntilReady else { return }
    guard try notifications.receive(within: .seconds(30)).contains("READY=1") else {
      throw TestFailure("hive-service did not become ready: \(output)")
    }
  }

  deinit {
    if status == nil {
      kill(processID, SIGCONT)
      kill(processID, SIGKILL)
      waitForExit()
    }
  }

  /// What it wrote.
  var output: String { (try? String(contentsOfFile: log, encoding: .utf8)) ?? "" }

  func signal(_ number: Int32) { if status == nil { kill(processID, number) } }

  /// Its exit status, or 128 + signal.
  @discardableResult
  func waitForExit() -> Int32 {
    if let status { return status }
    var raw: Int32 = 0
    while waitpid(processID, &raw, 0) < 0, errno == EINTR {}
    let result = raw & 0x7F == 0 ? (raw >> 8) & 0xFF : 128 + (raw & 0x7F)
    status = result
    return result
  }

  func nextNotification(within timeout: Duration) throws -> String { try notifications.receive(within: timeout) }

  private static func spawn(
    _ executable: String, _ variables: [String: String], listener: Int32?, log: String
  ) throws -> pid_t {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0o644)
    posix_spawn_file_actions_adddup2(&actions, 1, 2)
    if let listener { posix_spawn_file_actions_adddup2(&actions, listener, 3) }
    // Only the process itself knows its id: a shell sets LISTEN_PID and becomes the service.
    let script = listener == nil ? "exec \"$0\"" : "export LISTEN_PID=$$; exec \"$0\""
    let words: [String] = ["/bin/sh", "-c", script, executable]
    let settings: [String] = variables.map { "\($0.key)=\($0.value)" }
    let arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
    let environment: [UnsafeMutablePointer<CChar>?] = settings.map { strdup($0) } + [nil]
    defer { (arguments + environment).forEach { free($0) } }
    var pid: pid_t = 0
    let code = posix_spawn(&pid, "/bin/sh", &actions, nil, arguments, environment)
    guard code == 0 else { throw TestFailure("cannot spawn: \(String(cString: strerror(code)))") }
    return pid
  }
}

struct TestFailure: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

/// A listening socket on a port of 127.0.0.1 that the kernel chose.
final class ListeningDescriptor {
  private(set) var descriptor: Int32
  let port: UInt16

  init(backlog: Int32 = 128) throws {
    // At 100 or above, so that it never collides with the descriptors that a child gets.
    let plain = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    descriptor = fcntl(plain, F_DUPFD_CLOEXEC, 100)
    Glibc.close(plain)
    var one: Int32 = 1
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let descriptor = descriptor
    let result = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
        guard bind(descriptor, address, length) == 0, listen(descriptor, backlog) == 0 else { return Int32(-1) }
        return getsockname(descriptor, address, &length)
      }
    }
    guard result == 0 else { throw TestFailure("cannot listen: \(String(cString: strerror(errno)))") }
    port = UInt16(bigEndian: address.sin_port)
  }

  func close() {
    if descriptor >= 0 { Glibc.close(descriptor) }
    descriptor = -1
  }

  deinit { close() }
}

/// Where sd_notify's datagrams go.
final class NotificationSocket {
  let directory: String
  /// As `NOTIFY_SOCKET` has it.
  let name: String
  private let descriptor: Int32

  init(abstract: Bool) throws {
    var template = Array("/tmp/hive-service-test-XXXXXX".utf8CString)
    let made = template.withUnsafeMutableBufferPointer { buffer in
      buffer.baseAddress.flatMap { mkdtemp($0) }.map { String(cString: $0) }
    }
    guard let made else { throw TestFailure("cannot make a directory") }
    directory = made
    name = abstract ? "@" + made : made + "/notify"
    descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    let descriptor = descriptor
    let bound = UnixAddress.with(name) { bind(descriptor, $0, $1) }
    guard bound == 0 else { throw TestFailure("cannot bind \(name): \(String(cString: strerror(errno)))") }
  }

  deinit {
    close(descriptor)
    try? FileManager.default.removeItem(atPath: directory)
  }

  func receive(within timeout: Duration) throws -> String {
    var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    let milliseconds = Int32(timeout / .milliseconds(1))
    guard Glibc.poll(&poll, 1, milliseconds) > 0 else { return "" }
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = recv(descriptor, &buffer, buffer.count, 0)
    return String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
  }
}

/// `sockaddr_un` for a path or an abstract name (`@…`).
enum UnixAddress {
  static func with<Output>(_ name: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Output) -> Output {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    var bytes = Array(name.utf8)
    if bytes.first == UInt8(ascii: "@") { bytes[0] = 0 } else { bytes.append(0) }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    let length = socklen_t(2 + bytes.count)
    return withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
    }
  }
}

/// The database of a role, with the project's own schema in it.
extension PostgresServer {
  static func withSchema(_ role: String, settings: [String] = []) async throws -> PostgresServer {
    let server = try PostgresServer(settings: settings)
    try await server.installSchema(role)
    return server
  }

  func installSchema(_ role: String) async throws {
    let directory = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("../../../etc/\(role)/sql").standardizedFileURL.path
    let connection = try await PostgresConnection.connect(conninfo())
    for file in try FileManager.default.contentsOfDirectory(atPath: directory).sorted() where file.hasSuffix(".sql") {
      try await connection.execute(try String(contentsOfFile: directory + "/" + file, encoding: .utf8))
    }
    await connection.close()
  }
}

/// Polls until `condition` holds; a condition that never does fails the test after 20 s.
func eventually(
  sourceLocation: SourceLocation = #_sourceLocation, _ condition: () async throws -> Bool
) async throws {
  let deadline = ContinuousClock.now + .seconds(20)
  while try await !condition() {
    guard ContinuousClock.now < deadline else {
      Issue.record("the condition did not come true within 20 s", sourceLocation: sourceLocation)
      return
    }
    try await Task.sleep(for: .milliseconds(10))
  }
}

/// Why suites that need the executable and a server are skipped.
enum Requirements {
  static var areMet: Bool { PostgresServer.isAvailable && ServiceProcess.executable != nil }
  static let reason: Comment =
    "needs HIVE_PG_BINDIR (PostgreSQL's programs) and the hive-service executable beside the test bundle"
}
