import ControlProtocol
import Foundation
import SupervisorCore
import Testing

@testable import SupervisorRuntime

@Suite("The control socket", .serialized)
struct ControlSocketTests {
  private let loop: EventLoop
  private let directory: ScratchDirectory
  private var path: String { directory.file("run/control.sock") }

  init() throws {
    ignoreBrokenPipes()
    loop = try EventLoop()
    directory = try ScratchDirectory()
  }

  private func open(_ path: String? = nil) throws -> ControlSocket {
    try ControlSocket(loop: loop, buffer: ReadBuffer(), path: path ?? self.path) { request, responder in
      responder.respond(.text("pid \(responder.peer?.pid ?? 0) uid \(responder.peer?.uid ?? 0) \(request.target)\n"))
    }
  }

  private func ask(_ target: String) throws -> String {
    let client = try TestClient(unix: path)
    client.say("GET \(target) HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    #expect(client.waitForEnd(loop))
    return client.text
  }

  @Test("is made with its directory, itself for its owner only, and tells the handler who asks")
  func opens() throws {
    let socket = try open()
    var status = stat()
    #expect(stat(directory.file("run"), &status) == 0)
    #expect(status.st_mode & 0o7777 == 0o755)
    #expect(stat(path, &status) == 0)
    #expect(status.st_mode & S_IFMT == S_IFSOCK)
    #expect(status.st_mode & 0o7777 == 0o700)
    #expect(try ask("/a").hasSuffix("pid \(getpid()) uid \(geteuid()) /a\n"))
    _ = socket
  }

  @Test("is removed at the end, but not when it is somebody else's by then")
  func closes() throws {
    let socket = try open()
    socket.close()
    #expect(!FileManager.default.fileExists(atPath: path))
    socket.close()
    let second = try open()
    let rival = try UnixSocketFile(path: directory.file("run/other"), mode: 0o700, backlog: 1)
    try FileManager.default.removeItem(atPath: path)
    #expect(rename(directory.file("run/other"), path) == 0)
    second.close()
    #expect(FileManager.default.fileExists(atPath: path))
    _ = rival
  }

  @Test("a second supervisor is refused and leaves the first one's socket alone")
  func alreadyListening() throws {
    let first = try open()
    #expect {
      try open()
    } throws: {
      "\($0)"
        == "cannot listen on unix:\(path): Address already in use (another process already listens there: stop it, or use another path)"
    }
    #expect(try ask("/a").contains(" /a\n"))
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory.file("run")) == ["control.sock"])
    _ = first
  }

  @Test("what a crashed supervisor left behind is replaced")
  func afterACrash() throws {
    mkdir(directory.file("run"), 0o700)
    do { _ = try UnixSocketFile(path: path, mode: 0o700, backlog: 1) }
    #expect(FileManager.default.fileExists(atPath: path))
    let socket = try open()
    #expect(try ask("/a").contains(" /a\n"))
    _ = socket
  }

  @Test("puts itself back when the file, or the whole directory, is removed, moved away or replaced; without a tick")
  func heals() throws {
    let socket = try open()
    var repairs = 0
    socket.onRepair = { if $0 == nil { repairs += 1 } }
    let attacks: [() throws -> Void] = [
      { unlink(path) },
      { #expect(rename(path, directory.file("elsewhere")) == 0) },
      { #expect(rename(path, directory.file("run/elsewhere")) == 0) },
      { try FileManager.default.removeItem(atPath: directory.file("run")) },
      { #expect(rename(directory.file("run"), directory.file("moved")) == 0) },
      {
        // A dead socket in its place.
        let other = try UnixSocketFile(path: directory.file("run/other"), mode: 0o700, backlog: 1)
        #expect(rename(other.path, path) == 0)
      },
      { unlink(path) },
    ]
    // A connection from before is still served afterwards.
    let old = try TestClient(unix: path)
    for (number, attack) in attacks.enumerated() {
      try attack()
      #expect(loop.turns { repairs > number }, "attack \(number)")
      #expect(try ask("/\(number)").contains(" /\(number)\n"))
      loop.settle()
      #expect(repairs == number + 1)
    }
    #expect(socket.repairs == UInt64(attacks.count))
    old.say("GET /old HTTP/1.1\r\nHost: x\r\n\r\n")
    #expect(old.waitFor(" /old\n", loop))
    let before = loop.wakeups
    _ = loop.turns(within: .milliseconds(50)) { false }
    #expect(loop.wakeups - before <= 1)
  }

  @Test("cannot take its place back from a living rival, says so, and returns when the rival is gone")
  func rival() throws {
    let socket = try open()
    var errors: [ListenError] = []
    var repairs = 0
    socket.onRepair = { error in
      if let error { errors.append(error) } else { repairs += 1 }
    }
    var rival: UnixSocketFile? = try UnixSocketFile(path: directory.file("run/rival"), mode: 0o700, backlog: 4)
    #expect(rename(directory.file("run/rival"), path) == 0)
    #expect(loop.turns { !errors.isEmpty })
    #expect(errors.first?.errno == EADDRINUSE)
    #expect(rival?.path != nil)
    rival = nil
    #expect(loop.turns { repairs == 1 })
    #expect(try ask("/back").contains(" /back\n"))
  }

  @Test("makes the directories above it, and names the one that cannot be had")
  func directories() throws {
    let deep = directory.file("a/b/control.sock")
    let socket = try open(deep)
    var status = stat()
    for made in ["a", "a/b"] {
      #expect(stat(directory.file(made), &status) == 0)
      #expect(status.st_mode & 0o7777 == 0o755)
    }
    #expect {
      try open("\(deep)/below/control.sock")
    } throws: {
      "\($0)"
        == "cannot listen on unix:\(deep)/below/control.sock: cannot use the directory \(deep)/below: Not a directory"
    }
    _ = socket
  }

  @Test("another user is answered with 403", .enabled(if: geteuid() == 0, "needs root to become another user"))
  func otherUser() async {
    await #expect(processExitsWith: .success) {
      ignoreBrokenPipes()
      let directory = try ScratchDirectory()
      let path = directory.file("control.sock")
      let loop = try EventLoop()
      var handled = 0
      let socket = try ControlSocket(loop: loop, buffer: ReadBuffer(), path: path) { _, responder in
        handled += 1
        responder.respond(.text("secret"))
      }
      // Root opens the way on purpose: the credentials must hold even then.
      chmod(path, 0o777)
      chmod(directory.path, 0o777)
      // SO_PEERCRED is taken at connect(2): become somebody else only for that.
      guard seteuid(65534) == 0 else { exit(2) }
      let client = try TestClient(unix: path)
      guard seteuid(0) == 0 else { exit(3) }
      client.say("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
      guard client.waitForEnd(loop), client.text.hasPrefix("HTTP/1.1 403 "), handled == 0 else { exit(4) }
      socket.close()
      exit(0)
    }
  }
}
