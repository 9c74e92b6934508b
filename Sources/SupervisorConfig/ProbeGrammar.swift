// The dialects of `ready=` and `liveness=`, and the addresses that they and `[listener]` name.

import SupervisorCore

/// Reads a probe.
func probeValue(_ text: String) throws(ValueProblem) -> Probe {
  let text = stripped(text)
  let scheme = split(text, on: ":", maxSplits: 1)
  let rest = scheme.count == 2 ? scheme[1] : nil
  switch (scheme[0].lowercased(), rest) {
  case ("notify", nil): return .notify
  case ("notify-fd", .some(let number)):
    guard case .value(let descriptor) = pythonInteger(number), (3...1023).contains(descriptor) else {
      throw ValueProblem(
        "not a descriptor: \(pythonRepresentation(number))", remedy: "write notify-fd: with a number from 3 to 1023")
    }
    return .notifyDescriptor(Int32(descriptor))
  case ("postgres", _): return .postgres(try postgresProbe(rest ?? ""))
  case ("http", .some(let rest)): return .http(try httpProbe(rest))
  case ("http+unix", .some(let rest)): return .http(try httpUnixProbe(rest))
  case ("tcp", .some(let rest)):
    guard rest.begins(with: "//") else { break }
    let (host, port) = try hostAndPort(rest.dropping(first: 2))
    guard host != "*" else {
      throw ValueProblem("cannot connect to *: it is no address", remedy: "write tcp://127.0.0.1:\(port)")
    }
    return .tcp(host: host, port: port)
  case ("unix", .some(let rest)): return .unix(path: try socketPath(rest))
  case ("exec", .some(let rest)):
    let words: [String]
    do throws(ShellWordProblem) {
      words = try shellWords(rest)
    } catch {
      throw ValueProblem("cannot read the command of exec: \(error.text)", remedy: "close every quote")
    }
    guard !words.isEmpty else { throw ValueProblem("exec: names no command", remedy: "write exec: COMMAND ARGUMENTS") }
    return .exec(words)
  case ("https", _):
    throw ValueProblem(
      "cannot check over https: it is not supported", remedy: "check a plain http address, or use exec: with a client")
  default: break
  }
  throw ValueProblem(
    "not a valid check: \(pythonRepresentation(text))",
    remedy:
      "write notify, notify-fd:3, postgres, postgres:/run/postgresql?port=5432, http://127.0.0.1:8080/path, http+unix:/path.sock:/target, tcp://127.0.0.1:5432, unix:/path or exec: command",
    suggestion: nearest(
      to: scheme[0], among: ["notify", "notify-fd", "postgres", "http", "http+unix", "tcp", "unix", "exec"]))
}

/// `/run/postgresql?port=5432&user=postgres&dbname=postgres`; everything may be missing.
private func postgresProbe(_ text: String) throws(ValueProblem) -> PostgresProbe {
  let halves = split(text, on: "?", maxSplits: 1)
  var probe = PostgresProbe(socketDirectory: halves[0].isEmpty ? "/var/run/postgresql" : halves[0])
  guard probe.socketDirectory.begins(with: "/") else {
    throw ValueProblem(
      "not the directory of a socket: \(pythonRepresentation(halves[0]))",
      remedy: "write postgres:/DIRECTORY, the server's unix_socket_directories")
  }
  for parameter in halves.count == 2 ? split(halves[1], on: "&") : [] {
    let pair = split(parameter, on: "=", maxSplits: 1)
    let value = pair.count == 2 ? pair[1] : ""
    switch pair[0] {
    case "port": probe.port = try portNumber(value)
    case "user" where !value.isEmpty: probe.user = value
    case "dbname" where !value.isEmpty: probe.database = value
    default:
      throw ValueProblem(
        "not a parameter of postgres: \(pythonRepresentation(parameter))", remedy: "write port=, user= or dbname=",
        suggestion: nearest(to: pair[0], among: ["port", "user", "dbname"]))
    }
  }
  _ = try socketPath(probe.socketPath)
  return probe
}

/// What follows `http:`.
private func httpProbe(_ text: String) throws(ValueProblem) -> HTTPProbe {
  guard text.begins(with: "//") else {
    throw ValueProblem(
      "not an address: \(pythonRepresentation("http:" + text))", remedy: "write http://127.0.0.1:8080/path")
  }
  let address = text.utf8.dropFirst(2)
  let end =
    address.firstIndex { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "?") || $0 == UInt8(ascii: "#") }
    ?? address.endIndex
  let authority = String(decoding: Array(address[address.startIndex..<end]), as: UTF8.self)
  guard !authority.utf8.contains(UInt8(ascii: "@")) else {
    throw ValueProblem("cannot send a user or password with a check", remedy: "check a path that needs none")
  }
  let hasPort = authority.begins(with: "[") ? authority.contains(bytesOf: "]:") : authority.contains(bytesOf: ":")
  let (host, port) = try hostAndPort(hasPort ? authority : authority + ":80")
  guard host != "*" else {
    throw ValueProblem("cannot connect to *: it is no address", remedy: "write http://127.0.0.1:\(port)/path")
  }
  return HTTPProbe(
    address: .tcp(host: host, port: port), host: authority,
    target: try requestTarget(String(decoding: Array(address[end...]), as: UTF8.self)))
}

/// What follows `http+unix:`: a path, a colon, a target.
private func httpUnixProbe(_ text: String) throws(ValueProblem) -> HTTPProbe {
  let halves = split(text, on: ":", maxSplits: 1)
  return HTTPProbe(
    address: .unix(path: try socketPath(halves[0])), host: "localhost",
    target: try requestTarget(halves.count == 2 ? halves[1] : ""))
}

