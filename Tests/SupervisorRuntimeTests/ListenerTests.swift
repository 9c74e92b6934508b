import CHiveSys
import Foundation
import SupervisorCore
import Testing

@testable import SupervisorRuntime

@Suite("Listeners")
struct ListenerTests {
  private let loop: EventLoop

  init() throws {
    ignoreBrokenPipes()
    loop = try EventLoop()
  }

  private func listener(_ address: SocketAddress, backlog: Int32 = 16) throws -> Listener {
    var spec = ListenerSpec(name: "http", address: address)
    spec.backlog = backlog
    return try Listener(spec)
  }

  /// Accepts everything on `listener` and answers with one word.
  private func answering(_ listener: Listener) -> Acceptor {
    Acceptor(loop: loop, listener: listener.descriptor) { connection in
      writeAll(connection, "hello")
      close(connection)
    }
  }

  @Test(
    "listen on every kind of address, and answer where they should",
    arguments: [
      ("127.0.0.1", ["127.0.0.1"], ["::1"]), ("localhost", ["127.0.0.1"], ["::1"]), ("0.0.0.0", ["127.0.0.1"], ["::1"]),
      ("*", ["127.0.0.1", "::1"], []), ("", ["127.0.0.1", "::1"], []), ("::", ["127.0.0.1", "::1"], []),
      ("[::]", ["127.0.0.1", "::1"], []), ("::1", ["::1"], ["127.0.0.1"]),
    ])
  func addresses(host: String, reachable: [String], unreachable: [String]) throws {
    let listener = try listener(.tcp(host: host, port: 0))
    #expect(listener.port != 0)
    let acceptor = answering(listener)
    acceptor.start()
    for address in reachable {
      let client = try TestClient(port: listener.port, host: address)
      #expect(client.waitForEnd(loop))
      #expect(client.text == "hello")
    }
    for address in unreachable {
      #expect(throws: (any Error).self) { try TestClient(port: listener.port, host: address) }
    }
  }

  @Test("the descriptor is non-blocking and not inherited by accident")
  func flags() throws {
    let listener = try listener(.tcp(host: "127.0.0.1", port: 0))
    #expect(fcntl(listener.descriptor, F_GETFL) & O_NONBLOCK != 0)
    #expect(fcntl(listener.descriptor, F_GETFD) & FD_CLOEXEC != 0)
  }

