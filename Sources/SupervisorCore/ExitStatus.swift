// How a process ended (wait(2)).

/// How a process ended.
public enum ExitStatus: Hashable, Sendable {
  /// It called `exit` with this status, 0…255.
  case exited(Int32)
  /// A signal ended it; `core` tells whether a core file was written.
  case signaled(Int32, core: Bool)

  /// The status that a shell would report: the exit status, or 128 + the signal's number.
  public var shellStatus: Int32 {
    switch self {
    case .exited(let status): status
    case .signaled(let signal, _): 128 + signal
    }
  }
}
