import Foundation
import PostgresTestSupport
import Testing

@testable import HiveServiceCore

/// Sends every request of `Fixtures/fastapi_reference.json` to the service and compares with what FastAPI answered.
@Suite(.enabled(if: Requirements.areMet, Requirements.reason))
struct FastAPIReferenceTests {
  @Test func refusesWhatFastAPIRefusesInItsWords() async throws {
    let server = try PostgresServer()
    try await server.installSchema("genie")
    try await server.installSchema("agent")
    let genie = try ServiceProcess(role: "genie", conninfo: server.conninfo())
    let agent = try ServiceProcess(role: "agent", conninfo: server.conninfo())
    let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("Fixtures/fastapi_reference.json").path
    guard case .array(let cases)? = try JSONReader.read(Array(Data(contentsOf: URL(fileURLWithPath: path))))["cases"]
    else { throw TestFailure("the reference has no cases") }
    #expect(cases.count > 250)
    for reference in cases {
      let request = try Reference(reference)
      let service = request.path.hasPrefix("/api/v1/deployments") ? agent : genie
      let response = try HTTPConnection.request(
        service.port, request.method, request.path, headers: request.headers, body: request.body)
      let comment: Comment =
        "\(request.method) \(request.path.prefix(100)) \(String(decoding: request.body ?? [], as: UTF8.self).prefix(200))"
      if let expected = request.response {
        #expect(response.status == request.status, comment)
        #expect(try response.json.isSame(as: expected), "\(comment): \(response.text.prefix(500))")
      } else {
        // The reference has no database: what passes its validation must pass ours.
        #expect([200, 201, 204, 404, 409].contains(response.status), "\(comment): \(response.text.prefix(500))")
        #expect(response.detail != "Not Found", comment)
      }
    }
  }

  private struct Reference {
    var method: String
    var path: String
    var headers: [String: String] = [:]
    var body: [UInt8]?
    var status: Int
    var response: JSONValue?

    init(_ json: JSONValue) throws {
      func text(_ key: String) throws -> String {
        guard case .string(let text)? = json[key] else { throw TestFailure("a case has no \(key)") }
        return text
      }
      method = try text("method")
      path = try text("path").utf8.map { $0 < 0x80 ? String(UnicodeScalar($0)) : "%" + String($0, radix: 16) }.joined()
        .replacingOccurrences(of: " ", with: "%20")
      if case .object(let object)? = json["headers"] {
        for (key, value) in object.members { if case .string(let value) = value { headers[key] = value } }
      }
      if let hex = try? text("body") {
        body = stride(from: 0, to: hex.utf8.count, by: 2).compactMap { offset in
          UInt8(hex.dropFirst(offset).prefix(2), radix: 16)
        }
      }
      guard case .number(let status)? = json["status"] else { throw TestFailure("a case has no status") }
      self.status = Int(status) ?? 0
      if let response = json["response"], response != .null { self.response = response }
    }
  }
}
