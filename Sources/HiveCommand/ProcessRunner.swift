// Running docker and compose: what they say is collected or read line by line; or this process becomes them.

import CommandOutput
@preconcurrency import Glibc
import Subprocess

/// What another program did.
struct Outcome: Equatable, Sendable {
  /// Its exit status; 128 + n when signal n ended it.
  var status: Int32
  /// What it wrote to standard output.
  var output: [UInt8] = []
  /// What it wrote to standard error, with replacement characters for what is no UTF-8.
  var error = ""

  var succeeded: Bool { status == 0 }
  var text: String { String(decoding: output, as: UTF8.self) }
}

/// Why another program has no outcome.
enum RunFailure: Error, Equatable {
  /// There is no such program in PATH.
  case notFound
  /// It did not end in time, and was killed.
  case tooLate
  /// It could not be run, or its output could not be read.
  case other(String)
}

/// Runs programs in process groups of their own: Ctrl-C in the terminal reaches this process alone, which then decides. A task that
/// is cancelled interrupts its program as the terminal would have, and kills it when that does not end it.
struct ProcessRunner: Sendable {
  /// Bounds memory against a program that talks without end.
  static let mostBytes = 64 << 20

  /// Runs a program to its end and collects what it says.
  /// - Parameter seconds: how long it may take.
  /// - Throws: `RunFailure`, or `CancellationError` when the task was cancelled.
  func capture(_ invocation: Invocation, within seconds: Double) async throws -> Outcome {
    try await withThrowingTaskGroup(of: Outcome?.self) { group in
      group.addTask { try await Self.collect(invocation) }
      group.addTask {
        try await Task.sleep(for: .seconds(seconds))
        return nil
      }
      defer { group.cancelAll() }
      guard let first = try await group.next() else { throw CancellationError() }
      try Task.checkCancellation()
      guard let outcome = first else { throw RunFailure.tooLate }
      return outcome
    }
  }

  /// Runs a program and hands over its lines, of both streams in the order in which they come, without their ends.
  /// - Returns: how it ended, without output.
  func follow(_ invocation: Invocation, _ take: (String) async -> Void) async throws -> Outcome {
    do {
      let result = try await run(
        .name(invocation.program), arguments: Arguments(invocation.arguments), platformOptions: Self.options,
        input: .none, output: .sequence, error: .combinedWithOutput
      ) { execution in
        var lines = LineSplitter()
        for try await buffer in execution.standardOutput {
          for line in lines.take(buffer.withUnsafeBytes { Array($0) }) { await take(Self.text(line)) }
        }
        if let rest = lines.rest { await take(Self.text(rest)) }
      }
      try Task.checkCancellation()
      return Outcome(status: Self.status(result.terminationStatus))
    } catch let error as SubprocessError {
      // A program that is being ended may fail in ways of its own.
      try Task.checkCancellation()
      throw Self.failure(error)
    }
  }

  /// Replaces this process: terminal, signals and exit status are then the other program's own affair. Returns only by throwing.
  static func become(_ invocation: Invocation) throws(RunFailure) -> Never {
    // Signals that this process reads in a thread are blocked here; a mask is inherited (execve(2)).
    var none = sigset_t()
    sigemptyset(&none)
    pthread_sigmask(SIG_SETMASK, &none, nil)
    signal(SIGPIPE, SIG_DFL)
    var words: [UnsafeMutablePointer<CChar>?] = ([invocation.program] + invocation.arguments).map { strdup($0) }
    words.append(nil)
    execvp(invocation.program, &words)
    let reason = errno
    for word in words { free(word) }
    throw reason == ENOENT ? .notFound : .other(errorText(reason))
  }

  private static func collect(_ invocation: Invocation) async throws -> Outcome {
    do {
      let result = try await run(
        .name(invocation.program), arguments: Arguments(invocation.arguments), platformOptions: options,
        input: .none, output: .bytes(limit: mostBytes), error: .bytes(limit: mostBytes))
      return Outcome(
        status: status(result.terminationStatus), output: result.standardOutput,
        error: String(decoding: result.standardError, as: UTF8.self))
    } catch let error as SubprocessError {
      try Task.checkCancellation()
      throw failure(error)
    }
  }

  private static var options: PlatformOptions {
    var options = PlatformOptions()
    options.processGroupID = 0
    options.teardownSequence = [
      .send(signal: .interrupt, toProcessGroup: true, allowedDurationToNextStep: .seconds(10)),
      .send(signal: .terminate, toProcessGroup: true, allowedDurationToNextStep: .seconds(2)),
    ]
    return options
  }

  private static func status(_ termination: TerminationStatus) -> Int32 {
    switch termination {
    case .exited(let code): code
    case .signaled(let signal): 128 + signal
    }
  }

  private static func failure(_ error: SubprocessError) -> RunFailure {
    error.code == .executableNotFound ? .notFound : .other("\(error)")
  }

  /// A carriage return inside a line means that what stands before it was overwritten.
  private static func text(_ line: [UInt8]) -> String {
    var bytes = line[...]
    while bytes.last == 0x0D { bytes.removeLast() }
    if let last = bytes.lastIndex(of: 0x0D) { bytes = bytes[(last + 1)...] }
    return String(decoding: bytes, as: UTF8.self)
  }
}
