// One pipe of one run of one program: read here, written to the program's sinks.

import CHiveSys
import Glibc
import SupervisorCore

/// A pipe for a child's output: close-on-exec, the read end non-blocking, the write end blocking.
public struct OutputPipe {
  /// For `LogPump`.
  public var readEnd: Int32
  /// For the child's descriptor 1 or 2; the parent closes it after the spawn.
  public var writeEnd: Int32

  /// Makes the pipe.
  public init() throws(SystemError) {
    var (read, write): (Int32, Int32) = (-1, -1)
    if hive_output_pipe(&read, &write) != 0 { throw SystemError("create a pipe for a program's output", errno: errno) }
    readEnd = read
    writeEnd = write
  }
}

/// The memory into which pipes are read: one for all pumps of a loop.
public final class ReadBuffer {
  /// How much one read takes at most: a pipe's usual capacity (pipe(7)).
  public static let size = 64 * 1024
  let bytes: UnsafeMutableRawBufferPointer

  /// Allocates the buffer; its pages become resident when they are first used.
  public init() {
    bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: ReadBuffer.size, alignment: 16)
  }

  deinit { bytes.deallocate() }
}

/// Reads a pipe until end of file and feeds a program's sinks.
///
/// One wake-up reads once, at most `ReadBuffer.size` bytes: a program that floods its pipe gets one turn among the others. While the
/// container's output is congested it is not read at all: the program waits in write(2), as it would without a supervisor. The end
/// of the process is not the end of the pipe, which its children may hold for ever: `processEnded` delivers what is there, and the
/// pump goes on until the last writer is gone.
public final class LogPump {
  /// Told once, when the last writer has closed the pipe. Not told after `close`.
  public var onEnd: (() -> Void)?
  /// Whether the pipe is still open.
  public var isOpen: Bool { descriptor >= 0 }

  private let loop: EventLoop
  private let buffer: ReadBuffer
  private let output: ProgramOutput
  private var descriptor: Int32
  private var registration: Registration?
  private var stripper = ANSIStripper()
  private var formatter: LineFormatter

  /// Takes over `readEnd` (non-blocking) and watches it. When it throws, `readEnd` is still the caller's.
  public init(loop: EventLoop, buffer: ReadBuffer, readEnd: Int32, output: ProgramOutput) throws(SystemError) {
    self.loop = loop
    self.buffer = buffer
    self.output = output
    descriptor = readEnd
    formatter = output.makeFormatter()
    do {
      try watch()
    } catch {
      descriptor = -1
      throw error
    }
  }

  deinit { release() }

  private func watch() throws(SystemError) {
    registration = try loop.add(descriptor, .readable) { [weak self] _ in self?.takeTurn() }
  }

  /// One wake-up's share of the pipe. Lines that are dressed grow, short ones many times over: they are read in small pieces, so that
  /// the ring has room for what becomes of them.
  private func takeTurn() {
    if pauseWhileCongested() { return }
    guard let container = output.container, output.format != .raw else {
      readOnce(atMost: ReadBuffer.size)
      return
    }
    var left = ReadBuffer.size
    while left > 0 {
      let piece = min(left, max(1024, min(8 * 1024, container.room / 64)))
      let count = readOnce(atMost: piece)
      if count < piece || pauseWhileCongested() { return }
      left -= count
    }
  }

  /// Lets go of the registration rather than of the interest: a hang-up would be reported all the time.
  private func pauseWhileCongested() -> Bool {
    guard let container = output.container, container.isCongested, let registration, descriptor >= 0 else {
      return false
    }
    loop.remove(registration)
    self.registration = nil
    container.whenRelieved { [weak self] in self?.resume() }
    return true
  }

  private func resume() {
    guard descriptor >= 0, registration == nil else { return }
    do {
      try watch()
    } catch {
      // No memory for it: again in a moment.
      loop.schedule(after: .milliseconds(100)) { [weak self] in self?.resume() }
    }
  }

  /// The process has ended: delivers what is in the pipe now and finishes the unfinished line. Never waits, and takes no more than
  /// one buffer and what is there after it, so that a child of the process that goes on writing cannot hold it up.
  public func processEnded() {
    var available: Int32 = 0
    // Most programs have said everything by now and were the last writers: this read finds the end, and the pipe is done with.
    if readOnce(atMost: ReadBuffer.size) > 0 && ioctl(descriptor, UInt(FIONREAD), &available) == 0 {
      var left = Int(available)
      while left > 0 && descriptor >= 0 {
        let count = readOnce(atMost: ReadBuffer.size)
        if count <= 0 { break }
        left -= count
      }
    }
    finishLine()
  }

  /// Stops reading: delivers what is there, then closes the pipe. Later writers get SIGPIPE.
  public func close() {
    onEnd = nil
    processEnded()
    release()
  }

  /// Reads once; the number of bytes, 0 at the end of the pipe, -1 when nothing is there.
  @discardableResult
  private func readOnce(atMost limit: Int) -> Int {
    guard descriptor >= 0 else { return 0 }
    let count = read(descriptor, buffer.bytes.baseAddress, min(limit, buffer.bytes.count))
    if count > 0 {
      deliver(UnsafeRawBufferPointer(rebasing: buffer.bytes[..<count]))
      return count
    }
    if count < 0 && (errno == EAGAIN || errno == EINTR) { return -1 }
    // End of file, or an error that will not go away.
    finishLine()
    release()
    let ended = onEnd
    onEnd = nil
    ended?()
    return 0
  }

  private func deliver(_ bytes: UnsafeRawBufferPointer) {
    output.count(bytes.count)
    if output.stripsANSI && !stripper.passes(bytes) {
      stripper.strip(bytes).withUnsafeBytes { pass($0) }
    } else {
      pass(bytes)
    }
  }

  private func pass(_ bytes: UnsafeRawBufferPointer) {
    guard !bytes.isEmpty else { return }
    output.keep(bytes)
    guard let container = output.container else { return }
    if output.format == .raw {
      container.write(bytes)
    } else {
      container.write(formatter.format(bytes, at: Clock.wall()))
    }
  }

  private func finishLine() {
    let held = stripper.finish()
    if !held.isEmpty { held.withUnsafeBytes { pass($0) } }
    if formatter.pending > 0 { output.container?.write(formatter.finish(at: Clock.wall())) }
  }

  private func release() {
    if let registration { loop.remove(registration) }
    registration = nil
    if descriptor >= 0 { Glibc.close(descriptor) }
    descriptor = -1
  }
}
