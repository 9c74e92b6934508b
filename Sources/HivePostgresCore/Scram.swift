// What PostgreSQL stores of a password: "SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY" (RFC 5802; PostgreSQL manual, pg_authid).

import CHivePostgres

/// A SCRAM-SHA-256 verifier.
public struct ScramVerifier: Equatable, Sendable {
  /// PBKDF2 rounds.
  public var iterations: Int
  var salt: [UInt8]
  var storedKey: [UInt8]
  var serverKey: [UInt8]

  /// PostgreSQL's default for `scram_iterations`.
  public static let defaultIterations = 4096

  /// The verifier of a password with this salt.
  init(password: String, salt: [UInt8], iterations: Int = defaultIterations) {
    let salted = HMAC(key: HMAC.derive(password: Array(password.utf8), salt: salt, iterations: iterations))
    self.iterations = iterations
    self.salt = salt
    storedKey = SHA256.digest(salted.code("Client Key".utf8))
    serverKey = salted.code("Server Key".utf8)
  }

  /// Reads what pg_authid.rolpassword holds; nil for anything else (MD5, none).
  public init?(_ text: String) {
    let parts = text.split(separator: "$", omittingEmptySubsequences: false)
    guard parts.count == 3, parts[0] == "SCRAM-SHA-256" else { return nil }
    let first = parts[1].split(separator: ":", omittingEmptySubsequences: false)
    let keys = parts[2].split(separator: ":", omittingEmptySubsequences: false)
    guard first.count == 2, keys.count == 2, let iterations = Int(first[0]), (1...10_000_000).contains(iterations),
      let salt = Base64.bytes(standard: first[1]), let stored = Base64.bytes(standard: keys[0]), stored.count == 32,
      let server = Base64.bytes(standard: keys[1]), server.count == 32
    else { return nil }
    self.iterations = iterations
    self.salt = salt
    storedKey = stored
    serverKey = server
  }

  /// What `ALTER ROLE … PASSWORD` takes instead of the password.
  public var text: String {
    "SCRAM-SHA-256$\(iterations):\(Base64.standardText(salt))$\(Base64.standardText(storedKey)):\(Base64.standardText(serverKey))"
  }

  /// True when this is the verifier of that password.
  public func matches(_ password: String) -> Bool {
    ScramVerifier(password: password, salt: salt, iterations: iterations) == self
  }
}
