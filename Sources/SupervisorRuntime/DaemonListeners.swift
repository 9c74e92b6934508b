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
        listener = try Listener(spec)
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

  /// Who accepts from now on.
  func setListener(_ name: String, _ mode: ListenerMode) {
    guard let bound = listeners.first(where: { $0.listener.spec.name == name }), bound.listener.spec.fallback == .health else {
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
