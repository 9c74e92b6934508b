// Writing answers (RFC 9112 sections 4, 6, 7.1).

/// An answer.
public struct HTTPResponse: Equatable, Sendable {
  /// 200…599.
  public var status: Int
  /// Field lines besides those that the framing needs (`Content-Length`, `Transfer-Encoding`, `Connection`, `Date`).
  public var headers: [HTTPHeader]
  /// The content.
  public var body: [UInt8]

  /// An answer.
  public init(status: Int, headers: [HTTPHeader] = [], body: [UInt8] = []) {
    self.status = status
    self.headers = headers
    self.body = body
  }

  /// An answer with a JSON document, never to be kept by a cache.
  public static func json(_ body: [UInt8], status: Int = 200, headers: [HTTPHeader] = []) -> HTTPResponse {
    HTTPResponse(
      status: status,
      headers: [HTTPHeader("Content-Type", "application/json"), HTTPHeader("Cache-Control", "no-store")] + headers,
      body: body)
  }

  /// An answer with text.
  public static func text(
    _ body: String, status: Int = 200, type: String = "text/plain; charset=utf-8", headers: [HTTPHeader] = []
  ) -> HTTPResponse {
    HTTPResponse(
      status: status, headers: [HTTPHeader("Content-Type", type), HTTPHeader("Cache-Control", "no-store")] + headers,
      body: Array(body.utf8))
  }

  /// How the answer goes onto the connection.
  public struct Framing: Equatable, Sendable {
    /// The request was HEAD: everything but the body.
    public var isHead: Bool
    /// Whether the connection stays open after it.
    public var keepAlive: Bool
    /// The request's minor version: a streamed body is chunked in HTTP/1.1 and ends with the connection in HTTP/1.0.
    public var minorVersion: Int
    /// The time for `Date`. nil: no such line (RFC 9110 section 6.6.1 asks for it only of servers with a clock).
    public var date: Timestamp?

    /// A framing.
    public init(isHead: Bool = false, keepAlive: Bool = false, minorVersion: Int = 1, date: Timestamp? = nil) {
      self.isHead = isHead
      self.keepAlive = keepAlive
      self.minorVersion = minorVersion
      self.date = date
    }

    /// The framing that a request asks for.
    public init(for request: HTTPRequest, date: Timestamp? = nil) {
      self.init(
        isHead: request.isHead, keepAlive: request.keepAlive, minorVersion: request.minorVersion, date: date)
    }
  }

  /// `HTTP/1.1 100 Continue`, for `HTTPRequestReader.takeContinue()`.
  public static let continueLine: [UInt8] = Array("HTTP/1.1 100 Continue\r\n\r\n".utf8)

  /// Appends the whole answer.
  public func write(to output: inout [UInt8], _ framing: Framing = Framing()) {
    writeHead(to: &output, framing)
    // RFC 9110 sections 15.2, 15.3.5, 15.4.5: these have no content, whatever the method.
    let hasContent = status >= 200 && status != 204 && status != 304
    if hasContent { Self.line("Content-Length", String(body.count), to: &output) }
    if !framing.keepAlive { Self.line("Connection", "close", to: &output) }
    if framing.keepAlive && framing.minorVersion == 0 { Self.line("Connection", "keep-alive", to: &output) }
    output.append(contentsOf: "\r\n".utf8)
    if hasContent && !framing.isHead { output.append(contentsOf: body) }
  }

  /// Appends the head of an answer whose content follows piece by piece: in HTTP/1.1 each piece through `HTTPChunk`, in
  /// HTTP/1.0 as it is, until the connection closes. Returns whether pieces must be chunks.
  public func writeStreamHead(to output: inout [UInt8], _ framing: Framing = Framing()) -> Bool {
    writeHead(to: &output, framing)
    let chunked = framing.minorVersion > 0
    if chunked { Self.line("Transfer-Encoding", "chunked", to: &output) }
    if !chunked || !framing.keepAlive { Self.line("Connection", "close", to: &output) }
    output.append(contentsOf: "\r\n".utf8)
    return chunked
  }

  private func writeHead(to output: inout [UInt8], _ framing: Framing) {
    output.append(contentsOf: "HTTP/1.1 \(min(max(status, 100), 999)) \(HTTPStatus.reason(status))\r\n".utf8)
    if let date = framing.date { Self.line("Date", date.httpDate, to: &output) }
    for header in headers { Self.line(header.name, header.value, to: &output) }
  }

  /// One field line. A name that is no token is left out, and control characters in a value become spaces: no value can add
  /// a line of its own.
  private static func line(_ name: String, _ value: String, to output: inout [UInt8]) {
    guard !name.isEmpty, name.utf8.allSatisfy(ASCII.isTokenByte) else { return }
    output.append(contentsOf: name.utf8)
    output.append(contentsOf: ": ".utf8)
    for byte in value.utf8 { output.append(ASCII.isFieldValueByte(byte) ? byte : ASCII.space) }
    output.append(contentsOf: "\r\n".utf8)
  }
}

/// RFC 9112 section 7.1: the chunked coding.
public enum HTTPChunk {
  /// Appends one chunk. Nothing for no bytes: an empty chunk would end the content.
  public static func write(_ bytes: some Collection<UInt8>, to output: inout [UInt8]) {
    guard !bytes.isEmpty else { return }
    output.append(contentsOf: String(bytes.count, radix: 16).utf8)
    output.append(contentsOf: "\r\n".utf8)
    output.append(contentsOf: bytes)
    output.append(contentsOf: "\r\n".utf8)
  }

  /// Appends the end of the content.
  public static func writeEnd(to output: inout [UInt8]) { output.append(contentsOf: "0\r\n\r\n".utf8) }
}

/// RFC 9110 section 15.
public enum HTTPStatus {
  /// The reason phrase; empty for a status that has none here.
  public static func reason(_ status: Int) -> String {
    switch status {
    case 100: "Continue"
    case 200: "OK"
    case 202: "Accepted"
    case 204: "No Content"
    case 304: "Not Modified"
    case 400: "Bad Request"
    case 403: "Forbidden"
    case 404: "Not Found"
    case 405: "Method Not Allowed"
    case 408: "Request Timeout"
    case 409: "Conflict"
    case 411: "Length Required"
    case 413: "Content Too Large"
    case 414: "URI Too Long"
    case 417: "Expectation Failed"
    case 422: "Unprocessable Content"
    case 429: "Too Many Requests"
    case 431: "Request Header Fields Too Large"
    case 500: "Internal Server Error"
    case 501: "Not Implemented"
    case 503: "Service Unavailable"
    case 504: "Gateway Timeout"
    case 505: "HTTP Version Not Supported"
    default: ""
    }
  }
}
