import Testing

@testable import PostgresClient

@Suite struct ConnectErrorTests {
  @Test func readsTheSQLStateOfARefusal() {
    let error = ConnectError.read(
      """
      connection to server on socket "/run/x/.s.PGSQL.5432" failed: FATAL:  57P03: the database system is starting up
      LOCATION:  ProcessStartupPacket, postmaster.c:2307

      """)
    #expect(error.sqlState == "57P03")
    #expect(error.severity == "FATAL")
    #expect(error.message == "the database system is starting up")
    #expect(error.isStartingUp && error.isConnectionLoss && error.isTransient)
  }

  @Test func keepsDetailAndHintOfTheLastAttempt() {
    let error = ConnectError.read(
      """
      connection to server at "a", port 5432 failed: Connection refused
      \tIs the server running on that host and accepting TCP/IP connections?
      connection to server at "b", port 5432 failed: FEHLER:  28P01: Passwort-Authentifizierung fehlgeschlagen
      DETAIL:  Connection matched pg_hba.conf line 1
      HINT:  try another
      LOCATION:  auth_failed, auth.c:333
      """)
    #expect(error.sqlState == "28P01")
    #expect(error.severity == "FEHLER")
    #expect(error.detail == "Connection matched pg_hba.conf line 1")
    #expect(error.hint == "try another")
    #expect(!error.isConnectionLoss)
  }

  @Test func withoutAServerThereIsNoSQLState() {
    let error = ConnectError.read(
      """
      connection to server on socket "/nowhere/.s.PGSQL.5432" failed: No such file or directory
      \tIs the server running locally and accepting connections on that socket?
      """)
    #expect(error.sqlState == nil)
    #expect(
      error.message
        == "connection to server on socket \"/nowhere/.s.PGSQL.5432\" failed: No such file or directory; "
        + "Is the server running locally and accepting connections on that socket?")
    #expect(error.isConnectionLoss)
  }

  @Test func classifiesSQLStates() {
    for state in ["08000", "08006", "57P01", "57P02", "57P03", "57P05", "25P03"] {
      let error = PostgresError(.server, "x", sqlState: state)
      #expect(error.isConnectionLoss && error.isTransient, "\(state)")
    }
    for state in ["53300", "53100", "40001", "40P01", "25006", "57014"] {
      let error = PostgresError(.server, "x", sqlState: state)
      #expect(!error.isConnectionLoss && error.isTransient, "\(state)")
    }
    for state in ["23505", "22P02", "42P01", "42601", "28P01"] {
      let error = PostgresError(.server, "x", sqlState: state)
      #expect(!error.isConnectionLoss && !error.isTransient, "\(state)")
    }
  }

  @Test func quotesWhatCannotBeAParameter() throws {
    #expect(try PostgresConnection.escapeIdentifier(#"we"ird"#) == #""we""ird""#)
    #expect(try PostgresConnection.escapeLiteral("it's") == "'it''s'")
    #expect(try PostgresConnection.escapeLiteral(#"a\b'"#) == #" E'a\\b'''"#)
    #expect(throws: PostgresError.self) { try PostgresConnection.escapeLiteral("a\0b") }
  }
}
