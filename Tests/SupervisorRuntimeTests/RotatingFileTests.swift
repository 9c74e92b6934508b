import Foundation
import Testing

@testable import SupervisorRuntime

/// supervisor/loggers.py, RotatingFileHandler, as a model: what each file holds after a sequence of writes.
private struct SupervisordModel {
  var maxBytes: Int
  var backups: Int
  /// Index 0 is the file itself, 1 is `.1`, …
  var files: [[UInt8]] = [[]]

  mutating func write(_ bytes: [UInt8]) {
    files[0] += bytes
    guard maxBytes > 0, files[0].count >= maxBytes else { return }
    if backups > 0 {
      files.insert([], at: 0)
      files = Array(files.prefix(backups + 1))
    } else {
      files[0] = []
    }
  }
}

@Suite("Log files")
struct RotatingFileTests {
  private func write(_ file: RotatingFile, _ text: String) { withBytes(text) { file.write($0) } }

  @Test(
    "rotate exactly as supervisord's do",
    arguments: [(0, 3), (100, 0), (100, 1), (100, 2), (100, 10), (1, 3), (4096, 12)])
  func rotatesLikeSupervisord(maxBytes: Int, backups: Int) throws {
    let directory = try ScratchDirectory()
    let file = try RotatingFile(path: directory.file("a.log"), maxBytes: Int64(maxBytes), backups: backups)
    var model = SupervisordModel(maxBytes: maxBytes, backups: backups)
    var generator = SeededGenerator(seed: UInt64(maxBytes * 31 + backups))
    for _ in 0..<200 {
      let bytes = (0..<Int.random(in: 1...150, using: &generator)).map { _ in
        UInt8.random(in: 0x61...0x7a, using: &generator)
      }
      bytes.withUnsafeBytes { file.write($0) }
      model.write(bytes)
    }
    let names = model.files.indices.map { $0 == 0 ? "a.log" : "a.log.\($0)" }
    #expect(directory.names == names.sorted())
    for (name, content) in zip(names, model.files) { #expect(directory.bytes(name) == content, "\(name)") }
  }

  @Test("append to what is there, and count it towards the limit")
  func appends() throws {
    let directory = try ScratchDirectory()
    try "0123456789".write(toFile: directory.file("a.log"), atomically: false, encoding: .utf8)
    let file = try RotatingFile(path: directory.file("a.log"), maxBytes: 15, backups: 1)
    #expect(file.size == 10)
    write(file, "abc")
    #expect(directory.text("a.log") == "0123456789abc")
    write(file, "de")
    #expect(directory.text("a.log.1") == "0123456789abcde")
    #expect(directory.text("a.log") == "")
  }

  @Test("a missing directory is named with the remedy")
  func missingDirectory() throws {
    let directory = try ScratchDirectory()
    let path = directory.file("none/a.log")
    #expect {
      try RotatingFile(path: path, maxBytes: 0, backups: 0)
    } throws: { error in
      "\(error)"
        == "cannot open the log file \(path), because its directory does not exist (create \(directory.path)/none): No such file or directory"
    }
  }

  @Test("reopen writes to the path again after somebody has moved the file away")
  func reopens() throws {
    let directory = try ScratchDirectory()
    let file = try RotatingFile(path: directory.file("a.log"), maxBytes: 0, backups: 0)
    write(file, "old")
    try FileManager.default.moveItem(atPath: directory.file("a.log"), toPath: directory.file("moved"))
    write(file, " still old")
    file.reopen()
    write(file, "new")
    #expect(directory.text("moved") == "old still old")
    #expect(directory.text("a.log") == "new")
  }

  @Test("reopen keeps the old file where the path cannot be opened any more")
  func reopenRefused() throws {
    let directory = try ScratchDirectory()
    try FileManager.default.createDirectory(atPath: directory.file("logs"), withIntermediateDirectories: false)
    let file = try RotatingFile(path: directory.file("logs/a.log"), maxBytes: 0, backups: 0)
    var troubles: [String] = []
    file.onTrouble = { troubles.append("\($0)") }
    try FileManager.default.moveItem(atPath: directory.file("logs"), toPath: directory.file("gone"))
    file.reopen()
    write(file, "kept")
    #expect(directory.text("gone/a.log") == "kept")
    #expect(troubles.count == 1)
  }

  @Test("a full disk drops and counts, and says so in the file when there is room again")
  func fullDisk() throws {
    // /dev/full answers every write with ENOSPC; it stands in by a link that is then moved to a real file.
    let directory = try ScratchDirectory()
    symlink("/dev/full", directory.file("a.log"))
    let file = try RotatingFile(path: directory.file("a.log"), maxBytes: 10, backups: 1)
    var troubles: [SystemError] = []
    var recovered: [UInt64] = []
    file.onTrouble = { troubles.append($0) }
    file.onRecovery = { recovered.append($0) }
    for _ in 0..<5 { write(file, "12345\n") }
    #expect(file.dropped == 30)
    #expect(troubles.map(\.errno) == [ENOSPC])
    unlink(directory.file("a.log"))
    file.reopen()
    write(file, "again\n")
    #expect(directory.text("a.log.1") == "\n[hivesupd: 30 bytes dropped: the log file could not be written]\nagain\n")
    #expect(recovered == [30])
    #expect(file.dropped == 0)
  }

