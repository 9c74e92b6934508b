import Glibc
import Hummingbird
import Synchronization

/// How many requests the API takes at once while the machine is too hot.
///
/// `hive-postgres monitor` writes the thermal state into a file of the run directory, anew every two seconds, and removes it when the machine
/// has cooled down. It is looked at when a request comes, at most once a second: nothing wakes up for it. A file that nobody has
/// written for a while is a dead monitor's, and brakes nothing.
final class HeatAdmission: Sendable {
  /// How old the file may be, in seconds: many of the monitor's looks, which do not wait for its checks.
  static let freshSeconds: Int = 30
  private static let lookEvery = Duration.seconds(1)

  private struct State {
    var lookedAt: ContinuousClock.Instant?
    var isCritical = false
    var running = 0
  }

  private let path: String
  private let limit: Int
  private let state = Mutex(State())

  /// - Parameters:
  ///   - path: the monitor's file.
  ///   - limit: how many requests may run at once while the state is critical.
  init(path: String, limit: Int) {
    self.path = path
    self.limit = limit
  }

  /// Runs `work`, or refuses it with 503.
  func admit<Value: Sendable>(_ work: () async throws -> Value) async throws -> Value {
    guard enter(now: .now) else {
      throw APIError(
        .serviceUnavailable, "The machine is too hot: fewer requests are taken at a time until it has cooled down",
        headers: [.retryAfter: "2"])
    }
    defer { state.withLock { $0.running -= 1 } }
    return try await work()
  }

  private func enter(now: ContinuousClock.Instant) -> Bool {
    state.withLock { state in
      if state.lookedAt.map({ now - $0 >= Self.lookEvery }) ?? true {
        state.lookedAt = now
        state.isCritical = Self.isCritical(path)
      }
      guard !state.isCritical || state.running < limit else { return false }
      state.running += 1
      return true
    }
  }

  /// The file is fresh and says so.
  static func isCritical(_ path: String) -> Bool {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
      abs(time(nil) - status.st_mtim.tv_sec) <= freshSeconds
    else { return false }
    let word = Array("critical".utf8)
    var text = [UInt8](repeating: 0, count: word.count)
    let count = read(descriptor, &text, text.count)
    return count == word.count && text == word
  }
}
