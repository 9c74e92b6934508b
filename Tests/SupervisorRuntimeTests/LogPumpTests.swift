import Foundation
import SupervisorCore
import Testing

@testable import SupervisorRuntime

/// A number that threads add to.
private final class Counter: @unchecked Sendable {
  private let lock = NSLock()
  private var sum = 0
  func add(_ number: Int) { lock.withLock { sum += number } }
  var value: Int { lock.withLock { sum } }
}

@Suite("Log pumps")
struct LogPumpTests {
  private let loop: EventLoop
  private let buffer = ReadBuffer()

  init() throws {
    ignoreBrokenPipes()
    loop = try EventLoop()
  }

  @Test("bytes reach the file, the tail and the followers as they are")
  func allSinks() throws {
    let directory = try ScratchDirectory()
    let file = try RotatingFile(path: directory.file("a.log"), maxBytes: 0, backups: 0)
    let output = ProgramOutput(program: "a", stream: "stdout", tailBytes: 8, file: file)
    let pipe = try OutputPipe()
    let pump = try LogPump(loop: loop, buffer: buffer, readEnd: pipe.readEnd, output: output)
    var heard: [UInt8] = []
    _ = output.tail.follow { _, bytes in heard += Array(bytes) }
    writeAll(pipe.writeEnd, "one\ntwo\nno end")
    #expect(loop.turns { output.received == 14 })
    #expect(directory.text("a.log") == "one\ntwo\nno end")
    #expect(
      output.tail.tail(100).bytes == Array("\nno end".utf8).suffix(8)
        || output.tail.tail(100).bytes == Array("o\nno end".utf8))
    #expect(heard == Array("one\ntwo\nno end".utf8))
    var isEnded = false
    pump.onEnd = { isEnded = true }
    close(pipe.writeEnd)
    #expect(loop.turns { isEnded })
    #expect(!pump.isOpen)
  }

  @Test(
    "what was written before the exit is there when the exit is handled, although a child of the process holds the pipe"
  )
  func deliveredAtExit() throws {
    let output = ProgramOutput(program: "a", stream: "stdout", tailBytes: 1 << 20)
    let pipe = try OutputPipe()
    let pump = try LogPump(loop: loop, buffer: buffer, readEnd: pipe.readEnd, output: output)
    let text = String(repeating: "x", count: 60_000)
    writeAll(pipe.writeEnd, text)
    // The loop has not been turned: the exit is handled first.
    pump.processEnded()
    #expect(output.tail.tail(.max).bytes.count == 60_000)
    #expect(pump.isOpen)
    writeAll(pipe.writeEnd, "late words of a grandchild")
    #expect(loop.turns { output.received == 60_026 })
    close(pipe.writeEnd)
    #expect(loop.turns { !pump.isOpen })
  }

  @Test("the exit of the last writer ends the pipe at once, without a turn of the loop")
  func endFoundAtExit() throws {
    // A child that another test is starting may hold a copy of the write end until it executes: not every attempt must succeed.
    let ended = try (0..<100).contains { _ in
      let pipe = try OutputPipe()
      let output = ProgramOutput(program: "a", stream: "stdout", tailBytes: 0)
      let pump = try LogPump(loop: loop, buffer: buffer, readEnd: pipe.readEnd, output: output)
      close(pipe.writeEnd)
      pump.processEnded()
      return !pump.isOpen
    }
    #expect(ended)
  }

  @Test("a pipe that a child of the ended process holds stays open, whether there were last words or not")
  func heldBeyondExit() throws {
    for words in ["", "last words"] {
      let output = ProgramOutput(program: "a", stream: "stdout", tailBytes: 100)
      let pipe = try OutputPipe()
      let pump = try LogPump(loop: loop, buffer: buffer, readEnd: pipe.readEnd, output: output)
      writeAll(pipe.writeEnd, words)
      pump.processEnded()
      #expect(pump.isOpen)
      #expect(output.tail.tail(100).bytes == Array(words.utf8))
      close(pipe.writeEnd)
      #expect(loop.turns { !pump.isOpen })
    }
  }

  @Test("a descendant that never stops writing cannot hold up the exit")
  func endlessWriter() throws {
    let output = ProgramOutput(program: "a", stream: "stdout", tailBytes: 0)
    let pipe = try OutputPipe()
    let pump = try LogPump(loop: loop, buffer: buffer, readEnd: pipe.readEnd, output: output)
    let writeEnd = pipe.writeEnd
    let yes = Beside {
      let block = [UInt8](repeating: UInt8(ascii: "y"), count: 4096)
      while write(writeEnd, block, block.count) > 0 {}
    }
    #expect(loop.turns { output.received > 1 << 20 })
    let before = output.received
    pump.processEnded()
    // At most what the pipe held, plus what one read took beyond it.
    #expect(output.received - before <= 128 * 1024)
    // Each wake-up takes one bounded read: the loop keeps coming round.
    let (wakeups, received) = (loop.wakeups, output.received)
    #expect(loop.turns { output.received > received + (8 << 20) })
    #expect(loop.wakeups - wakeups >= 128)
    pump.close()
    yes.wait()
    close(writeEnd)
  }

  @Test("an unfinished line is dressed and flushed at the exit, and the next run begins a new one")
  func partialLineAtExit() throws {
    let container = try makePipe()
    defer { for end in [container.read, container.write] { close(end) } }
    let shared = ContainerOutput(loop: loop, descriptor: container.write, format: .prefix)
    let output = ProgramOutput(program: "api", stream: "stderr", format: .prefix, tailBytes: 0, container: shared)
    var lines: [Substring] = []
    for word in ["first", "second"] {
      let pipe = try OutputPipe()
      let pump = try LogPump(loop: loop, buffer: buffer, readEnd: pipe.readEnd, output: output)
      writeAll(pipe.writeEnd, word)
      pump.processEnded()
      // The pipe is still held: the line must be there before its end.
      lines += String(decoding: readAvailable(container.read), as: UTF8.self).split(separator: "\n")
      close(pipe.writeEnd)
      #expect(loop.turns { !pump.isOpen })
    }
    #expect(readAvailable(container.read).isEmpty)
    #expect(lines.count == 2)
    #expect(lines.first?.hasSuffix(" api stderr | first") == true)
    #expect(lines.last?.hasSuffix(" api stderr | second") == true)
  }

  @Test("strip_ansi cleans every sink, also of sequences that two reads cut")
  func stripsANSI() throws {
    let container = try makePipe()
    defer { for end in [container.read, container.write] { close(end) } }
    let shared = ContainerOutput(loop: loop, descriptor: container.write)
    let output = ProgramOutput(program: "a", stream: "stdout", stripsANSI: true, tailBytes: 100, container: shared)
    let pipe = try OutputPipe()
    let pump = try LogPump(loop: loop, buffer: buffer, readEnd: pipe.readEnd, output: output)
    for piece in ["\u{1b}[3", "1mred\u{1b}", "[0m\n"] {
      writeAll(pipe.writeEnd, piece)
      loop.turn(wait: true)
    }
    writeAll(pipe.writeEnd, "end\u{1b}")
    close(pipe.writeEnd)
    #expect(loop.turns { !pump.isOpen })
    #expect(output.tail.tail(100).bytes == Array("red\nend\u{1b}".utf8))
    #expect(readAvailable(container.read) == Array("red\nend\u{1b}".utf8))
  }

  @Test("a container output that is stuck holds up neither the file nor the program")
  func stuckContainer() throws {
    let directory = try ScratchDirectory()
    let container = try makePipe()
    defer { for end in [container.read, container.write] { close(end) } }
    let shared = ContainerOutput(loop: loop, descriptor: container.write, capacity: 16 * 1024)
    let file = try RotatingFile(path: directory.file("a.log"), maxBytes: 0, backups: 0)
    let output = ProgramOutput(program: "a", stream: "stdout", tailBytes: 0, file: file, container: shared)
    let pipe = try OutputPipe()
    let pump = try LogPump(loop: loop, buffer: buffer, readEnd: pipe.readEnd, output: output)
    let writeEnd = pipe.writeEnd
    let writer = Beside {
      writeAll(writeEnd, String(repeating: "x", count: 2_000_000))
      close(writeEnd)
    }
    #expect(loop.turns { !pump.isOpen })
    writer.wait()
    #expect(directory.bytes("a.log").count == 2_000_000)
    #expect(shared.droppedLines > 0)
  }

  @Test(
    "a reader that is slow, but reads, costs no line: the program waits instead",
    arguments: [LogFormat.raw, .prefix, .json])
  func slowContainer(format: LogFormat) throws {
    let container = try makePipe()
    let shared = ContainerOutput(loop: loop, descriptor: container.write, format: format)
    let output = ProgramOutput(program: "a", stream: "stdout", format: format, tailBytes: 0, container: shared)
    let pipe = try OutputPipe()
    let pump = try LogPump(loop: loop, buffer: buffer, readEnd: pipe.readEnd, output: output)
    let (source, sink) = (pipe.writeEnd, container.read)
    let writer = Beside {
      for block in 0..<400 { writeAll(source, (0..<100).map { "line \(block * 100 + $0)\n" }.joined()) }
      close(source)
    }
    let lines = Counter()
    let reader = Beside {
      var bytes = [UInt8](repeating: 0, count: 32 * 1024)
      while true {
        let count = read(sink, &bytes, bytes.count)
        if count <= 0 { return }
        lines.add(bytes[..<count].count { $0 == 0x0a })
        usleep(500)
      }
    }
    #expect(loop.turns(within: .seconds(30)) { !pump.isOpen })
    #expect(loop.turns { shared.backlog == 0 })
    close(container.write)
    writer.wait()
    reader.wait()
    close(container.read)
    #expect(shared.droppedLines == 0)
    #expect(lines.value == 40_000)
  }

  @Test("a reader that is stuck holds the program up once, for a moment, and then no more")
  func stuckContainerOnce() throws {
    let container = try makePipe()
    defer { for end in [container.read, container.write] { close(end) } }
    let shared = ContainerOutput(loop: loop, descriptor: container.write, capacity: 64 * 1024)
    let output = ProgramOutput(program: "a", stream: "stdout", tailBytes: 0, container: shared)
    var took: [Interval] = []
    for _ in 0..<3 {
      let pipe = try OutputPipe()
      let pump = try LogPump(loop: loop, buffer: buffer, readEnd: pipe.readEnd, output: output)
      let source = pipe.writeEnd
      let begun = Clock.instant()
      let writer = Beside {
        writeAll(source, String(repeating: "a line of text\n", count: 40_000))
        close(source)
      }
      #expect(loop.turns { !pump.isOpen })
      took.append(Clock.instant() - begun)
      writer.wait()
    }
    #expect(took[0] >= .milliseconds(400))
    #expect(took[1] < .milliseconds(400) && took[2] < .milliseconds(400))
    #expect(shared.droppedLines > 100_000)
    // It reads again: the pumps wait for it again.
    #expect(
      loop.pollingTurns {
        _ = readAvailable(container.read)
        return shared.backlog == 0
      })
    #expect(!shared.isCongested)
  }

  @Test("close delivers what is there and lets go of the descriptor")
  func closes() throws {
    let before = descriptorCount()
    let output = ProgramOutput(program: "a", stream: "stdout", tailBytes: 100)
    let pipe = try OutputPipe()
    let pump = try LogPump(loop: loop, buffer: buffer, readEnd: pipe.readEnd, output: output)
    var isEnded = false
    pump.onEnd = { isEnded = true }
    writeAll(pipe.writeEnd, "last words")
    pump.close()
    #expect(output.tail.tail(100).bytes == Array("last words".utf8))
    #expect(!pump.isOpen && !isEnded)
    #expect(write(pipe.writeEnd, "x", 1) == -1 && errno == EPIPE)
    close(pipe.writeEnd)
    // Other tests run beside this one, so only a leak of our own two descriptors is looked for.
    #expect(fcntl(pipe.readEnd, F_GETFD) == -1 || descriptorCount() <= before + 64)
  }

  @Test("the pipe's read end does not block, its write end does, and neither is inherited")
  func pipeFlags() throws {
    let pipe = try OutputPipe()
    defer { for end in [pipe.readEnd, pipe.writeEnd] { close(end) } }
    #expect(fcntl(pipe.readEnd, F_GETFL) & O_NONBLOCK != 0)
    #expect(fcntl(pipe.writeEnd, F_GETFL) & O_NONBLOCK == 0)
    #expect(fcntl(pipe.readEnd, F_GETFD) & FD_CLOEXEC != 0)
    #expect(fcntl(pipe.writeEnd, F_GETFD) & FD_CLOEXEC != 0)
  }
}

