import CLibPQ

/// Where a conninfo leads, in words that may be told: without user, password and options.
public struct PostgresTarget: Sendable, Hashable, CustomStringConvertible {
  /// `host:port` (several with commas in between), a socket directory with the port, or `service NAME`.
  public let description: String

  /// What `conninfo` and, where it leaves something out, libpq's variables in `environment` name. nil when libpq cannot read the
  /// conninfo, or may take a part of a password that is not percent-encoded for something else: in a URI a host or a database with an `@`,
  /// and a port that is no number. libpq's own words would then have parts of the password in
  /// them, so they are not told.
  public init?(conninfo: String, environment: [String: String]) {
    var reason: UnsafeMutablePointer<CChar>?
    guard let parsed = PQconninfoParse(conninfo, &reason) else {
      PQfreemem(reason)
      return nil
    }
    defer { PQconninfoFree(parsed) }
    var values: [String: String] = [:]
    var option = parsed
    while let keyword = option.pointee.keyword {
      if let value = option.pointee.val { values[String(cString: keyword)] = String(cString: value) }
      option += 1
    }
    func value(_ keyword: String, _ variable: String) -> String? {
      (values[keyword] ?? environment[variable]).flatMap { $0.isEmpty ? nil : $0 }
    }
    let host = value("host", "PGHOST") ?? value("hostaddr", "PGHOSTADDR")
    if host == nil, let service = value("service", "PGSERVICE") {
      description = "service \(service)"
      return
    }
    let hosts = (host ?? "the local socket").split(separator: ",", omittingEmptySubsequences: false)
    let ports = (value("port", "PGPORT") ?? "5432").split(separator: ",", omittingEmptySubsequences: false)
    guard ports.allSatisfy({ $0.isEmpty || UInt16($0) != nil }), !Self.isCut(conninfo) else { return nil }
    description = hosts.enumerated().map { index, host in
      let port = ports.count == 1 ? ports[0] : index < ports.count ? ports[index] : "5432"
      return host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }.joined(separator: ",")
  }

  /// Whether an `@` or a `/` in the password has ended it too early, as libpq reads a URI (conninfo_uri_parse_options): what comes before
  /// the first `@` that no `/` precedes is user and password. A database with an `@` (`%40`) cannot be told from the rest of a password
  /// with both. In `key=value` a password ends nowhere else, and `host=@name` is an abstract socket.
  private static func isCut(_ conninfo: String) -> Bool {
    guard conninfo.hasPrefix("postgresql://") || conninfo.hasPrefix("postgres://"),
      let scheme = conninfo.firstRange(of: "://")
    else { return false }
    let rest = conninfo[scheme.upperBound...]
    let head = rest.prefix { $0 != "/" }
    let path = rest.dropFirst(head.count).prefix { $0 != "?" }
    let host = head.firstIndex(of: "@").map { head[head.index(after: $0)...].prefix { $0 != "?" } } ?? ""
    return host.contains("@") || path.contains("@")
  }
}
