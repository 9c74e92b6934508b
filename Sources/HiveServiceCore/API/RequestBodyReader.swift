import HTTPTypes
import Hummingbird
import NIOCore

/// Reads a request's body as JSON, with limits on its size and on the time that its sender takes.
struct RequestBodyReader: Sendable {
  var maximumBytes: Int
  var timeout: Duration

  /// nil when there is no body. Throws `APIError` (400, 408, 413) and `ValidationFailure`.
  func read(_ request: Request) async throws -> JSONValue? {
    let bytes = try await collect(request)
    guard bytes.readableBytes > 0 else { return nil }
    // As FastAPI: without a JSON content type a body is text, which no model accepts.
    guard Self.isJSON(request.headers[.contentType]) else {
      return .string(String(decoding: bytes.readableBytesView, as: UTF8.self))
    }
    do {
      return try JSONReader.read(bytes.readableBytesView)
    } catch let error as JSONSyntaxError {
      throw ValidationFailure(issues: [.jsonInvalid(error)])
    } catch is JSONReader.Refusal {
      throw APIError(.badRequest, "There was an error parsing the body")
    }
  }

  private func collect(_ request: Request) async throws -> ByteBuffer {
    let declared = request.headers[.contentLength].flatMap { Int($0) } ?? 0
    // A client that asks before it sends (RFC 9110, 10.1.1) needs no more than the answer.
    if declared > maximumBytes, request.headers[.expect] != nil { throw tooLarge }
    let (body, maximumBytes, timeout) = (request.body, maximumBytes, timeout)
    return try await withThrowingTaskGroup(of: ByteBuffer?.self) { group in
      group.addTask { try await Self.collect(body, upTo: maximumBytes) }
      group.addTask {
        try await Task.sleep(for: timeout)
        throw APIError(
          .requestTimeout, "The request's body did not arrive within \(timeout)", headers: [.connection: "close"])
      }
      defer { group.cancelAll() }
      guard let bytes = try await group.next() ?? nil else { throw tooLarge }
      return bytes
    }
  }

  /// nil when there are more bytes. Some more of them are read then, because most clients look for an answer only after
  /// they have sent everything, and would find a reset connection instead of it.
  private static func collect(_ body: RequestBody, upTo maximumBytes: Int) async throws -> ByteBuffer? {
    var bytes = ByteBuffer()
    var total = 0
    for try await part in body {
      total += part.readableBytes
      if total <= maximumBytes {
        bytes.writeImmutableBuffer(part)
      } else {
        bytes.clear()
        if total > maximumBytes + maximumDiscardedBytes { break }
      }
    }
    // A cancelled body ends as if it were complete.
    try Task.checkCancellation()
    return total <= maximumBytes ? bytes : nil
  }

  private static let maximumDiscardedBytes = 8 << 20

  private var tooLarge: APIError {
    APIError(
      .contentTooLarge, "The request's body is larger than \(maximumBytes) bytes", headers: [.connection: "close"])
  }

  /// `application/json`, or `application/` with a subtype that ends in `+json` (RFC 6839).
  static func isJSON(_ contentType: String?) -> Bool {
    let type = (contentType ?? "").prefix { $0 != ";" }.lowercased().filter { $0 != " " && $0 != "\t" }
    return type == "application/json" || (type.hasPrefix("application/") && type.hasSuffix("+json"))
  }
}
