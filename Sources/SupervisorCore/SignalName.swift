// Signal numbers and names (signal(7), x86-64 and arm64 Linux).

/// The signals' names by number; 0 has none.
private let names: [String] = [
  "", "SIGHUP", "SIGINT", "SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGKILL", "SIGUSR1",
  "SIGSEGV", "SIGUSR2",
  "SIGPIPE", "SIGALRM", "SIGTERM", "SIGSTKFLT", "SIGCHLD", "SIGCONT", "SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU",
  "SIGURG", "SIGXCPU",
  "SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGIO", "SIGPWR", "SIGSYS",
]

/// `SIGTERM` for 15; `SIGRTMIN+1` for 35; `signal 99` for what does not exist.
public func signalName(_ signal: Int32) -> String {
  if signal > 0, Int(signal) < names.count { return names[Int(signal)] }
  if signal == 34 { return "SIGRTMIN" }
  if signal > 34, signal <= 64 { return "SIGRTMIN+\(signal - 34)" }
  return "signal \(signal)"
}

/// The signals that the core itself deals in.
enum Signal {
  static let hup: Int32 = 1
  static let int: Int32 = 2
  static let quit: Int32 = 3
  static let kill: Int32 = 9
  static let usr1: Int32 = 10
  static let usr2: Int32 = 12
  static let term: Int32 = 15
  static let cont: Int32 = 18
}