  @Test("a rotation that is refused loses no line")
  func rotationRefused() throws {
    let directory = try ScratchDirectory()
    let file = try RotatingFile(path: directory.file("a.log"), maxBytes: 10, backups: 2)
    // A directory where the backup should be: rename(2) refuses, for root too.
    try FileManager.default.createDirectory(atPath: directory.file("a.log.1"), withIntermediateDirectories: false)
    try "x".write(toFile: directory.file("a.log.1/x"), atomically: false, encoding: .utf8)
    try FileManager.default.createDirectory(atPath: directory.file("a.log.2"), withIntermediateDirectories: false)
    try "x".write(toFile: directory.file("a.log.2/x"), atomically: false, encoding: .utf8)
    var troubles = 0
    file.onTrouble = { _ in troubles += 1 }
    var expected = ""
    for number in 0..<20 {
      write(file, "line \(number)\n")
      expected += "line \(number)\n"
    }
    #expect(directory.text("a.log") == expected)
    #expect(troubles == 1)
  }

  @Test("a file that somebody truncates is not rotated before it is full again")
  func truncatedByOthers() throws {
    let directory = try ScratchDirectory()
    let file = try RotatingFile(path: directory.file("a.log"), maxBytes: 10, backups: 1)
    write(file, "12345678")
    truncate(directory.file("a.log"), 0)
    write(file, "abcd")
    #expect(directory.names == ["a.log"])
    #expect(directory.text("a.log") == "abcd")
    write(file, "efghij")
    #expect(directory.text("a.log.1") == "abcdefghij")
  }

  @Test("a FIFO or a device is neither waited for nor rotated")
  func specialFiles() throws {
    let directory = try ScratchDirectory()
    #expect(mkfifo(directory.file("fifo"), 0o600) == 0)
    #expect(throws: SystemError.self) { try RotatingFile(path: directory.file("fifo"), maxBytes: 10, backups: 1) }
    let reader = open(directory.file("fifo"), O_RDONLY | O_NONBLOCK)
    defer { close(reader) }
    let fifo = try RotatingFile(path: directory.file("fifo"), maxBytes: 10, backups: 1)
    let block = String(repeating: "x", count: 65536)
    for _ in 0..<4 { write(fifo, block) }
    #expect(fifo.dropped >= 65536 * 2)
    #expect(directory.names == ["fifo"])
    let null = try RotatingFile(path: "/dev/null", maxBytes: 1, backups: 3)
    write(null, "gone")
    #expect(null.dropped == 0)
  }

  @Test("clear begins a new file")
  func clears() throws {
    let directory = try ScratchDirectory()
    let file = try RotatingFile(path: directory.file("a.log"), maxBytes: 0, backups: 0)
    write(file, "old")
    try file.clear()
    write(file, "new")
    #expect(directory.text("a.log") == "new")
  }

  @Test("two streams of one path share one rotation")
  func sharedByPath() throws {
    let directory = try ScratchDirectory()
    let files = LogFiles()
    let path = directory.file("a.log")
    let out = try files.file(path, maxBytes: 10, backups: 1)
    let error = try files.file(path, maxBytes: 10, backups: 1)
    #expect(out === error)
    #expect(files.all.count == 1)
  }
}

@Suite("Automatic log files")
struct AutoLogFileTests {
  @Test("have supervisord's names")
  func names() throws {
    let directory = try ScratchDirectory()
    let path = try AutoLogFile.create(
      directory: directory.path, process: "api", stream: "stderr", identifier: "supervisor")
    let name = try #require(directory.names.first)
    #expect(path == directory.file(name))
    #expect(name.hasPrefix("api-stderr---supervisor-"))
    #expect(name.hasSuffix(".log"))
    #expect(AutoLogFile.matches(name, identifier: "supervisor"))
    var status = stat()
    #expect(stat(path, &status) == 0)
    #expect(status.st_mode & 0o777 == 0o600)
  }

  /// Each with what Python's `re.match(r'.+?---%s-\S+\.log\.{0,1}\d{0,4}' % 'sup', name)` says.
  @Test(
    "are recognised as supervisord does it",
    arguments: [
      ("a-stdout---sup-x7Yz.log", true), ("a-stdout---sup-x7Yz.log.3", true), ("a---sup-x.logx", true),
      ("---sup-x.log", false), ("a---sup-.log", false), ("a---sup-x y.log", false), ("a---other-x.log", false),
      ("a---sup-x.txt", false), ("a---sup-x", false), ("", false), ("a---sup---sup-x.log", true),
      ("a b---sup-c.log.log", true),
      ("a---sup-.log.log", true),
    ])
  func recognised(name: String, expected: Bool) {
    #expect(AutoLogFile.matches(name, identifier: "sup") == expected)
  }

  @Test("of an earlier run are removed; links, directories and others' files are not")
  func removesOld() throws {
    let directory = try ScratchDirectory()
    for name in ["a-stdout---sup-1.log", "a-stdout---sup-1.log.1", "b-stdout---other-1.log", "notes.log"] {
      try "x".write(toFile: directory.file(name), atomically: false, encoding: .utf8)
    }
    symlink(directory.file("notes.log"), directory.file("l-stdout---sup-1.log"))
    mkdir(directory.file("d-stdout---sup-1.log"), 0o700)
    #expect(try AutoLogFile.removeOld(directory: directory.path, identifier: "sup").isEmpty)
    #expect(
      directory.names == ["b-stdout---other-1.log", "d-stdout---sup-1.log", "l-stdout---sup-1.log", "notes.log"])
  }

  @Test("cannot be made in a directory that is not there")
  func missingDirectory() {
    #expect(throws: SystemError.self) {
      try AutoLogFile.create(directory: "/nonexistent/dir", process: "a", stream: "stdout", identifier: "s")
    }
    #expect(throws: SystemError.self) { try AutoLogFile.removeOld(directory: "/nonexistent/dir", identifier: "s") }
  }
}
