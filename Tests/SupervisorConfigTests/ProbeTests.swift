// The dialects of checks, and listeners' addresses.

import SupervisorCore
import Testing

@testable import SupervisorConfig

@Suite("Checks and addresses")
struct ProbeTests {
  @Test func everyDialect() throws {
    let expected: [(String, Probe)] = [
      ("notify", .notify), (" NOTIFY ", .notify), ("notify-fd:3", .notifyDescriptor(3)),
      ("postgres", .postgres(PostgresProbe(socketDirectory: "/var/run/postgresql"))),
      ("postgres:/run/pg", .postgres(PostgresProbe(socketDirectory: "/run/pg"))),
      (
        "postgres:/run/pg?port=5433&user=hive&dbname=hive_genie",
        .postgres(PostgresProbe(socketDirectory: "/run/pg", port: 5433, user: "hive", database: "hive_genie"))
      ),
      ("postgres:?port=5433", .postgres(PostgresProbe(socketDirectory: "/var/run/postgresql", port: 5433))),
      (
        "http://127.0.0.1:8080/path?x=1",
        .http(HTTPProbe(address: .tcp(host: "127.0.0.1", port: 8080), host: "127.0.0.1:8080", target: "/path?x=1"))
      ),
      (
        "http://localhost", .http(HTTPProbe(address: .tcp(host: "localhost", port: 80), host: "localhost", target: "/"))
      ),
      ("http://[::1]:81#f", .http(HTTPProbe(address: .tcp(host: "::1", port: 81), host: "[::1]:81", target: "/"))),
      ("http://[::1]?q", .http(HTTPProbe(address: .tcp(host: "::1", port: 80), host: "[::1]", target: "/?q"))),
      (
        "http+unix:/run/a.sock:/healthz",
        .http(HTTPProbe(address: .unix(path: "/run/a.sock"), host: "localhost", target: "/healthz"))
      ),
      ("http+unix:/run/a.sock", .http(HTTPProbe(address: .unix(path: "/run/a.sock"), host: "localhost", target: "/"))),
      ("tcp://127.0.0.1:5432", .tcp(host: "127.0.0.1", port: 5432)), ("unix:/run/a.sock", .unix(path: "/run/a.sock")),
      ("unix:///run/a.sock", .unix(path: "/run/a.sock")),
      ("exec: pg_isready -q 'a b'", .exec(["pg_isready", "-q", "a b"])),
    ]
    for (text, probe) in expected { #expect(try probeValue(text) == probe, "\(text)") }
  }

  @Test(arguments: [
    "", "notifi", "notify:1", "notify-fd", "notify-fd:2", "notify-fd:x", "notify-fd:99999", "postgres:run/pg",
    "postgres:/p?prot=1",
    "postgres:/p?port=0", "postgres:/p?port=65536", "postgres:/p?user=", "http:", "http:/x", "http://",
    "http://example.com/",
    "http://*:80/", "http://u:p@127.0.0.1/", "http://127.0.0.1:x/", "http://127.0.0.1/a b", "https://127.0.0.1/",
    "http+unix:a.sock",
    "http+unix:/", "tcp:127.0.0.1:1", "tcp://127.0.0.1", "tcp://*:1", "tcp://::1:80", "unix:a", "unix:", "exec:",
    "exec: 'a", "ftp://x",
  ])
  func refusals(text: String) throws {
    let problem = #expect(throws: ValueProblem.self) { try probeValue(text) }
    #expect(problem?.remedy.isEmpty == false)
  }

  @Test func socketPathsFitTheKernel() {
    let path = "/" + String(repeating: "x", count: 106)
    #expect((try? socketPath(path)) == path)
    #expect((try? socketPath(path + "x")) == nil)
  }

  @Test(arguments: [
    (":80", SocketAddress.tcp(host: "*", port: 80)), ("*:80", .tcp(host: "*", port: 80)),
    ("80", .tcp(host: "*", port: 80)),
    ("127.0.0.1:80", .tcp(host: "127.0.0.1", port: 80)), ("LocalHost:80", .tcp(host: "localhost", port: 80)),
    ("[::]:80", .tcp(host: "::", port: 80)), ("unix:/a", .unix(path: "/a")), ("/a", .unix(path: "/a")),
  ])
  func listenerAddresses(text: String, address: SocketAddress) {
    #expect((try? listenerAddressValue(text)) == address)
  }

  @Test(arguments: ["", ":", ":0", ":65536", "host:80", "[::]", "[x]:80", "::1:80", "unix:a", "127.0.0.1"])
  func noListenerAddresses(text: String) {
    #expect((try? listenerAddressValue(text)) == nil)
  }
}