  @Test("a port in use, a wrong address and a host name are told apart, each with its remedy")
  func errors() throws {
    let first = try listener(.tcp(host: "127.0.0.1", port: 0))
    #expect {
      try listener(.tcp(host: "127.0.0.1", port: first.port))
    } throws: {
      "\($0)"
        == "cannot listen on 127.0.0.1:\(first.port): Address already in use (another process listens there: stop it, or change the address of [listener:http])"
    }
    #expect {
      try listener(.tcp(host: "203.0.113.7", port: 80))
    } throws: {
      "\($0)"
        == "cannot listen on 203.0.113.7:80: Cannot assign requested address (no interface of this machine has this address)"
    }
    #expect {
      try listener(.tcp(host: "example.org", port: 80))
    } throws: {
      "\($0)"
        == "cannot listen on example.org:80: example.org is no IP address (write an address, localhost, or * for all interfaces)"
    }
  }

  @Test("connections wait while nobody accepts, and none is lost when accepting starts, stops and starts again")
  func onAndOff() throws {
    let listener = try listener(.tcp(host: "127.0.0.1", port: 0), backlog: 64)
    var accepted: [Int32] = []
    let acceptor = Acceptor(loop: loop, listener: listener.descriptor) { accepted.append($0) }
    defer { for connection in accepted { close(connection) } }
    var clients: [TestClient] = []
    for round in 0..<10 {
      for _ in 0..<5 { clients.append(try TestClient(port: listener.port)) }
      if round % 2 == 0 {
        loop.settle()
        #expect(accepted.count == round * 5)
        acceptor.start()
        #expect(loop.turns { accepted.count == clients.count })
      } else {
        #expect(loop.turns { accepted.count == clients.count })
        acceptor.stop()
      }
    }
    #expect(accepted.count == 50)
  }

  @Test("accepting does not wait although a program that shares the socket has made it blocking")
  func blockingAgain() throws {
    let listener = try listener(.tcp(host: "127.0.0.1", port: 0))
    let acceptor = answering(listener)
    acceptor.start()
    _ = fcntl(listener.descriptor, F_SETFL, fcntl(listener.descriptor, F_GETFL) & ~O_NONBLOCK)
    let client = try TestClient(port: listener.port)
    #expect(client.waitForEnd(loop))
    #expect(client.text == "hello")
  }

  @Test("the accept queue is as long as the connections that wait, up to its limit")
  func acceptQueue() throws {
    let listener = try listener(.tcp(host: "127.0.0.1", port: 0), backlog: 8)
    #expect(listener.acceptQueue == AcceptQueue(length: 0, limit: 8))
    var clients: [TestClient] = []
    for count in 1...6 {
      clients.append(try TestClient(port: listener.port))
      #expect(listener.acceptQueue?.length == count)
    }
    let acceptor = answering(listener)
    acceptor.start()
    #expect(loop.turns { listener.acceptQueue?.length == 0 })
    let directory = try ScratchDirectory()
    #expect(try self.listener(.unix(path: directory.file("s"))).acceptQueue == nil)
    #expect(AcceptQueue(of: clients[0].descriptor) == nil)
  }

  @Test("a unix socket has its mode from the first moment, and leaves nothing beside it")
  func unixMode() throws {
    let directory = try ScratchDirectory()
    for mode: UInt32 in [0o700, 0o777, 0o660] {
      var spec = ListenerSpec(name: "u", address: .unix(path: directory.file("s")))
      spec.mode = mode
      let listener = try Listener(spec)
      var status = stat()
      #expect(stat(directory.file("s"), &status) == 0)
      #expect(status.st_mode & 0o7777 == mode)
      #expect(directory.names == ["s"])
      listener.removeFile()
      #expect(directory.names.isEmpty)
    }
  }

  @Test("a stale socket file is replaced, a living one is not, and what is no socket is left alone")
  func staleSocket() throws {
    let directory = try ScratchDirectory()
    let path = directory.file("s")
    // A crash leaves the file: the object goes without `removeFile`.
    do { _ = try listener(.unix(path: path)) }
    #expect(directory.names == ["s"])
    let living = try listener(.unix(path: path))
    #expect {
      try listener(.unix(path: path))
    } throws: {
      "\($0)"
        == "cannot listen on unix:\(path): Address already in use (another process already listens there: stop it, or use another path)"
    }
    _ = living
    try "notes".write(toFile: directory.file("file"), atomically: false, encoding: .utf8)
    #expect {
      try listener(.unix(path: directory.file("file")))
    } throws: {
      "\($0)".contains("there is a file that is no socket")
    }
    #expect(directory.text("file") == "notes")
    #expect(directory.names == ["file", "s"])
    #expect {
      try listener(.unix(path: "/nonexistent/dir/s"))
    } throws: {
      "\($0)".contains("the directory /nonexistent/dir does not exist")
    }
    #expect {
      try listener(.unix(path: "/tmp/" + String(repeating: "x", count: 200)))
    } throws: {
      "\($0)".contains("longer than 107 bytes")
    }
  }

  @Test("a full queue of a living socket is not taken for a stale one")
  func fullQueue() throws {
    let directory = try ScratchDirectory()
    let path = directory.file("s")
    let living = try listener(.unix(path: path), backlog: 0)
    var clients: [Int32] = []
    defer { for client in clients { close(client) } }
    let address = try #require(KernelAddress.toConnect(.unix(path: path)).first)
    for _ in 0..<8 {
      let client = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0)
      clients.append(client)
      _ = address.withPointer { connect(client, $0, $1) }
    }
    #expect(UnixSocketFile.answers(path) == true)
    #expect(throws: ListenError.self) { try listener(.unix(path: path)) }
    _ = living
  }

  @Test("without descriptors, connections are still answered one by one, and the loop does not spin")
  func outOfDescriptors() async {
    // The limit is per process: in a process of its own.
    await #expect(processExitsWith: .success) {
      ignoreBrokenPipes()
      let loop = try EventLoop()
      var spec = ListenerSpec(name: "http", address: .tcp(host: "127.0.0.1", port: 0))
      spec.backlog = 64
      let listener = try Listener(spec)
      var answered = 0
      let acceptor = Acceptor(loop: loop, listener: listener.descriptor) { connection in
        writeAll(connection, "hello")
        close(connection)
        answered += 1
      }
      var limit = rlimit(rlim_cur: 256, rlim_max: 256)
      guard setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { exit(2) }
      // The runtime's own threads may snatch the one descriptor that is free for a moment, so there are five attempts; one of them
      // must answer everybody without a pause.
      var hoard: [Int32] = []
      var hasSucceeded = false
      for _ in 0..<5 where !hasSucceeded {
        answered = 0
        var clients: [TestClient] = []
        for _ in 0..<20 { clients.append(try TestClient(port: listener.port)) }
        acceptor.start()
        while let taken = Optional(dup(0)), taken >= 0 { hoard.append(taken) }
        let pauses = acceptor.pauses
        hasSucceeded =
          loop.turns(within: .seconds(3)) { answered == 20 } && acceptor.pauses == pauses && hoard.count > 100
        for descriptor in hoard { close(descriptor) }
        hoard = []
        acceptor.stop()
        if !hasSucceeded {
          acceptor.start()
          guard loop.turns(until: { answered == 20 }) else { exit(5) }
          acceptor.stop()
        }
      }
      guard hasSucceeded else { exit(3) }
      while dup(0) >= 0 {}
      // With the reserve taken away by somebody else, accepting pauses instead of spinning.
      let hoarder = Acceptor(loop: loop, listener: listener.descriptor) { close($0) }
      hoarder.start()
      let before = loop.wakeups
      _ = loop.turns(within: .milliseconds(350)) { false }
      if hoarder.pauses == 0 || hoarder.pauses > 10 || loop.wakeups - before > 40 { exit(4) }
      exit(0)
    }
  }
}
