import CLibPQ

/// Whether a server accepts connections; the four verdicts of `pg_isready`.
public enum PostgresPing: Int32, Sendable {
  /// It accepts. Whether user, password and database are right, or a slot is free, is not part of the answer.
  case accepting = 0
  /// It is there but does not accept now: starting, recovering or stopping (SQLSTATE 57P03).
  case rejecting = 1
  /// No answer: no socket, refused, or silent until the timeout.
  case noResponse = 2
  /// The conninfo is not valid, nothing was tried.
  case notAttempted = 3
}

extension PostgresConnection {
  /// Asks a server whether it accepts connections, with the verdicts of libpq's `PQping`.
  ///
  /// `PQping` itself waits in whole seconds, two at the least, and blocks its thread; this attempt ends at `timeout`.
  /// Any error that the server itself words (a bad password, too many clients) counts as accepting, as there.
  public static func ping(_ conninfo: String, timeout: Duration = .seconds(1)) async -> PostgresPing {
    var reason: UnsafeMutablePointer<CChar>?
    guard let parsed = PQconninfoParse(conninfo.isEmpty ? "dbname=''" : conninfo, &reason) else {
      PQfreemem(reason)
      return .notAttempted
    }
    PQconninfoFree(parsed)
    do {
      let connection = try await connect(
        conninfo, options: PostgresConnectOptions(connectTimeout: timeout, applicationName: "ping"))
      await connection.close()
      return .accepting
    } catch let error as PostgresError {
      if error.isStartingUp { return .rejecting }
      return error.sqlState == nil && !error.message.contains("no password supplied") ? .noResponse : .accepting
    } catch {
      return .noResponse
    }
  }
}
