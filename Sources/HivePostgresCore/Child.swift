// PostgreSQL's own programs, run to their end, with their output kept for the message when they do not succeed.

import CHivePostgres
import Glibc

/// A running child.
struct Child {
  /// How it ended.
  enum Ending: Equatable {
    case exited(Int32)
    case signaled(Int32)

    var text: String {
      switch self {
      case .exited(let status): "exit status \(status)"
      case .signaled(let signal): "signal \(signal)"
      }
    }
  }

  /// Where the output goes.
  enum Output {
    /// The same as ours.
    case inherit
    /// Into a file in memory.
    case capture
  }

  let name: String
  let pid: pid_t
  private let captured: Int32?

  /// Starts a program. `deathSignal`: what it gets when we die. `input` and `output`: descriptors to use instead of /dev/null
  /// and what `output` says; they stay the caller's.
  init(
    _ path: String, _ arguments: [String], environment: [String: String], directory: String? = nil,
    output: Output = .capture,
    input: Int32? = nil, standardOutput: Int32? = nil, deathSignal: Int32 = SIGKILL
  ) throws(Failure) {
    name = Path.name(path)
    let null = open("/dev/null", O_RDWR | O_CLOEXEC)
    guard null >= 0 else { throw .system("open /dev/null", errno) }
    defer { close(null) }
    var memory: Int32?
    if output == .capture {
      let fd = hpg_memory_file(name)
      guard fd >= 0 else { throw .system("keep the output of \(name)", errno) }
      memory = fd
    }
    captured = memory
    let argv = CStrings([path] + arguments)
    let envp = CStrings(environment.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" })
    defer {
      argv.free()
      envp.free()
    }
    let started: pid_t = path.withCString { path in
      func spawn(_ directory: UnsafePointer<CChar>?) -> pid_t {
        var child = hpg_child(
          path: path, argv: argv.pointer, envp: envp.pointer, directory: directory, standard_input: input ?? null,
          standard_output: standardOutput ?? memory ?? STDOUT_FILENO, standard_error: memory ?? STDERR_FILENO,
          death_signal: deathSignal)
        return hpg_spawn(&child)
      }
      return directory.map { $0.withCString { spawn($0) } } ?? spawn(nil)
    }
    guard started > 0 else {
      if let memory { close(memory) }
      throw .system(
        "run \(path)", -started,
        remedy: -started == EACCES ? "the user \(geteuid()) must be able to reach and execute it" : nil)
    }
    pid = started
  }

  /// Everything it wrote so far.
  func output() -> String {
    guard let captured else { return "" }
    lseek(captured, 0, SEEK_SET)
    guard let bytes = try? FileSystem.read(descriptor: captured, name: name) else { return "" }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Gives back what `output` holds.
  func release() {
    if let captured { close(captured) }
  }

  /// Its ending if it has ended, reaping it.
  func poll() -> Ending? {
    var status: Int32 = 0
    let result = waitpid(pid, &status, WNOHANG)
    if result == 0 || (result < 0 && errno == EINTR) { return nil }
    guard result == pid else { return .exited(255) }
    let signal = status & 0x7F
    return signal == 0 ? .exited(status >> 8 & 0xFF) : .signaled(signal)
  }

  /// Signals its whole group, and it where it left the group.
  func signal(_ number: Int32) {
    _ = Glibc.kill(-pid, number)
    _ = Glibc.kill(pid, number)
  }

  /// Waits for its end. On a stop signal the whole group is killed and reaped first; nil when `duration` passed.
  func wait(_ interruption: Interruption, atMost duration: Duration? = nil) throws(Failure) -> Ending? {
    let deadline = duration.map { ContinuousClock.now + $0 }
    while true {
      if let ending = poll() { return ending }
      let left = deadline.map { $0 - ContinuousClock.now } ?? .seconds(3600)
      guard left > .zero else { return nil }
      if case .stop(let number) = interruption.wait(atMost: left) {
        kill()
        throw .interrupted(number)
      }
    }
  }

  /// Kills the group and reaps the child.
  func kill() {
    signal(SIGKILL)
    var status: Int32 = 0
    while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
  }

  /// Ends a server: SIGQUIT makes it end its own children, which are in groups of their own; then as `kill`.
  func quit(within duration: Duration) {
    _ = Glibc.kill(pid, SIGQUIT)
    let deadline = ContinuousClock.now + duration
    while ContinuousClock.now < deadline {
      if poll() != nil { return }
      usleep(2000)
    }
    kill()
  }

  /// Runs a program to its end and returns its output; throws with its last lines when it does not exit with 0.
  @discardableResult
  static func run(
    _ path: String, _ arguments: [String], environment: [String: String], interruption: Interruption, action: String,
    input: Int32? = nil, directory: String? = nil
  ) throws(Failure) -> String {
    let child = try Child(path, arguments, environment: environment, directory: directory, input: input)
    defer { child.release() }
    guard let ending = try child.wait(interruption) else { return "" }
    let output = child.output()
    guard ending == .exited(0) else {
      throw Failure(.software, "cannot \(action): \(child.name) ended with \(ending.text)" + lastLines(output))
    }
    return output
  }

  /// The end of a program's output, for a message.
  static func lastLines(_ output: String, _ count: Int = 8) -> String {
    let lines = output.split(separator: "\n").suffix(count)
    return lines.isEmpty ? "" : ":\n  " + lines.joined(separator: "\n  ")
  }
}

/// A NULL-terminated array of C strings.
struct CStrings {
  let pointer: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
  private let count: Int

  init(_ strings: [String]) {
    count = strings.count
    pointer = .allocate(capacity: count + 1)
    for (index, string) in strings.enumerated() { (pointer + index).initialize(to: strdup(string)) }
    (pointer + count).initialize(to: nil)
  }

  func free() {
    for index in 0..<count { Glibc.free(pointer[index]) }
    pointer.deallocate()
  }
}
