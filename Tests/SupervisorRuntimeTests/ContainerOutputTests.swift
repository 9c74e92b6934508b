import Foundation
import SupervisorCore
import Testing

@testable import SupervisorRuntime

/// What a thread has read.
private final class Heard: @unchecked Sendable {
  private let lock = NSLock()
  private var all: [UInt8] = []
  func append(_ bytes: ArraySlice<UInt8>) { lock.withLock { all += bytes } }
  var bytes: [UInt8] { lock.withLock { all } }
}

@Suite("The container's own output")
struct ContainerOutputTests {
  private let loop: EventLoop

  init() throws {
    ignoreBrokenPipes()
    loop = try EventLoop()
  }

  private func line(_ number: Int) -> String { "line \(number) \(String(repeating: "x", count: 80))\n" }

  @Test("a reader that reads gets every byte in order", arguments: [true, false])
  func everything(usesNowait: Bool) throws {
    let pipe = try makePipe()
    defer { for end in [pipe.read, pipe.write] { close(end) } }
    let output = ContainerOutput(loop: loop, descriptor: pipe.write)
    output.usesNowait = usesNowait
    var expected = ""
    var got: [UInt8] = []
    for number in 0..<5000 {
      output.write(Array(line(number).utf8))
      expected += line(number)
      if number % 100 == 99 {
        got += readAvailable(pipe.read)
        loop.turn(wait: false)
      }
    }
    #expect(
      loop.pollingTurns {
        got += readAvailable(pipe.read)
        return got.count >= expected.utf8.count
      })
    #expect(String(decoding: got, as: UTF8.self) == expected)
    #expect(output.droppedLines == 0)
    #expect(fcntl(pipe.write, F_GETFL) & O_NONBLOCK == 0)
  }

  @Test("a reader that never reads blocks nothing, and takes no more memory than the ring", arguments: [true, false])
  func stuckReader(usesNowait: Bool) throws {
    let pipe = try makePipe()
    defer { for end in [pipe.read, pipe.write] { close(end) } }
    let output = ContainerOutput(loop: loop, descriptor: pipe.write, capacity: 64 * 1024)
    output.usesNowait = usesNowait
    let begun = Clock.instant()
    for number in 0..<20_000 { output.write(Array(line(number).utf8)) }
    loop.settle()
    #expect(Clock.instant() - begun < .seconds(5))
    #expect(output.backlog <= 64 * 1024)
    #expect(output.droppedLines > 15_000)
    #expect(fcntl(pipe.write, F_GETFL) & O_NONBLOCK == 0)
  }

  @Test(
    "once the reader recovers, a line says exactly how many lines are missing, and none is cut",
    arguments: [true, false], [LogFormat.raw, .prefix, .json])
  func recovers(usesNowait: Bool, format: LogFormat) throws {
    let pipe = try makePipe()
    defer { for end in [pipe.read, pipe.write] { close(end) } }
    let output = ContainerOutput(loop: loop, descriptor: pipe.write, format: format, capacity: 64 * 1024)
    output.usesNowait = usesNowait
    for number in 0..<5000 { output.write(Array(line(number).utf8)) }
    let dropped = output.droppedLines
    #expect(dropped > 0)
    var got: [UInt8] = []
    #expect(
      loop.pollingTurns {
        got += readAvailable(pipe.read)
        return String(decoding: got.suffix(400), as: UTF8.self).contains("lines dropped")
      })
    output.write(Array("after\n".utf8))
    loop.settle()
    got += readAvailable(pipe.read)
    let lines = String(decoding: got, as: UTF8.self).split(separator: "\n").map(String.init)
    let kept = 5000 - Int(dropped)
    #expect(lines.count == kept + 2)
    for number in 0..<min(kept, lines.count) { #expect(lines[number] + "\n" == line(number)) }
    #expect(lines[lines.count - 2].contains("\(dropped) lines dropped"))
    #expect(lines.last == "after")
    switch format {
    case .raw: #expect(lines[lines.count - 2].hasPrefix("hivesupd: "))
    case .prefix: #expect(lines[lines.count - 2].contains(" hivesupd log | "))
    case .json: #expect(lines[lines.count - 2].hasPrefix("{\"timestamp\":"))
    }
  }

  @Test("nothing is watched, and no memory held, when nothing waits")
  func idle() throws {
    let pipe = try makePipe()
    defer { for end in [pipe.read, pipe.write] { close(end) } }
    let output = ContainerOutput(loop: loop, descriptor: pipe.write)
    output.write(Array("a\n".utf8))
    #expect(output.backlog == 0)
    let before = loop.wakeups
    loop.schedule(after: .milliseconds(20)) {}
    loop.turn(wait: true)
    #expect(loop.wakeups == before + 1)
  }

  @Test("a reader that goes away ends the output quietly", arguments: [true, false])
  func brokenPipe(isFull: Bool) throws {
    let pipe = try makePipe()
    defer { close(pipe.write) }
    let output = ContainerOutput(loop: loop, descriptor: pipe.write)
    if isFull { for number in 0..<2000 { output.write(Array(line(number).utf8)) } }
    close(pipe.read)
    loop.settle()
    output.write(Array("nobody\n".utf8))
    #expect(output.isBroken)
    #expect(output.backlog == 0)
    let before = loop.wakeups
    loop.schedule(after: .milliseconds(20)) {}
    loop.turn(wait: true)
    #expect(loop.wakeups == before + 1)
  }

  @Test("a regular file, which epoll refuses, gets everything; a full one is counted")
  func regularFile() throws {
    let directory = try ScratchDirectory()
    let file = open(directory.file("out"), O_WRONLY | O_CREAT | O_APPEND, 0o600)
    defer { close(file) }
    let output = ContainerOutput(loop: loop, descriptor: file)
    for number in 0..<1000 { output.write(Array(line(number).utf8)) }
    #expect(directory.text("out") == (0..<1000).map(line).joined())
    // /dev/full: every write is refused for lack of space.
    let full = open("/dev/full", O_WRONLY)
    defer { close(full) }
    let second = ContainerOutput(loop: loop, descriptor: full)
    for number in 0..<10 { second.write(Array(line(number).utf8)) }
    #expect(second.droppedLines == 10)
    #expect(!second.isBroken)
  }

  @Test("a socket is written without waiting and without touching its flags")
  func socketOutput() throws {
    var ends: [Int32] = [-1, -1]
    #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
    defer { for end in ends { close(end) } }
    let output = ContainerOutput(loop: loop, descriptor: ends[0], capacity: 16 * 1024)
    for number in 0..<20_000 { output.write(Array(line(number).utf8)) }
    #expect(output.droppedLines > 0)
    #expect(fcntl(ends[0], F_GETFL) & O_NONBLOCK == 0)
  }

  @Test("a terminal is made non-blocking, and given its flags back at the end, after both of its descriptors are done")
  func terminal() throws {
    // ptmx(4), as openpty(3) does it: TIOCSPTLCK unlocks, TIOCGPTN tells the number.
    let master = open("/dev/ptmx", O_RDWR | O_NOCTTY)
    try #require(master >= 0)
    defer { close(master) }
    var (unlock, number): (Int32, Int32) = (0, 0)
    try #require(ioctl(master, 0x4004_5431, &unlock) == 0 && ioctl(master, 0x8004_5430, &number) == 0)
    let terminal = open("/dev/pts/\(number)", O_RDWR | O_NOCTTY)
    try #require(terminal >= 0)
    let second = dup(terminal)
    defer { for descriptor in [terminal, second] { close(descriptor) } }
    let flags = fcntl(terminal, F_GETFL)
    let outputs = [ContainerOutput(loop: loop, descriptor: terminal), ContainerOutput(loop: loop, descriptor: second)]
    #expect(fcntl(terminal, F_GETFL) & O_NONBLOCK != 0)
    // Nobody reads the other side: the terminal's buffer fills up.
    for number in 0..<5000 { outputs[number % 2].write(Array(line(number).utf8)) }
    #expect(outputs[0].backlog > 0)
    let begun = Clock.instant()
    ContainerOutput.finish(outputs, within: .milliseconds(100))
    #expect(Clock.instant() - begun < .seconds(2))
    #expect(fcntl(terminal, F_GETFL) == flags)
  }

  @Test("the end waits for a reader that is slow, but not longer than it may")
  func finishes() throws {
    let pipe = try makePipe()
    let output = ContainerOutput(loop: loop, descriptor: pipe.write)
    var expected = ""
    for number in 0..<2000 {
      output.write(Array(line(number).utf8))
      expected += line(number)
    }
    #expect(output.backlog > 0)
    let begun = Clock.instant()
    ContainerOutput.finish([output], within: .milliseconds(50))
    let waited = Clock.instant() - begun
    #expect(waited >= .milliseconds(50) && waited < .seconds(2))
    // Now somebody reads, and the end waits for all of it.
    let reading = pipe.read
    let heard = Heard()
    let reader = Beside {
      var buffer = [UInt8](repeating: 0, count: 4096)
      while true {
        let count = read(reading, &buffer, buffer.count)
        if count <= 0 { return }
        heard.append(buffer[..<count])
      }
    }
    ContainerOutput.finish([output], within: .seconds(10))
    #expect(output.backlog == 0)
    close(pipe.write)
    reader.wait()
    close(pipe.read)
    #expect(String(decoding: heard.bytes, as: UTF8.self) == expected)
  }

  @Test("a descriptor that is not there is as good as no reader")
  func closedDescriptor() {
    let output = ContainerOutput(loop: loop, descriptor: 9999)
    #expect(output.isBroken)
    output.write(Array("x\n".utf8))
  }
}
