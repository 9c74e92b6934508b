// Passwords: where they come from, and which are refused. A password is never in a command line, in a log line, or in the
// environment of a program that we start (but the scripts of /docker-entrypoint-initdb.d, which expect it there).

import CHivePostgres
import Glibc

/// Making and judging passwords.
public enum Password {
  /// 32 random bytes from getrandom(2), as base64url.
  public static func generate() throws(Failure) -> String {
    var bytes = [UInt8](repeating: 0, count: 32)
    guard hpg_random(&bytes, bytes.count) == 0 else { throw .system("get random bytes", errno) }
    return Base64.urlText(bytes)
  }

  /// Refuses what stands in example files, what SCRAM cannot take as it is, and nothing else: strength is the owner's decision.
  /// `name`: the variable or file, for the message.
  public static func check(_ password: String, role: String, name: String) throws(Failure) {
    let remedy = "put a password of your own there, or remove \(name): a random one is then made at the first start"
    guard !password.isEmpty else {
      throw Failure(.usage, "cannot use the password in \(name): it is empty", remedy: remedy)
    }
    let lower = password.lowercased()
    if placeholders.contains(lower) || lower == role.lowercased() || lower.contains("change_me")
      || lower.contains("changeme") || lower.contains("change-me")
    {
      throw Failure(.usage, "cannot use the password in \(name): it is a known placeholder", remedy: remedy)
    }
    // RFC 5802 wants SASLprep (RFC 4013), which leaves printable ASCII as it is.
    guard password.utf8.allSatisfy({ (0x20...0x7E).contains($0) }) else {
      throw Failure(
        .usage, "cannot use the password in \(name): it has characters other than printable ASCII",
        remedy: "clients prepare other characters differently (SASLprep); use ASCII")
    }
    guard password.utf8.count <= 512 else {
      throw Failure(
        .usage, "cannot use the password in \(name): it has more than 512 characters", remedy: "use a shorter one")
    }
  }

  /// Passwords of example files and tutorials, in lower case.
  private static let placeholders: Set<String> = [
    "postgres", "postgresql", "password", "passwd", "pass", "secret", "example", "mysecretpassword", "admin", "root",
    "test",
    "hive", "agent", "genie", "user", "default", "12345", "123456", "12345678", "123456789", "qwerty",
    "genie_secure_password", "agent_secure_password", "secure_password", "default_secure_password", "your_password",
    "your_secure_password", "your_password_here", "claude_secure_pass_2024", "your_jwt_secret_key_here_change_me",
    "hive_password",
    "hivepassword", "agent_password", "yourpassword", "supersecret",
  ]
}
