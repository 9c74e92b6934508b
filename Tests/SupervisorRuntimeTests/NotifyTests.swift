import CHiveSys
import Foundation
import SupervisorCore
import Testing

@testable import SupervisorRuntime

@Suite("sd_notify")
struct NotifySocketTests {
  private let loop: EventLoop

  init() throws {
    ignoreBrokenPipes()
    loop = try EventLoop()
  }

  private func parse(_ text: String) -> SupervisorRuntime.Notification? { withBytes(text) { Notification($0) } }

  private func notification(_ change: (inout SupervisorRuntime.Notification) -> Void) -> SupervisorRuntime.Notification
  {
    var notification = Notification()
    change(&notification)
    return notification
  }

  @Test("every assignment that is for us is understood, and nothing else is")
  func assignments() {
    #expect(parse("READY=1") == notification { $0.isReady = true })
    #expect(parse("READY=1\n") == notification { $0.isReady = true })
    #expect(parse("STOPPING=1") == notification { $0.isStopping = true })
    #expect(parse("RELOADING=1\nMONOTONIC_USEC=123") == notification { $0.isReloading = true })
    #expect(parse("WATCHDOG=1") == notification { $0.isAlive = true })
    #expect(parse("WATCHDOG=trigger") == notification { $0.wantsRestart = true })
    #expect(parse("STATUS=Loading\u{7} 3/7") == notification { $0.status = "Loading  3/7" })
    #expect(parse("STATUS=") == notification { $0.status = "" })
    #expect(parse("ERRNO=2\nSTATUS=no") == notification { ($0.errno, $0.status) = (2, "no") })
    #expect(parse("STATUS=a\nREADY=1\nSTATUS=b") == notification { ($0.isReady, $0.status) = (true, "b") })
    for nothing in [
      "", "\n\n", "READY", "READY=0", "READY=11", "ready=1", "=1", "MAINPID=1", "FDSTORE=1", "BARRIER=1", "ERRNO=two",
      "X_A=b",
      "NOTIFYACCESS=all", "\0", "WATCHDOG_USEC=1",
    ] {
      #expect(parse(nothing) == nil, "\(nothing)")
    }
    #expect(parse("STATUS=" + String(repeating: "x", count: 5000))?.status?.utf8.count == Notification.longestStatus)
  }

