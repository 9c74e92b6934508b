import Logging
import PostgresClient
import Synchronization

/// Says once in the log that the database went away, and once that it is back, however many requests notice.
final class DatabaseAvailability: Sendable {
  private let isAvailable = Mutex(true)
  private let logger: Logger

  init(logger: Logger) { self.logger = logger }

  func succeeded() {
    let changed = isAvailable.withLock { value in
      defer { value = true }
      return !value
    }
    if changed { logger.notice("the database answers again") }
  }

  func failed(_ error: PostgresError) {
    let changed = isAvailable.withLock { value in
      defer { value = false }
      return value
    }
    if changed { logger.warning("requests get 503 until the database answers: \(error)") }
  }
}
