// How a command ends when it cannot do its work: a status that PID 1 and scripts can act on, a sentence, and what to do.

import Glibc

/// Why a command cannot go on.
public struct Failure: Error, Equatable, CustomStringConvertible {
  /// The exit status.
  public var status: Status
  /// "cannot X: Y".
  public var message: String
  /// What a person can do about it, where that is known.
  public var remedy: String?

  /// A failure.
  public init(_ status: Status, _ message: String, remedy: String? = nil) {
    self.status = status
    self.message = message
    self.remedy = remedy
  }

  /// The message, and the remedy after a semicolon.
  public var description: String {
    guard let remedy else { return message }
    return "\(message); \(remedy)"
  }

  /// The exit statuses of docs/postgres.md; sysexits.h where it has a fitting one.
  public enum Status: Equatable, Sendable {
    /// The command line or the environment is wrong.
    case usage
    /// The server does not answer.
    case unavailable
    /// A program of PostgreSQL ended with an error.
    case software
    /// Ownership, permission, or an unknown user.
    case unusable
    /// Reading or writing did not work.
    case inputOutput
    /// Another process or container holds the volume.
    case locked
    /// Not enough free disk space.
    case noSpace
    /// The data directory or a configuration cannot be used.
    case configuration
    /// A signal asked to stop before the work was done.
    case interrupted(Int32)

    /// What `exit` gets.
    public var code: Int32 {
      switch self {
      case .usage: 64
      case .unavailable: 69
      case .software: 70
      case .unusable: 73
      case .inputOutput: 74
      case .locked: 75
      case .noSpace: 77
      case .configuration: 78
      case .interrupted(let signal): 128 + signal
      }
    }
  }

  /// What a system call that failed with `code` is reported as: permission and space have statuses of their own.
  /// Where the code alone says what to do, that is the remedy unless another one is given.
  public static func system(_ action: String, _ code: Int32, remedy: String? = nil) -> Failure {
    let status: Status =
      switch code {
      case EACCES, EPERM, EROFS: .unusable
      case ENOSPC, EDQUOT: .noSpace
      default: .inputOutput
      }
    let usual: String? =
      switch code {
      case ENOSPC: "free some space on that filesystem, or give a larger volume"
      case EDQUOT: "free some space, or ask for a larger quota"
      case EROFS: "mount it writable"
      default: nil
      }
    return Failure(status, "cannot \(action): \(describe(code))", remedy: remedy ?? usual)
  }

  /// A stop signal.
  public static func interrupted(_ signal: Int32) -> Failure {
    Failure(.interrupted(signal), "stopped by signal \(signal) before the work was done")
  }

  static func describe(_ code: Int32) -> String {
    guard let text = strerror(code) else { return "error \(code)" }
    return String(cString: text)
  }
}