  @Test("no datagram makes the parser trap", arguments: 0..<4)
  func fuzz(seed: Int) {
    var generator = SeededGenerator(seed: UInt64(seed))
    let words = [
      "READY", "STATUS", "WATCHDOG", "ERRNO", "=", "1", "\n", "trigger", "-", "99999999999999999999", "\0", "é", "=",
    ]
    for _ in 0..<5000 {
      var bytes: [UInt8] = []
      for _ in 0..<Int.random(in: 0...20, using: &generator) {
        if Bool.random(using: &generator) {
          bytes += Array((words.randomElement(using: &generator) ?? "").utf8)
        } else {
          bytes.append(UInt8.random(in: 0...255, using: &generator))
        }
      }
      let parsed = bytes.withUnsafeBytes { Notification($0) }
      if let status = parsed?.status { #expect(!status.utf8.contains { $0 < 0x20 }) }
    }
  }

  /// Sends one datagram to `address`, with descriptors if there are any, as sd_notify(3) does.
  private static func send(_ text: String, to address: String, descriptors: [Int32] = []) -> Bool {
    let sender = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
    defer { close(sender) }
    var name = sockaddr_un()
    name.sun_family = sa_family_t(AF_UNIX)
    let abstract = [0] + Array(address.utf8.dropFirst())
    withUnsafeMutableBytes(of: &name.sun_path) { $0.copyBytes(from: abstract) }
    let length = socklen_t(MemoryLayout<sa_family_t>.size + abstract.count)
    var bytes = Array(text.utf8)
    // cmsghdr (size_t, int, int) and the descriptors, padded to eight bytes.
    var control = [UInt8](repeating: 0, count: 16 + (descriptors.count * 4 + 7) / 8 * 8)
    control.withUnsafeMutableBytes { raw in
      raw.storeBytes(of: 16 + descriptors.count * 4, toByteOffset: 0, as: Int.self)
      raw.storeBytes(of: SOL_SOCKET, toByteOffset: 8, as: Int32.self)
      raw.storeBytes(of: 1, toByteOffset: 12, as: Int32.self)
      for (index, descriptor) in descriptors.enumerated() {
        raw.storeBytes(of: descriptor, toByteOffset: 16 + index * 4, as: Int32.self)
      }
    }
    return bytes.withUnsafeMutableBytes { data in
      control.withUnsafeMutableBytes { ancillary in
        withUnsafeMutablePointer(to: &name) { address in
          var vector = iovec(iov_base: data.baseAddress, iov_len: data.count)
          return withUnsafeMutablePointer(to: &vector) { vector in
            var message = msghdr()
            message.msg_name = UnsafeMutableRawPointer(address)
            message.msg_namelen = length
            message.msg_iov = vector
            message.msg_iovlen = 1
            if !descriptors.isEmpty {
              message.msg_control = ancillary.baseAddress
              message.msg_controllen = ancillary.count
            }
            return sendmsg(sender, &message, 0) >= 0
          }
        }
      }
    }
  }

  @Test("a datagram arrives with the kernel's word on who sent it")
  func credentials() throws {
    var heard: [(NotifySender, SupervisorRuntime.Notification)] = []
    let socket = try NotifySocket(loop: loop) { sender, notification in
      heard.append((sender, notification))
      return true
    }
    #expect(socket.address.hasPrefix("@"))
    #expect(socket.address.utf8.count > 1)
    #expect(Self.send("READY=1\nSTATUS=up", to: socket.address))
    #expect(loop.turns { heard.count == 1 })
    #expect(heard.first?.0 == NotifySender(pid: getpid(), uid: geteuid()))
    #expect(heard.first?.1 == notification { ($0.isReady, $0.status) = (true, "up") })
    #expect(socket.rejected == 0)
  }

  @Test("drain sees what was sent before, without a turn of the loop")
  func drains() throws {
    var heard = 0
    let socket = try NotifySocket(loop: loop) { _, _ in
      heard += 1
      return true
    }
    for _ in 0..<5 { #expect(Self.send("WATCHDOG=1", to: socket.address)) }
    socket.drain()
    #expect(heard == 5)
  }

  @Test("strangers, long datagrams and empty ones are counted or passed over")
  func rejected() throws {
    var heard = 0
    let socket = try NotifySocket(loop: loop) { _, _ in
      heard += 1
      return false
    }
    #expect(Self.send("READY=1", to: socket.address))
    #expect(Self.send("STATUS=" + String(repeating: "x", count: 8000), to: socket.address))
    #expect(Self.send("", to: socket.address))
    #expect(Self.send("X_UNKNOWN=1", to: socket.address))
    socket.drain()
    #expect(heard == 1)
    #expect(socket.rejected == 2)
  }

  @Test("descriptors that come along are closed: a barrier's sender is released, a store is not ours")
  func descriptorsAreClosed() throws {
    var heard = 0
    let socket = try NotifySocket(loop: loop) { _, _ in
      heard += 1
      return true
    }
    for (text, count) in [("BARRIER=1", 1), ("FDSTORE=1\nREADY=1", 3), ("BARRIER=1", 200)] {
      let pipe = try makePipe()
      #expect(Self.send(text, to: socket.address, descriptors: Array(repeating: pipe.write, count: count)))
      close(pipe.write)
      var request = pollfd(fd: pipe.read, events: 0, revents: 0)
      #expect(poll(&request, 1, 0) == 0, "the datagram holds the pipe open")
      socket.drain()
      #expect(poll(&request, 1, 0) == 1 && request.revents & Int16(POLLHUP) != 0)
      close(pipe.read)
    }
    #expect(heard == 1)
  }

  @Test("a flood is taken in bounded turns")
  func flood() throws {
    var heard = 0
    let socket = try NotifySocket(loop: loop) { _, _ in
      heard += 1
      return true
    }
    // net.unix.max_dgram_qlen bounds what the kernel keeps: what does not fit is refused to the sender.
    let address = socket.address
    let counter = Beside { for _ in 0..<2000 { _ = Self.send("WATCHDOG=1", to: address) } }
    #expect(loop.turns { heard == 2000 })
    counter.wait()
    #expect(socket.rejected == 0)
  }
}

@Suite("s6 readiness")
struct NotifyDescriptorTests {
  private let loop: EventLoop

  init() throws { loop = try EventLoop() }

  @Test(
    "the first newline is readiness; its absence is not",
    arguments: [("\n", true), ("starting\n", true), ("a\nb\n", true), ("no newline", false), ("", false)])
  func newline(text: String, isReady: Bool) throws {
    let pipe = try makePipe()
    var ready = 0
    let notify = try NotifyDescriptor(loop: loop, readEnd: pipe.read) { ready += 1 }
    for character in text { writeAll(pipe.write, String(character)) }
    loop.settle()
    #expect(ready == (isReady ? 1 : 0))
    #expect(notify.isOpen != isReady)
    close(pipe.write)
    // Not at once: a child that another test is starting may still hold a copy, until it executes.
    #expect(loop.turns { !notify.isOpen })
    #expect(ready == (isReady ? 1 : 0))
  }

  @Test("drain sees a newline of a process that has already exited")
  func drains() throws {
    let pipe = try makePipe()
    var ready = 0
    let notify = try NotifyDescriptor(loop: loop, readEnd: pipe.read) { ready += 1 }
    writeAll(pipe.write, "\n")
    close(pipe.write)
    notify.drain()
    #expect(ready == 1)
  }

  @Test("a program that writes without end is bounded a turn")
  func endless() throws {
    let pipe = try makePipe()
    var ready = 0
    let notify = try NotifyDescriptor(loop: loop, readEnd: pipe.read) { ready += 1 }
    writeAll(pipe.write, String(repeating: "x", count: 60_000))
    notify.drain()
    #expect(notify.isOpen)
    var left: Int32 = 0
    #expect(ioctl(pipe.read, UInt(FIONREAD), &left) == 0 && left == 60_000 - 16 * 256)
    writeAll(pipe.write, "\n")
    #expect(loop.turns { ready == 1 })
    close(pipe.write)
  }
}
