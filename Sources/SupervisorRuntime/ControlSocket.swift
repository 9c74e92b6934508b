// The control socket: HTTP on a unix socket that only root and the supervisor's own user may use, and that puts itself back when
// somebody removes it (supervisord's never does: its issues 480, 851, 1084, 1105, 1409).

import CHiveSys
import ControlProtocol
import Glibc
import SupervisorCore

/// A user that programs run as. It may ask how things are and report checks (`hive-postgres monitor`, an API that relays the health
/// document), and nothing else.
public struct ControlGuest: Equatable, Sendable {
  /// The user id.
  public var uid: UInt32
  /// The primary group's id.
  public var gid: UInt32

  /// A guest.
  public init(uid: UInt32, gid: UInt32) {
    self.uid = uid
    self.gid = gid
  }

  /// Whether guests may send this request. Logs and events are not among them: they may quote what another program prints.
  static func may(_ request: HTTPRequest) -> Bool {
    switch (request.method, request.segments.first, request.segments.dropFirst().first) {
    case ("GET", "livez", nil), ("GET", "readyz", nil), ("GET", "startupz", nil), ("GET", "metrics", nil): true
    case ("GET", "v1", "health"), ("GET", "v1", "status"), ("POST", "v1", "checks"): true
    case ("GET", "v1", "thermal"), ("POST", "v1", "thermal"): true
    default: false
    }
  }
}

/// Serves the control API at a path.
public final class ControlSocket {
  /// How long until the next attempt to put the socket back, at first and at most.
  private static let firstRetry = Interval.milliseconds(100)
  private static let lastRetry = Interval.seconds(30)

  /// Where it is.
  public let path: String
  /// The connections.
  public let server: HTTPServer
  /// How often the socket file had to be made anew.
  public private(set) var repairs: UInt64 = 0
  /// Told when the socket file has vanished and was made anew (nil), or could not be (the reason; it is tried again).
  public var onRepair: ((ListenError?) -> Void)?

  private let loop: EventLoop
  private let guests: [ControlGuest]
  private var file: UnixSocketFile?
  private var acceptor: Acceptor?
  private var watcher: Int32 = -1
  private var watch: Int32 = -1
  private var registration: Registration?
  private var timer: TimerID?
  private var retry = ControlSocket.firstRetry
  private var isClosed = false

  /// Listens at `path` (mode 0700), whose directory is made (0755) when it is missing. Every request of another user than root and the
  /// supervisor's own is answered with 403; all others go to `handler`, with the peer's credentials in the responder. With guests the
  /// mode is 0770 and the group theirs (0777 where they have several groups, or it cannot be given to theirs): who may do what is
  /// decided by the peer's credentials, not by the mode.
  ///
  /// Throws when another process already answers at `path`, or the path cannot be used.
  public init(
    loop: EventLoop, buffer: ReadBuffer, path: String, limits: HTTPServerLimits = .control, guests: [ControlGuest] = [],
    handler: @escaping HTTPServer.Handler
  ) throws(ListenError) {
    self.loop = loop
    self.path = path
    self.guests = guests
    server = HTTPServer(loop: loop, buffer: buffer, limits: limits) { request, responder in
      guard let peer = responder.peer,
        peer.uid == 0 || peer.uid == geteuid() || guests.contains(where: { $0.uid == peer.uid })
      else {
        let fault = ControlFault(
          .denied,
          "cannot answer uid \(responder.peer.map { String($0.uid) } ?? "?"): only root and the supervisor's own user (uid \(geteuid())) may use this socket"
        )
        responder.respond(fault.response)
        return
      }
      guard peer.uid == 0 || peer.uid == geteuid() || ControlGuest.may(request) else {
        let fault = ControlFault(
          .denied,
          "cannot do this for a program's user (uid \(peer.uid)): it may ask for health and status and report checks, nothing else"
        )
        responder.respond(fault.response)
        return
      }
      handler(request, responder)
    }
    try open()
    watchDirectory()
  }

  deinit { close() }

  /// Stops accepting, closes every connection and removes the socket file.
  public func close() {
    if isClosed { return }
    isClosed = true
    if let timer { loop.cancel(timer) }
    if let registration { loop.remove(registration) }
    // Closed at the end of the supervisor, where everybody waits for it.
    if watcher >= 0 { hive_close_in_background(watcher) }
    watcher = -1
    acceptor?.stop()
    acceptor = nil
    file?.removeFile()
    file = nil
    server.closeAll()
  }

  private func open() throws(ListenError) {
    do {
      try ParentDirectory.make(for: path)
    } catch {
      throw ListenError("unix:\(path)", because: "\(error)")
    }
    let file = try UnixSocketFile(path: path, mode: 0o700, backlog: 128, guestGroup: guestGroup)
    // Whoever has connected to the old socket is still served.
    acceptor?.stop()
    self.file = file
    let acceptor = Acceptor(loop: loop, listener: file.descriptor) { [weak self] in self?.adopt($0) }
    self.acceptor = acceptor
    acceptor.start()
  }

  /// For whom besides the owner the file is.
  private var guestGroup: UnixSocketFile.GuestGroup {
    guard let first = guests.first else { return .none }
    return guests.allSatisfy { $0.gid == first.gid } ? .group(first.gid) : .everyone
  }

  private func adopt(_ connection: Int32) {
    var (pid, uid, gid): (Int32, UInt32, UInt32) = (0, 0, 0)
    let isKnown = hive_peer_credentials(connection, &pid, &uid, &gid) == 0
    server.adopt(connection, peer: isKnown ? PeerCredentials(pid: pid, uid: uid, gid: gid) : nil)
  }

  /// inotify(7) tells when the file is removed or replaced. Where there is no inotify (its limits are per user), the socket works all
  /// the same; it only does not heal.
  private func watchDirectory() {
    if watcher < 0 {
      watcher = inotify_init1(Int32(IN_CLOEXEC) | Int32(IN_NONBLOCK))
      guard watcher >= 0 else { return }
      registration = try? loop.add(watcher, .readable) { [weak self] _ in self?.directoryChanged() }
    }
    let events = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR
    watch = inotify_add_watch(watcher, parentDirectory(of: path), UInt32(events))
  }

  private func directoryChanged() {
    var events = [UInt8](repeating: 0, count: 4096)
    for _ in 0..<16 {
      if read(watcher, &events, events.count) <= 0 { break }
    }
    if timer == nil { heal() }
  }

  private func heal() {
    timer = nil
    guard !isClosed, file?.isInPlace != true else { return }
    do {
      try open()
    } catch {
      onRepair?(error)
      timer = loop.schedule(after: retry) { [weak self] in self?.heal() }
      retry = min(retry + retry, ControlSocket.lastRetry)
      return
    }
    retry = ControlSocket.firstRetry
    repairs &+= 1
    // The directory may be another one now.
    watchDirectory()
    onRepair?(nil)
  }
}
