// The start of an init's program. `Spawner` is for programs of a configuration; here everything is passed on as it came, also arguments
// and variables that are no UTF-8.

import CHiveSys
import Glibc
import SupervisorCore

/// A program that could not be started.
struct ProgramRefused: Error, Equatable {
  /// "cannot run FILE: reason (remedy)".
  var text: String
  /// 126 or 127, as shells and env(1) have it.
  var status: Int32
}

/// What an init starts, once.
struct ProgramStart {
  private static let stackBytes = 64 * 1024

  var file: String
  /// argv, without the NULL at its end; the first is the program's own name.
  var arguments: [UnsafeMutablePointer<CChar>?]
  /// Whether its process group becomes the terminal's foreground group.
  var takesTerminal: Bool

  /// Starts it. A file that the kernel does not know how to execute and that looks like text is given to /bin/sh, as execvp(3) does.
  func start() -> Result<SpawnedChild, ProgramRefused> {
    guard let stack = hive_stack_map(ProgramStart.stackBytes) else {
      return .failure(refused(errno, stage: HIVE_STAGE_CLONE))
    }
    defer { hive_stack_unmap(stack, ProgramStart.stackBytes) }
    var result = spawn(file, arguments, stack)
    if result.stage == Int32(HIVE_STAGE_EXEC.rawValue) && result.error == ENOEXEC && isScript {
      let shell = withShell { spawn("/bin/sh", $0, stack) }
      // Without a shell the first answer is the right one.
      if shell.stage == 0 { result = shell }
    }
    if result.stage != 0 { return .failure(refused(result.error, stage: hive_stage(UInt32(bitPattern: result.stage)))) }
    return .success(
      SpawnedChild(pid: result.pid, pidfd: result.pidfd >= 0 ? result.pidfd : nil, inCgroup: false, pending: nil))
  }

  private func spawn(
    _ file: String, _ arguments: [UnsafeMutablePointer<CChar>?], _ stack: UnsafeMutableRawPointer
  ) -> hive_spawn_result {
    var plan = hive_spawn_plan()
    plan.environment = hive_environment()
    // Whatever our own parent ignores, and what `Signals` does.
    plan.signals = hive_changed_signals()
    plan.set = HIVE_SET_INHERIT_DESCRIPTORS.rawValue | (takesTerminal ? HIVE_SET_FOREGROUND.rawValue : 0)
    plan.cgroup = -1
    plan.stack = stack
    plan.stack_bytes = ProgramStart.stackBytes
    var result = hive_spawn_result()
    let vector = arguments + [nil]
    file.withCString { file in
      vector.withUnsafeBufferPointer { vector in
        plan.file = file
        plan.arguments = vector.baseAddress
        _ = hive_spawn(&plan, &result)
      }
    }
    if result.status >= 0 { ProgramStart.conclude(&result) }
    // What never became a program must not be taken for an orphan.
    if result.stage != 0 {
      if result.pid > 0 { waitpid(result.pid, nil, 0) }
      if result.pidfd >= 0 { close(result.pidfd) }
    }
    return result
  }

  /// Emulated kernels tell the outcome later: there is nothing else to do than to wait for it.
  private static func conclude(_ result: inout hive_spawn_result) {
    let descriptor = result.status
    var outcome = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    while hive_spawn_status(descriptor, &result) == 0 { poll(&outcome, 1, -1) }
    close(descriptor)
  }

  /// /bin/sh FILE ARGUMENT…
  private func withShell<Value>(_ body: ([UnsafeMutablePointer<CChar>?]) -> Value) -> Value {
    let shell = strdup("/bin/sh")
    let script = strdup(file)
    defer {
      free(shell)
      free(script)
    }
    return body([shell, script] + arguments.dropFirst())
  }

  /// Whether the file looks like text: no NUL in its first line (bash's check_binary_file()). A program for another architecture must
  /// not be read as a script.
  private var isScript: Bool {
    let descriptor = open(file, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    let start = [UInt8](unsafeUninitializedCapacity: 128) { buffer, count in
      count = max(read(descriptor, buffer.baseAddress, buffer.count), 0)
    }
    return !start.prefix { $0 != 0x0A }.contains(0)
  }

  private func refused(_ error: Int32, stage: hive_stage) -> ProgramRefused {
    let remedy: String? =
      switch (stage, error) {
      case (HIVE_STAGE_EXEC, ENOENT) where access(file, F_OK) == 0:
        "the interpreter in its first line, or the loader that it needs, does not exist here"
      case (HIVE_STAGE_EXEC, EACCES): "it is not executable for this user, or its file system is mounted noexec"
      case (HIVE_STAGE_EXEC, ENOEXEC): "it may be built for another architecture"
      case (HIVE_STAGE_CLONE, EAGAIN): "the limit of processes is reached (pids.max of the container, or RLIMIT_NPROC)"
      default: nil
      }
    return ProgramRefused(
      text: "cannot run \(file): \(errorText(error))" + (remedy.map { " (\($0))" } ?? ""),
      status: stage == HIVE_STAGE_EXEC && error == ENOENT ? ProgramInit.notFound : ProgramInit.cannotExecute)
  }
}
