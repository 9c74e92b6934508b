import CHiveSys
import Foundation
import Testing

@testable import SupervisorRuntime

@Suite("Closing in the background")
struct BackgroundCloseTests {
  @Test("the descriptor is free at once, and what it stood for ends soon after, nothing else")
  func endOfPipe() throws {
    for _ in 0..<100 {
      let (read, write) = try makePipe()
      defer { close(read) }
      hive_close_in_background(write)
      var end = pollfd(fd: read, events: Int16(POLLIN), revents: 0)
      #expect(poll(&end, 1, 10_000) == 1)
      #expect(end.revents & Int16(POLLHUP) != 0)
    }
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
