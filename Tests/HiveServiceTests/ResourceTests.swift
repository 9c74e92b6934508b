import PostgresClient
import PostgresTestSupport
import Testing

@testable import HiveServiceCore

@Suite(.serialized, .enabled(if: Requirements.areMet, Requirements.reason))
struct ResourceTests {
  private struct Stack {
    let server: PostgresServer
    let service: ServiceProcess

    init(_ role: String, _ environment: [String: String] = [:]) async throws {
      server = try await PostgresServer.withSchema(role)
      service = try ServiceProcess(role: role, conninfo: server.conninfo(), environment: environment)
    }

    func json(_ method: String, _ target: String, _ body: String) throws -> HTTPConnection.Response {
      try HTTPConnection.json(service.port, method, target, body)
    }

    func request(_ method: String, _ target: String) throws -> HTTPConnection.Response {
      try HTTPConnection.request(service.port, method, target)
    }
  }

  @Test func aSessionIsCreatedReadChangedListedAndDeleted() async throws {
    let stack = try await Stack("genie")
    let created = try stack.json("POST", "/api/v1/sessions", #"{"user_id":"ünï","session_data":{"b":1.50,"a":[1e2]}}"#)
    #expect(created.status == 201)
    let location = try #require(created.headers["location"])
    #expect(created.headers["server"] == "hive-service")
    #expect(created.headers["content-type"] == "application/json")
    let document = try created.json
    guard case .string(let id)? = document["id"] else { throw TestFailure("no id") }
    #expect(location == "/api/v1/sessions/\(id)")
    #expect(document["user_id"] == "ünï")
    // jsonb as it is: its key order, its numbers, every digit.
    #expect(created.text.contains(#""session_data":{"a": [100], "b": 1.50}"#))
    guard case .string(let time)? = document["created_at"] else { throw TestFailure("no created_at") }
    #expect(time.wholeMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z/) != nil)

    #expect(try stack.request("GET", location).json.isSame(as: document))
    let head = try stack.request("HEAD", location)
    #expect(head.status == 200 && head.body.isEmpty && Int(head.headers["content-length"] ?? "") == created.body.count)

    let replaced = try stack.json("PUT", location, #"{"user_id":"other"}"#)
    #expect(replaced.status == 200)
    #expect(try replaced.json["user_id"] == "other" && replaced.json["session_data"] == [:])
    let patched = try stack.json("PATCH", location, #"{"session_data":{"x":null}}"#)
    #expect(try patched.json["user_id"] == "other" && patched.json["session_data"] == ["x": .null])
    #expect(try stack.json("PATCH", location, "{}").json["session_data"] == ["x": .null])
    #expect(try patched.json["created_at"] == document["created_at"])

    let deleted = try stack.request("DELETE", location)
    #expect(deleted.status == 204 && deleted.body.isEmpty)
    for method in ["GET", "DELETE"] {
      let gone = try stack.request(method, location)
      #expect(gone.status == 404 && gone.detail == "Session not found")
    }
    #expect(try stack.json("PUT", location, #"{"user_id":"x"}"#).status == 404)
  }

  @Test func aDeploymentHasDefaults() async throws {
    let stack = try await Stack("agent")
    let created = try stack.json("POST", "/api/v1/deployments", "{}")
    #expect(created.status == 201)
    #expect(try created.json["deployment_status"] == "pending" && created.json["agent_config"] == [:])
    let location = try #require(created.headers["location"])
    let changed = try stack.json("PATCH", location, #"{"deployment_status":"running"}"#)
    #expect(try changed.json["deployment_status"] == "running")
    #expect(try stack.json("PUT", location, #"{"agent_config":{"m":1}}"#).json["deployment_status"] == "pending")
    #expect(try stack.request("GET", "/api/v1/sessions").status == 404)
  }

  @Test func aClientMayChooseTheIDOnce() async throws {
    let stack = try await Stack("genie")
    let body = #"{"id":"6FA459EA-EE8A-3CA4-894E-DB77E160355E","user_id":"a"}"#
    let first = try stack.json("POST", "/api/v1/sessions", body)
    #expect(first.headers["location"] == "/api/v1/sessions/6fa459ea-ee8a-3ca4-894e-db77e160355e")
    let second = try stack.json("POST", "/api/v1/sessions", body)
    #expect(second.status == 409)
    #expect(second.detail == "Session 6fa459ea-ee8a-3ca4-894e-db77e160355e already exists")
  }

  @Test func pagesCoverEverythingOnceNewestFirst() async throws {
    let stack = try await Stack("genie")
    for index in 0..<25 {
      _ = try stack.json("POST", "/api/v1/sessions", #"{"user_id":"user\#(index % 2)","session_data":{"n":\#(index)}}"#)
    }
    func page(_ query: String) throws -> (numbers: [Int], total: Int) {
      let json = try stack.request("GET", "/api/v1/sessions?\(query)").json
      guard case .array(let items)? = json["items"], case .number(let total)? = json["total"] else {
        throw TestFailure("not a page: \(json)")
      }
      let numbers = items.compactMap { item -> Int? in
        guard case .number(let number)? = item["session_data"]?["n"] else { return nil }
        return Int(number)
      }
      return (numbers, Int(total) ?? -1)
    }
    var seen: [Int] = []
    for offset in stride(from: 0, to: 30, by: 10) {
      let (numbers, total) = try page("limit=10&offset=\(offset)")
      #expect(total == 25)
      seen += numbers
    }
    #expect(seen == Array((0..<25).reversed()))
    let (numbers, total) = try page("offset=1000")
    #expect(numbers.isEmpty && total == 25)
    let (odd, odds) = try page("user_id=user1&limit=3")
    #expect(odd == [23, 21, 19] && odds == 12)
    #expect(try page("user_id=nobody").total == 0)
  }

  @Test func jsonThatJsonbRefusesIsTheClientsMistake() async throws {
    let stack = try await Stack("genie")
    for data in [#"{"a":"\u0000"}"#, #"{"n":1e999999}"#] {
      let response = try stack.json("POST", "/api/v1/sessions", #"{"user_id":"a","session_data":\#(data)}"#)
      #expect(response.status == 422, "\(response.text)")
      guard case .array(let issues)? = response.detail else { throw TestFailure("no issues: \(response.text)") }
      #expect(issues.first?["loc"] == ["body", "session_data"] && issues.first?["type"] == "value_error")
    }
    let nul = try stack.json("POST", "/api/v1/sessions", #"{"user_id":"a\u0000b"}"#)
    #expect(nul.status == 422)
    let surrogate = try stack.json("POST", "/api/v1/sessions", #"{"user_id":"\ud800"}"#)
    #expect(surrogate.status == 422)
  }

  @Test func bodiesAreBoundedInSizeAndTime() async throws {
    let stack = try await Stack("genie", ["HIVE_MAX_BODY_BYTES": "1000", "HIVE_REQUEST_TIMEOUT": "0.3"])
    let port = stack.service.port
    let large = Array(#"{"user_id":"a","session_data":{"x":""#.utf8) + [UInt8](repeating: 0x61, count: 200_000)
    let known = try HTTPConnection.request(
      port, "POST", "/api/v1/sessions", headers: ["content-type": "application/json"], body: large)
    #expect(known.status == 413 && known.headers["connection"] == "close")
    #expect(known.detail == "The request's body is larger than 1000 bytes")

    let chunked = try HTTPConnection(port: port)
    try chunked.send(
      "POST", "/api/v1/sessions", headers: ["content-type": "application/json", "transfer-encoding": "chunked"],
      body: Array("\(String(large.count, radix: 16))\r\n".utf8) + large + Array("\r\n0\r\n\r\n".utf8))
    #expect(try chunked.receive().status == 413)
    #expect(try chunked.isAtEnd())

    let asking = try HTTPConnection(port: port)
    try asking.send(
      "POST", "/api/v1/sessions", headers: ["content-length": "100000000", "expect": "100-continue"])
    #expect(try asking.receive().status == 413)

    let slow = try HTTPConnection(port: port)
    try slow.send("POST", "/api/v1/sessions", headers: ["content-type": "application/json", "content-length": "500"])
    #expect(try slow.receive().status == 408)
    #expect(try slow.isAtEnd())

    let exact = Array(#"{"user_id":"a","session_data":{"x":""#.utf8)
    let padding = [UInt8](repeating: 0x61, count: 1000 - exact.count - 3)
    let fits = try HTTPConnection.request(
      port, "POST", "/api/v1/sessions", headers: ["content-type": "application/json"],
      body: exact + padding + Array(#""}}"#.utf8))
    #expect(fits.status == 201)
  }

  @Test func keepsAConnectionForManyRequestsAndSurvivesNoise() async throws {
    let stack = try await Stack("genie")
    let connection = try HTTPConnection(port: stack.service.port)
    for _ in 0..<20 {
      #expect(try connection.request("GET", "/api/v1/sessions").status == 200)
      #expect(try connection.request("GET", "/nope").status == 404)
    }
    let noise = try HTTPConnection(port: stack.service.port)
    try noise.send(Array("\u{16}\u{3}\u{1} not http\r\n\r\n".utf8))
    #expect(try noise.receive().status == 400)
    for _ in 0..<50 { _ = try HTTPConnection(port: stack.service.port) }
    #expect(try connection.request("GET", "/health").status == 200)
  }
}
