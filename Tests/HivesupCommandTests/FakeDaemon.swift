// A daemon whose every answer is in the test's hands, on a real unix socket; and the real command line, run against it.

import ControlProtocol
@preconcurrency import Glibc
import Synchronization

/// Answers each connection with the bytes that the test chooses.
final class FakeDaemon: Sendable {
  /// What to do with a request.
  enum Move: Sendable {
    /// Answer and close.
    case answer([UInt8])
    /// Say nothing until the client goes.
    case hang
    /// Answer in pieces of one byte.
    case dribble([UInt8])
  }

  let path: String
  private let listener: Int32
  private let choose: @Sendable (HTTPRequest) -> Move
  private let seen = Mutex<[String]>([])

  /// The request lines that have come, without the version.
  var requests: [String] { seen.withLock { $0 } }

  init(_ choose: @escaping @Sendable (HTTPRequest) -> Move) {
    var template = Array("/tmp/hivesup-test-XXXXXX".utf8CString)
    _ = mkdtemp(&template)
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self) + "/control.sock"
    self.choose = choose
    listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
    let bound = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    precondition(bound == 0 && listen(listener, 64) == 0, "cannot listen at \(path)")
    thread { daemon in
      while true {
        let connection = accept(daemon.listener, nil, nil)
        guard connection >= 0 else { return }
        daemon.thread { $0.serve(connection) }
      }
    }
  }

  /// Every document by its path, as a healthy daemon with a few programs gives it.
  static func ordinary() -> FakeDaemon {
    FakeDaemon { request in
      var bytes: [UInt8] = []
      Sample.response(to: request).write(to: &bytes)
      return .answer(bytes)
    }
  }

  func stop() {
    shutdown(listener, Int32(SHUT_RDWR))
    unlink(path)
    rmdir(String(path.dropLast("/control.sock".count)))
  }

  private func thread(_ body: @escaping @Sendable (FakeDaemon) -> Void) {
    var thread = pthread_t()
    let box = Unmanaged.passRetained(Job { body(self) })
    pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { return nil }
        Unmanaged<Job>.fromOpaque(argument).takeRetainedValue().body()
        return nil
      }, box.toOpaque())
    pthread_detach(thread)
  }

  private final class Job: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }

  private func serve(_ connection: Int32) {
    defer { close(connection) }
    var reader = HTTPRequestReader()
    var buffer = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = recv(connection, &buffer, buffer.count, 0)
      guard count > 0 else { return }
      reader.append(buffer[..<count])
      guard case .request(let request) = reader.next() else { continue }
      seen.withLock { $0.append("\(request.method) \(request.target)") }
      switch choose(request) {
      case .answer(let bytes): _ = send(connection, bytes, bytes.count, Int32(MSG_NOSIGNAL))
      case .dribble(let bytes):
        for byte in bytes { _ = withUnsafePointer(to: byte) { send(connection, $0, 1, Int32(MSG_NOSIGNAL)) } }
      case .hang: while recv(connection, &buffer, buffer.count, 0) > 0 {}
      }
      return
    }
  }
}

/// What a command printed and how it ended.
struct CommandResult: Equatable {
  var output: String
  var errors: String
  var status: Int32
}

/// Runs the built `hivesup` with these words; standard output is a pipe, so that programs' lines are printed.
func hivesup(_ words: [String], environment: [String: String] = [:]) -> CommandResult {
  let directory = selfDirectory()
  // Sockets and not pipes: they are closed in the children of other tests from the first moment.
  var output: [Int32] = [0, 0]
  var errors: [Int32] = [0, 0]
  let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
  guard socketpair(AF_UNIX, kind, 0, &output) == 0, socketpair(AF_UNIX, kind, 0, &errors) == 0 else {
    return CommandResult(output: "", errors: "cannot make a socket pair", status: -1)
  }
  var actions = posix_spawn_file_actions_t()
  posix_spawn_file_actions_init(&actions)
  posix_spawn_file_actions_adddup2(&actions, output[1], 1)
  posix_spawn_file_actions_adddup2(&actions, errors[1], 2)
  var arguments: [UnsafeMutablePointer<CChar>?] = (["hivesup"] + words).map { strdup($0) } + [nil]
  let variables = ["PATH=/usr/bin:/bin", "TZ=UTC"] + environment.map { "\($0.key)=\($0.value)" }
  var environ: [UnsafeMutablePointer<CChar>?] = variables.map { strdup($0) } + [nil]
  var pid = pid_t()
  let failure = posix_spawn(&pid, "\(directory)/hivesup", &actions, nil, &arguments, &environ)
  posix_spawn_file_actions_destroy(&actions)
  for word in arguments + environ { free(word) }
  close(output[1])
  close(errors[1])
  // What is printed is less than a socket holds: one after the other cannot block.
  let printed = (output: readAll(output[0]), errors: readAll(errors[0]))
  close(output[0])
  close(errors[0])
  guard failure == 0 else { return CommandResult(output: "", errors: "cannot run \(directory)/hivesup", status: -1) }
  var status: Int32 = 0
  while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
  return CommandResult(
    output: printed.output, errors: printed.errors,
    status: status & 0x7F == 0 ? (status >> 8) & 0xFF : 128 + (status & 0x7F))
}

private func readAll(_ descriptor: Int32) -> String {
  var bytes: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 65_536)
  while true {
    let count = read(descriptor, &buffer, buffer.count)
    if count < 0 && errno == EINTR { continue }
    guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
    bytes += buffer[..<count]
  }
}

/// Where the tests' own executable is, and beside it the built commands.
private func selfDirectory() -> String {
  var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
  let count = readlink("/proc/self/exe", &buffer, buffer.count)
  let path = String(decoding: buffer[..<max(count, 0)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  // `swift test` runs the bundle's executable itself, or through a helper that is named on the command line.
  let bundle = CommandLine.arguments.first { $0.hasSuffix(".xctest") } ?? path
  return String(bundle[..<(bundle.lastIndex(of: "/") ?? bundle.startIndex)])
}
