import CLibPQ

/// Where a conninfo leads, in words that may be told: without user, password and options.
public struct PostgresTarget: Sendable, Hashable, CustomStringConvertible {
  /// `host:port` (several with commas in between), a socket directory with the port, or `service NAME`.
  public let description: String

  /// What `conninfo` and, where it leaves something out, libpq's variables in `environment` name. nil when libpq cannot read the
  /// conninfo, or takes a part of a password that is not percent-encoded for something else: a host or a database with an `@`, a port
  /// that is no number. libpq's own words would then have parts of the password in them, so they are not told.
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
    guard !hosts.contains(where: { $0.contains("@") }), ports.allSatisfy({ $0.isEmpty || UInt16($0) != nil }) else {
      return nil
    }
    if conninfo.contains("://"), !conninfo.contains("%40"), values["dbname"]?.contains("@") == true { return nil }
    description = hosts.enumerated().map { index, host in
      let port = ports.count == 1 ? ports[0] : index < ports.count ? ports[index] : "5432"
      return host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }.joined(separator: ",")
  }
}
