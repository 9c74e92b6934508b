// What each process of the server is for, by the title that it shows in its command line. PostgreSQL makes the titles in
// init_ps_display (src/backend/utils/misc/ps_status.c): "postgres: ", the cluster's name and ": " where it has one, and a text of its own
// for each kind of process.

/// What a process of the server is for; the raw value is `pg_stat_activity.backend_type`'s word where that has one.
public enum ServerRole: String, CaseIterable, Sendable {
  case postmaster
  case backend = "client backend"
  case parallelWorker = "parallel worker"
  case walWriter = "walwriter"
  case backgroundWriter = "background writer"
  case checkpointer
  case autovacuumLauncher = "autovacuum launcher"
  case autovacuumWorker = "autovacuum worker"
  case archiver
  case walSender = "walsender"
  case walReceiver = "walreceiver"
  case walSummarizer = "walsummarizer"
  case logicalLauncher = "logical replication launcher"
  case logicalWorker = "logical replication worker"
  case slotSynchroniser = "slotsync worker"
  case logger
  case startup
  case ioWorker = "io worker"
  /// Until PostgreSQL 14.
  case statisticsCollector = "stats collector"
  /// A background worker of an extension.
  case other = "background worker"

  /// The role that a title tells.
  /// - Parameter title: the command line, its words with spaces between them.
  /// - Returns: nil while it is not a server process's title: a child has its parent's until it has found out what it is.
  public init?(title: String) {
    guard title.hasPrefix(ServerRole.prefix) else { return nil }
    let text = Substring(title).dropFirst(ServerRole.prefix.count).trimmingSpaces
    guard !text.isEmpty else { return nil }
    let isSession = ServerRole.isSession(text)
    // With cluster_name, which may itself have ": " in it, the text begins after one of them.
    var rest: Substring? = text
    while let candidate = rest {
      if isSession {
        if candidate.starts(with: "walsender ") {
          self = .walSender
          return
        }
      } else if let role = ServerRole(text: candidate) {
        self = role
        return
      }
      rest = candidate.firstRange(of: ": ").map { candidate[$0.upperBound...] }
    }
    self = isSession ? .backend : .other
  }

  private static let prefix = "postgres: "

  /// "USER DATABASE HOST ACTIVITY", where HOST is "[local]" or "ADDRESS(PORT)". No other process's title has a host, so that nobody's
  /// name makes a backend look like another process.
  private static func isSession(_ text: Substring) -> Bool {
    let words = text.split(separator: " ")
    guard words.count >= 3 else { return false }
    return words[1..<(words.count - 1)].contains { word in
      if word == "[local]" { return true }
      guard word.last == ")", let open = word.lastIndex(of: "("), open != word.startIndex else { return false }
      let port = word[word.index(after: open)...].dropLast()
      return !port.isEmpty && port.allSatisfy { $0.isASCII && $0.isNumber }
    }
  }

  /// A title without its prefixes that is not a session's.
  private init?(text: Substring) {
    for role in ServerRole.allCases where role != .postmaster && role != .other {
      let name = role.rawValue
      // "archiver last was 0000…", "startup recovering 0000…", "autovacuum worker DATABASE", "io worker 0".
      if text == name || text.starts(with: name + " ") {
        self = role
        return
      }
    }
    // "logical replication apply worker for subscription 16394", "… parallel apply worker …", "… tablesync worker …".
    guard text.starts(with: "logical replication "), text.contains(" worker ") else { return nil }
    self = .logicalWorker
  }
}

extension Substring {
  fileprivate var trimmingSpaces: Substring {
    var text = drop { $0 == " " }
    while text.last == " " { text.removeLast() }
    return text
  }
}
