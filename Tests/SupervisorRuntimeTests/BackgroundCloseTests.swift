import CHiveSys
import Foundation
import Testing

@testable import SupervisorRuntime

@Suite("Closing in the background")
struct BackgroundCloseTests {
  @Test("the descriptor is free at once, and what it stood for ends soon after, nothing else")
  func endOfPipe() throws {
    var late = 0
    for _ in 0..<100 {
      let (read, write) = try makePipe()
      defer { close(read) }
      hive_close_in_background(write)
      var end = pollfd(fd: read, events: Int16(POLLIN), revents: 0)
      var outcome: Int32 = 0
      for _ in 0..<10 where outcome == 0 {
        outcome = poll(&end, 1, 1000)
        if outcome == 0 { late += 1; try closeAnySocket() }
      }
      #expect(outcome == 1)
      #expect(end.revents & Int16(POLLHUP) != 0)
    }
    // A collector that is at work for somebody else when it is called does not come again by itself, but with the next socket that anybody
    // closes. That is rare.
    #expect(late < 10)
  }

  private func closeAnySocket() throws {
    var pair: [Int32] = [-1, -1]
    try #require(socketpair(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &pair) == 0)
    for end in pair { close(end) }
  }

  @Test("a descriptor that is no descriptor is no harm")
  func notOpen() { hive_close_in_background(-1) }

  @Test("inotify descriptors do not pile up: far more can be had one after the other than one user may have")
  func inotifyInstances() throws {
    let text = try String(contentsOfFile: "/proc/sys/fs/inotify/max_user_instances", encoding: .utf8)
    let limit = try #require(Int(text.trimmingCharacters(in: .whitespacesAndNewlines)))
    // Another user's: what is left of these for a moment must not be missing to the tests beside this one.
    let other = isRoot ? ["setpriv", "--reuid=65533", "--regid=65533", "--clear-groups"] : []
    #expect(try fixture("inotify", "\(min(limit + 50, 2000))", prefix: other) == ["made all true"])
  }
}
