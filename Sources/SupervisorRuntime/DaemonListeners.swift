// "One port, never dark": the sockets that are bound before anything starts, and who accepts on them at any time.

import Glibc
import SupervisorCore

extension Daemon {
  /// A listener with what serves it.
  final class BoundListener {
    let listener: Listener
    let program: String?
    let acceptor: Acceptor
    var watch: StallWatch?

    init(listener: Listener, acceptor: Acceptor) {
      self.listener = listener
      self.acceptor = acceptor
      program = listener.spec.program
    }
  }

  /// Binds every listener and answers on those with `fallback=health` from now on.
  func bindListeners() throws(StartupError) {
    guard !options.spec.listeners.isEmpty else { return }
    let server = makePublicServer()
    publicServer = server
    for spec in options.spec.listeners {
      let listener: Listener
      do throws(ListenError) {
        listener = try bind(spec)
      } catch {
        throw StartupError("\(error)")
      }
      let acceptor = Acceptor(loop: loop, listener: listener.descriptor) { connection in server.adopt(connection) }
      let bound = BoundListener(listener: listener, acceptor: acceptor)
      listeners.append(bound)
      guard spec.fallback == .health else { continue }
      acceptor.start()
      guard case .tcp = spec.address, spec.program != nil else { continue }
      let name = spec.name
      bound.watch = StallWatch(
        loop: loop, listener: listener, acceptor: acceptor,
        onStall: { [weak self] length in
          self?.send(
            .listenerStalled(
              name, text: "\(length) \(length == 1 ? "connection waits" : "connections wait") and none is accepted"))
        },
        onRecovery: { [weak self] in self?.send(.listenerRecovered(name)) })
    }
  }

  /// 48886 and 38886 are among the ports that the kernel gives to outgoing connections (ip_local_port_range). One of those, closed
  /// a moment ago, keeps its port for up to a minute (TIME_WAIT), and SO_REUSEADDR does not help against somebody else's. So a port that is in
  /// use although nobody listens there is waited for; a stop signal, which is blocked and pending by now, ends the wait.
  private func bind(_ spec: ListenerSpec) throws(ListenError) -> Listener {
    let deadline = Clock.instant() + Daemon.portPatience
    var hasSaid = false
    while true {
      do throws(ListenError) {
        return try Listener(spec)
      } catch {
        guard error.errno == EADDRINUSE, Clock.instant() < deadline, !isAskedToStop(),
          KernelAddress.toConnect(spec.address).allSatisfy({ $0.refusesConnections })
        else { throw error }
        if !hasSaid {
          log.warn(
            "\(spec.address.text) is held by a connection that is being closed, nobody listens there: waiting for it; reserve the "
              + "port to avoid this (sysctl net.ipv4.ip_local_reserved_ports)")
          hasSaid = true
        }
        var pause = timespec(tv_sec: 0, tv_nsec: 100_000_000)
        nanosleep(&pause, nil)
      }
    }
  }

  /// TIME_WAIT is 60 s on Linux (TCP_TIMEWAIT_LEN).
  private static let portPatience = Interval.seconds(65)

  private func isAskedToStop() -> Bool {
    var pending = sigset_t()
    guard sigpending(&pending) == 0 else { return false }
    return [SIGTERM, SIGINT, SIGQUIT].contains { sigismember(&pending, $0) == 1 }
  }

  /// Who accepts from now on.
  func setListener(_ name: String, _ mode: ListenerMode) {
    guard let bound = listeners.first(where: { $0.listener.spec.name == name }), bound.listener.spec.fallback == .health
    else {
      return
    }
    switch mode {
    case .leaveToProgram:
      bound.acceptor.stop()
      bound.watch?.stop()
      bound.watch?.start()
    case .acceptBySupervisor:
      // A stalled program is looked at again and again; any other has nothing to be looked at for.
      if bound.watch?.isStalled != true { bound.watch?.stop() }
      bound.acceptor.start()
    }
  }
}