@Suite("The supervisor's own log")
struct MainLogTests {
  /// 2026-11-20T10:00:00.123Z.
  private let wall = WallTime(nanoseconds: 1_795_168_800_123_456_789)

  @Test("has supervisord's lines in the file, in the time zone of the process")
  func supervisordFormat() throws {
    let directory = try ScratchDirectory()
    let log = MainLog(
      level: .info, file: try RotatingFile(path: directory.file("s.log"), maxBytes: 0, backups: 0), tailBytes: 4096)
    log.log(.info, "spawned: 'api' with pid 12", at: wall)
    log.log(.warn, "two\nlines \u{7}", at: wall)
    log.log(.debug, "not written", at: wall)
    var seconds = time_t(wall.unixSeconds)
    var fields = tm()
    localtime_r(&seconds, &fields)
    let hour = String(
      format: "%04d-%02d-%02d %02d", fields.tm_year + 1900, fields.tm_mon + 1, fields.tm_mday, fields.tm_hour)
    #expect(
      directory.text("s.log").replacingOccurrences(of: hour, with: "DATE")
        == "DATE:00:00,123 INFO spawned: 'api' with pid 12\nDATE:00:00,123 WARN two\\nlines \\x07\n")
    #expect(log.tail.tail(4096).bytes == directory.bytes("s.log"))
  }

  @Test("every level has supervisord's letters and threshold")
  func levels() throws {
    for threshold in LogLevel.allCases {
      let log = MainLog(level: threshold, tailBytes: 4096)
      for level in LogLevel.allCases { log.log(level, "x", at: wall) }
      let tags = String(decoding: log.tail.tail(4096).bytes, as: UTF8.self).split(separator: "\n").compactMap {
        $0.split(separator: " ").dropFirst(2).first.map(String.init)
      }
      #expect(tags == LogLevel.allCases.filter { $0 >= threshold }.map(\.tag))
    }
  }

  @Test("goes to standard error in the container's format", arguments: LogFormat.allCases)
  func containerFormats(format: LogFormat) throws {
    let pipe = try makePipe()
    defer { for end in [pipe.read, pipe.write] { close(end) } }
    let container = ContainerOutput(loop: try EventLoop(), descriptor: pipe.write, format: format)
    let log = MainLog(container: container, format: format)
    log.log(.error, "it \"broke\"\n", at: wall)
    let line = String(decoding: readAvailable(pipe.read), as: UTF8.self)
    switch format {
    case .raw: #expect(line.hasSuffix(":00:00,123 ERRO it \"broke\"\\n\n"))
    case .prefix: #expect(line == "2026-11-20T10:00:00.123Z hivesupd log | ERRO it \"broke\"\\n\n")
    case .json:
      #expect(
        line
          == #"{"timestamp":"2026-11-20T10:00:00.123Z","program":"hivesupd","stream":"log","level":"ERRO","message":"it \"broke\"\\n"}"#
          + "\n")
    }
  }
}
