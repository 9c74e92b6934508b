// "One port, never dark": who accepts on a listener with `fallback=health`.
//
// The program does while one of its processes is RUNNING, ready, not draining, with a liveness check that has not failed, and the accept
// queue moves. In all other cases the supervisor accepts and answers by itself. It takes the listener before it sends the first stop
// signal, so there is no moment in which nobody accepts.

/// A listener and who accepts on it.
struct ListenerState: Sendable {
  let name: String
  let program: String?
  /// Whether the supervisor has a part in it at all.
  let isManaged: Bool
  var mode = ListenerMode.acceptBySupervisor
  /// Why its queue is said not to move; nil: it moves.
  var stalled: String?

  init(_ spec: ListenerSpec) {
    name = spec.name
    program = spec.program
    isManaged = spec.fallback == .health
  }
}

extension Supervisor {
  mutating func updateListeners() {
    guard hasBooted else { return }
    for position in listeners.indices where listeners[position].isManaged {
      let mode: ListenerMode = isServed(position) ? .leaveToProgram : .acceptBySupervisor
      guard mode != listeners[position].mode else { continue }
      listeners[position].mode = mode
      actions.append(.listener(listeners[position].name, mode))
    }
  }

  private mutating func isServed(_ position: Int) -> Bool {
    guard let program = listeners[position].program else { return false }
    let isServed = names.dependency(program).contains { i in
      records[i].state == .running && records[i].isReady && !records[i].isDraining
        && records[i].liveness.status != .failing
    }
    // Whoever serves it next starts with a clean slate.
    if !isServed { listeners[position].stalled = nil }
    return isServed && listeners[position].stalled == nil
  }

  mutating func listenerStalled(_ name: String, _ text: String) {
    guard let position = listeners.firstIndex(where: { $0.name == name }), listeners[position].stalled == nil else {
      return
    }
    listeners[position].stalled = text
    noteListener(position, "listener \(name): the program does not accept: \(text)", .warn)
    updateListeners()
  }

  mutating func listenerRecovered(_ name: String) {
    guard let position = listeners.firstIndex(where: { $0.name == name }), listeners[position].stalled != nil else {
      return
    }
    listeners[position].stalled = nil
    noteListener(position, "listener \(name): the program accepts again", .info)
    updateListeners()
  }

  private mutating func noteListener(_ position: Int, _ text: String, _ level: LogLevel) {
    note(listeners[position].program.flatMap { names.dependency($0).first }, .text(text))
    log(level, text)
  }

  /// Why the program's listener is not served although the program runs; nil: it is.
  func stallText(_ i: Int) -> String? {
    for listener in listeners {
      if let stalled = listener.stalled, let program = listener.program, names.dependency(program).contains(i) {
        return "does not accept on listener \(listener.name): \(stalled)"
      }
    }
    return nil
  }

  /// The listeners of a new configuration; who accepts where it stays the same stays as it is.
  mutating func replaceListeners(_ specs: [ListenerSpec]) {
    let before = listeners
    listeners = specs.map { spec in
      var state = ListenerState(spec)
      if let old = before.first(where: { $0.name == spec.name && $0.isManaged == state.isManaged }) {
        state.mode = old.mode
        state.stalled = old.stalled
      } else if state.isManaged {
        actions.append(.listener(state.name, .acceptBySupervisor))
      }
      return state
    }
  }
}