/// A path and query that may stand in a request line.
private func requestTarget(_ text: String) throws(ValueProblem) -> String {
  let withoutFragment = split(text, on: "#", maxSplits: 1)[0]
  let target = withoutFragment.begins(with: "/") ? withoutFragment : "/" + withoutFragment
  guard target.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }), target.utf8.count <= 2048 else {
    throw ValueProblem(
      "not a request target: \(pythonRepresentation(text))",
      remedy: "write printable ASCII without spaces; escape the rest as %XX")
  }
  return target
}

/// A listener's address: `host:port`, `:port`, `*:port`, `[v6]:port`, `port` or `unix:/path`.
func listenerAddressValue(_ text: String) throws(ValueProblem) -> SocketAddress {
  let text = stripped(text)
  if text.begins(with: "unix:") { return .unix(path: try socketPath(text.dropping(first: 5))) }
  if text.begins(with: "/") { return .unix(path: try socketPath(text)) }
  if !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) {
    return .tcp(host: "*", port: try portNumber(text))
  }
  let (host, port) = try hostAndPort(text.begins(with: ":") ? "*" + text : text)
  return .tcp(host: host, port: port)
}

/// A unix socket's absolute path; sun_path (unix(7)) holds 107 bytes.
func socketPath(_ text: String) throws(ValueProblem) -> String {
  var path = stripped(text)
  if path.begins(with: "///") { path = path.dropping(first: 2) }
  guard path.begins(with: "/"), !path.begins(with: "//"), path.utf8.count > 1 else {
    throw ValueProblem("not a socket's path: \(pythonRepresentation(text))", remedy: "write an absolute path")
  }
  guard path.utf8.count <= 107 else {
    throw ValueProblem(
      "the socket's path is too long: \(path.utf8.count) bytes", remedy: "choose a path of at most 107 bytes (unix(7))")
  }
  return path
}

/// `host:port`, where the host is a literal address, `localhost` or `*`: PID 1 resolves no names.
private func hostAndPort(_ text: String) throws(ValueProblem) -> (String, UInt16) {
  guard let colon = text.utf8.lastIndex(of: UInt8(ascii: ":")) else {
    throw ValueProblem("no port number specified in \(pythonRepresentation(text))", remedy: "write HOST:PORT")
  }
  var host = String(text[text.startIndex..<colon])
  let port = try portNumber(String(text[text.utf8.index(after: colon)...]))
  if host.begins(with: "["), host.ends(with: "]") {
    host = host.dropping(first: 1).dropping(last: 1)
    guard isIPv6Literal(host) else {
      throw ValueProblem("not an IPv6 address: \(pythonRepresentation(host))", remedy: "write e.g. [::1]:\(port)")
    }
    return (host, port)
  }
  if host == "*" || host.lowercased() == "localhost" || isIPv4Literal(host) { return (host.lowercased(), port) }
  if isIPv6Literal(host) {
    throw ValueProblem(
      "an IPv6 address needs brackets: \(pythonRepresentation(text))", remedy: "write [\(host)]:\(port)")
  }
  throw ValueProblem(
    "not an address: \(pythonRepresentation(host))",
    remedy: "write an IPv4 address, [an IPv6 address], localhost or * before the port; names are not looked up",
    suggestion: nearest(to: host, among: ["localhost"]))
}

/// `port_number`.
private func portNumber(_ text: String) throws(ValueProblem) -> UInt16 {
  guard case .value(let number) = pythonInteger(text) else {
    throw ValueProblem(
      "not a valid port number: \(pythonRepresentation(text))", remedy: "write a number from 1 to 65535")
  }
  guard let port = UInt16(exactly: number), port > 0 else {
    throw ValueProblem("\(number) is out of range", remedy: "write a port number from 1 to 65535")
  }
  return port
}

/// Four decimal bytes without leading zeros.
func isIPv4Literal(_ text: String) -> Bool {
  let parts = split(text, on: ".")
  return parts.count == 4
    && parts.allSatisfy { part in
      guard (1...3).contains(part.utf8.count), part.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
        return false
      }
      return (part == "0" || !part.begins(with: "0")) && (UInt16(part) ?? 256) < 256
    }
}

/// Eight groups of up to four hexadecimal digits, one run of them perhaps written as `::`, the last two perhaps as
/// IPv4. No zone.
func isIPv6Literal(_ text: String) -> Bool {
  let groups = split(text, on: ":")
  guard groups.count <= 9 else { return false }
  // An empty text between colons is half of a `::`.
  var halves: [[String]] = [[]]
  for (index, group) in groups.enumerated() {
    guard group.isEmpty else {
      halves[halves.count - 1].append(group)
      continue
    }
    let isFirst = index == 0
    let isLast = index == groups.count - 1
    if isFirst || isLast {
      // A single colon at an end is wrong: its neighbour must be empty too.
      guard groups.count >= 3, groups[isFirst ? 1 : index - 1].isEmpty else { return false }
      continue
    }
    halves.append([])
  }
  guard halves.count <= 2 else { return false }
  var count = 0
  for (half, list) in halves.enumerated() {
    for (index, group) in list.enumerated() {
      if half == halves.count - 1, index == list.count - 1, isIPv4Literal(group) {
        count += 2
        continue
      }
      guard group.utf8.count <= 4,
        group.utf8.allSatisfy({ (0x30...0x39).contains($0) || (0x41...0x46).contains($0) || (0x61...0x66).contains($0) }
        )
      else { return false }
      count += 1
    }
  }
  return halves.count == 2 ? count <= 7 : count == 8
}
