import Glibc

/// A bound, listening socket that this process owns.
struct ListeningSocket: Sendable, Hashable {
  let descriptor: Int32
  /// systemd's name for it (`LISTEN_FDNAMES`), if it has one.
  let name: String?

  /// The sockets that the parent handed over (sd_listen_fds(3)): `LISTEN_FDS` of them from descriptor 3 on, meant for
  /// this process only if `LISTEN_PID` is its process id. Empty when there are none.
  ///
  /// They are shared with the parent, which may accept on them too: they are made non-blocking, and an accept that
  /// finds nothing is normal. Throws when a descriptor is not a listening stream socket.
  static func inherited(
    environment: [String: String], processID: Int32 = getpid(), firstDescriptor: Int32 = 3
  ) throws(ConfigurationError) -> [ListeningSocket] {
    guard let text = environment["LISTEN_FDS"] else { return [] }
    guard let owner = environment["LISTEN_PID"].flatMap({ Int32($0) }), owner == processID else { return [] }
    guard let count = Int32(text), count >= 0, count < 1024 else {
      throw ConfigurationError("LISTEN_FDS=\(text) is not a number of descriptors: cannot take over the sockets")
    }
    let names = environment["LISTEN_FDNAMES"]?.split(separator: ":", omittingEmptySubsequences: false)
    var sockets: [ListeningSocket] = []
    for index in 0..<count {
      let descriptor = firstDescriptor + index
      guard isListening(descriptor) else {
        throw ConfigurationError(
          "descriptor \(descriptor) is not a listening socket: cannot take it over",
          remedy: "unset LISTEN_FDS to let hive-service bind its own port")
      }
      // The address families' flags must not leak to programs that this one might start.
      _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
      _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
      let name = names.flatMap { Int(index) < $0.count ? String($0[Int(index)]) : nil }
      sockets.append(ListeningSocket(descriptor: descriptor, name: name))
    }
    return sockets
  }

  private static func isListening(_ descriptor: Int32) -> Bool {
    func option(_ name: Int32) -> Int32? {
      var value: Int32 = 0
      var length = socklen_t(MemoryLayout<Int32>.size)
      return getsockopt(descriptor, SOL_SOCKET, name, &value, &length) == 0 ? value : nil
    }
    return option(SO_TYPE) == Int32(SOCK_STREAM.rawValue) && option(SO_ACCEPTCONN) == 1
  }
}

/// What is wrong with the service's surroundings, and what to do about it.
public struct ConfigurationError: Error, Hashable, CustomStringConvertible {
  /// One line.
  public let description: String

  init(_ problem: String, remedy: String? = nil) {
    description = remedy.map { "\(problem); \($0)" } ?? problem
  }
}
