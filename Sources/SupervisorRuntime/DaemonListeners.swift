// "One port, never dark": the sockets that are bound before anything starts, and who accepts on them at any time.

import Glibc
import SupervisorCore

extension Daemon {
  /// A listener with what serves it.
  final class BoundListener {
    /// What the configuration in force says; the socket itself was made from its first version.
    var spec: ListenerSpec
    let listener: Listener
    let acceptor: Acceptor
    var watch: StallWatch?
    /// Who accepts, as the core last said.
    var mode = ListenerMode.acceptBySupervisor

    init(listener: Listener, acceptor: Acceptor) {
      spec = listener.spec
      self.listener = listener
      self.acceptor = acceptor
    }

    /// Whether the program of this process spec inherits it.
    func isFor(_ program: ProgramSpec) -> Bool {
      spec.program == program.program || spec.program == program.namespec || spec.program == program.name
    }

    func close() {
      watch?.stop()
      acceptor.stop()
      listener.removeFile()
    }
  }

  /// Binds every listener and answers on those with `fallback=health` from now on.
  func bindListeners() throws(StartupError) {
    for spec in options.spec.listeners { listeners.append(try makeListener(spec)) }
  }

  /// The listeners of a configuration that was read again: what stays at its address keeps its socket, so that no connection is refused.
  /// Throws, and changes nothing, when a new one cannot be bound.
  func replaceListeners(_ specs: [ListenerSpec]) throws(StartupError) {
    // What may fail comes first.
    var fresh: [String: BoundListener] = [:]
    for spec in specs where !listeners.contains(where: { $0.spec.address == spec.address }) {
      do throws(StartupError) {
        fresh[spec.name] = try makeListener(spec)
      } catch {
        for bound in fresh.values { bound.close() }
        throw error
      }
    }
    let before = listeners
    listeners = specs.compactMap { spec in
      if let made = fresh[spec.name] { return made }
      guard let old = before.first(where: { $0.spec.address == spec.address }) else { return nil }
      if old.spec.name == spec.name && old.spec.fallback == spec.fallback && old.spec.program == spec.program {
        return old
      }
      // Another name, program or fallback on the same socket.
      old.watch?.stop()
      old.acceptor.stop()
      return serve(spec, old.listener)
    }
    for old in before where !listeners.contains(where: { $0.listener === old.listener }) { old.close() }
  }

  /// Reads the configuration again, and takes its listeners into use.
  func rereadConfiguration() -> Result<SupervisorSpec, ConfigurationRefused> {
    let spec: SupervisorSpec
    switch options.reread() {
    case .failure(let refused): return .failure(refused)
    case .success(let read): spec = read
    }
    do throws(StartupError) {
      try replaceListeners(spec.listeners)
    } catch {
      return .failure(ConfigurationRefused("\(error)"))
    }
    if spec.controlSocket != core.spec.controlSocket {
      log.warn("control_socket has changed: it moves when the supervisor is started anew")
    }
    return .success(spec)
  }

  private func makeListener(_ spec: ListenerSpec) throws(StartupError) -> BoundListener {
    do throws(ListenError) {
      return serve(spec, try bind(spec))
    } catch {
      throw StartupError("\(error)")
    }
  }

  private func serve(_ spec: ListenerSpec, _ listener: Listener) -> BoundListener {
    let server = publicServer ?? makePublicServer()
    publicServer = server
    let acceptor = Acceptor(loop: loop, listener: listener.descriptor) { connection in server.adopt(connection) }
    let bound = BoundListener(listener: listener, acceptor: acceptor)
    bound.spec = spec
    guard spec.fallback == .health else { return bound }
    acceptor.start()
    guard case .tcp = spec.address, let program = spec.program else { return bound }
    let name = spec.name
    bound.watch = StallWatch(
      loop: loop, listener: listener, acceptor: acceptor,
      onStall: { [weak self] length in
        let text = "\(length) \(length == 1 ? "connection waits" : "connections wait") and none is accepted"
        self?.send(.listenerStalled(name, text: text))
      },
      onRecovery: { [weak self, weak bound] in
        self?.send(.listenerRecovered(name))
        // The program accepts, and yet the port is not its own again (its liveness check fails, it drains).
        if let bound, bound.mode == .acceptBySupervisor { bound.acceptor.start() }
      },
      isProgramUp: { [weak self] in
        guard let self, let ids = self.core.resolve(program) ?? self.core.resolve("\(program):*") else { return false }
        return ids.contains { self.core.run(of: $0) != nil }
      })
    return bound
  }

  /// 48886 and 38886 are among the ports that the kernel gives to outgoing connections (ip_local_port_range). One of those, closed
  /// a moment ago, keeps its port for up to a minute (TIME_WAIT), and SO_REUSEADDR does not help against somebody else's. So a port
  /// that is in use although nobody listens there is waited for; a stop signal, which is blocked and pending by now, ends the wait.
  private func bind(_ spec: ListenerSpec) throws(ListenError) -> Listener {
    let deadline = Clock.instant() + (hasStarted ? .zero : Daemon.portPatience)
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
            "\(spec.address.text) is held by a connection that is being closed, nobody listens there: waiting for it; "
              + "reserve the port to avoid this (sysctl net.ipv4.ip_local_reserved_ports)")
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
    guard let bound = listeners.first(where: { $0.spec.name == name }), bound.spec.fallback == .health else { return }
    bound.mode = mode
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
