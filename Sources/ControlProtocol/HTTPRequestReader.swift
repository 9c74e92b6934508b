// An incremental reader of HTTP/1.0 and HTTP/1.1 requests for a server that anybody may talk to. Bytes go in as they come;
// requests, or the reason why there can be none, come out. How the bytes were split makes no difference.
//
// It is strict where leniency has a price (RFC 9112 sections 2.2, 3.2, 5.1, 5.2, 6.1, 6.3, 11.2):
//   - lines end with CRLF; a bare LF or CR is refused. At most four empty lines before a request are skipped.
//   - a field name is a token that touches its colon; a folded line (obs-fold) is refused.
//   - Transfer-Encoding together with Content-Length, in HTTP/1.0, or twice is refused with 400 as an attempt at smuggling;
//     `chunked` alone gets 411 (no client of ours needs it), any other coding 501.
//   - several Content-Lengths must agree; more than the limit is 413 before a byte of the body is read.
//   - HTTP/1.1 needs exactly one Host.
//   - a target is visible ASCII; `%` escapes must be whole, decode to UTF-8 and contain no NUL.

/// Reads requests from bytes.
public struct HTTPRequestReader: Sendable {
  /// What there is to do next.
  public enum Outcome: Equatable, Sendable {
    /// More bytes are needed.
    case incomplete
    /// A request; call `next()` again after it has been answered, there may be another one (pipelining).
    case request(HTTPRequest)
    /// Answer this and close. Repeated calls return the same.
    case refused(HTTPRefusal)
  }

  private enum State {
    case startLine(skipped: Int)
    case headers(HTTPRequest, bytes: Int)
    case body(HTTPRequest, length: Int)
    case failed(HTTPRefusal)
  }

  private let limits: HTTPLimits
  private var queue = ByteQueue()
  private var state = State.startLine(skipped: 0)
  private var owesContinue = false

  /// A reader at the beginning of a connection.
  public init(limits: HTTPLimits = HTTPLimits()) { self.limits = limits }

  /// How many bytes wait that do not belong to a request that was returned. 0 after the last request: nothing is under way.
  public var bufferedCount: Int { queue.count }

  /// Whether a request has begun and is not complete: a connection that closes now is cut off, and a slow one has a deadline.
  public var isMidRequest: Bool {
    switch state {
    case .startLine: queue.count > 0
    case .headers, .body: true
    case .failed: false
    }
  }

  /// Adds bytes as they came. A caller that answers before it reads on bounds the buffer by its own read size.
  public mutating func append(_ bytes: [UInt8]) { append(bytes[...]) }

  /// Adds bytes as they came.
  public mutating func append(_ bytes: ArraySlice<UInt8>) {
    if case .failed = state { return }
    queue.append(bytes)
  }

  /// Adds bytes as they came.
  public mutating func append(_ bytes: UnsafeRawBufferPointer) {
    if case .failed = state { return }
    queue.append(bytes)
  }

  /// True once for each request that waits for `100 Continue` before it sends its body (RFC 9110 section 10.1.1). Ask when
  /// `next()` has returned `.incomplete`, and write `HTTPResponse.continueLine`.
  public mutating func takeContinue() -> Bool {
    defer { owesContinue = false }
    guard owesContinue, case .body(_, let length) = state else { return false }
    return queue.count < length
  }

  /// The next request, if it is complete.
  public mutating func next() -> Outcome {
    while true {
      switch state {
      case .failed(let refusal): return .refused(refusal)
      case .startLine(let skipped):
        guard let line = takeLine(limit: limits.startLine, status: 414, what: "request line") else { return waiting }
        if line.isEmpty {
          if skipped >= 4 { return fail(400, "cannot read the request: it begins with empty lines") }
          state = .startLine(skipped: skipped + 1)
          continue
        }
        do throws(HTTPRefusal) {
          state = .headers(try RequestLine.parse(line), bytes: 0)
        } catch {
          return fail(error)
        }
      case .headers(var request, let bytes):
        let room = limits.headerBytes - bytes
        guard let line = takeLine(limit: room, status: 431, what: "header") else { return waiting }
        if line.isEmpty {
          if let outcome = finishHead(request) { return outcome }
          continue
        }
        guard request.headers.count < limits.headerCount else {
          return fail(431, "cannot read the request: it has more than \(limits.headerCount) header lines")
        }
        guard let header = HTTPFieldLine.parse(line) else {
          return fail(400, "cannot read the request: a header line is malformed")
        }
        request.headers.append(header)
        state = .headers(request, bytes: bytes + line.count + 2)
      case .body(var request, let length):
        guard queue.count >= length else { return .incomplete }
        request.body = Array(queue.take(length))
        state = .startLine(skipped: 0)
        owesContinue = false
        return .request(request)
      }
    }
  }

  /// What to say when no line could be taken: it failed on the way, or the line is not complete.
  private var waiting: Outcome {
    if case .failed(let refusal) = state { return .refused(refusal) }
    return .incomplete
  }

  private mutating func fail(_ status: Int, _ message: String) -> Outcome {
    fail(HTTPRefusal(status: status, message: message))
  }

  private mutating func fail(_ refusal: HTTPRefusal) -> Outcome {
    state = .failed(refusal)
    queue.removeAll()
    owesContinue = false
    return .refused(refusal)
  }

  /// The next line without CRLF; nil when it is not complete, or when it was refused (the state tells).
  private mutating func takeLine(limit: Int, status: Int, what: String) -> ArraySlice<UInt8>? {
    let length = queue.lineLength()
    guard (length ?? queue.count) <= limit else {
      _ = fail(status, "cannot read the request: its \(what) is too long")
      return nil
    }
    guard let length else { return nil }
    let line = queue.takeLine(length)
    guard line.last == ASCII.carriageReturn, !line.dropLast().contains(ASCII.carriageReturn) else {
      _ = fail(400, "cannot read the request: a line does not end with CRLF")
      return nil
    }
    return line.dropLast()
  }

  /// The empty line has come: decides on the framing. Returns an outcome only for a refusal.
  private mutating func finishHead(_ request: HTTPRequest) -> Outcome? {
    var request = request
    do throws(HTTPRefusal) {
      let length = try Self.bodyLength(of: request)
      let hosts = request.headers.all("host").count
      if hosts > 1 || (hosts == 0 && request.minorVersion > 0) {
        throw HTTPRefusal(status: 400, message: "cannot read the request: it needs exactly one Host")
      }
      if length > limits.body {
        throw HTTPRefusal(status: 413, message: "cannot take the request: its body is larger than \(limits.body) bytes")
      }
      if let expectation = request.headers.first("expect"), request.minorVersion > 0 {
        guard ASCII.equalIgnoringCase(expectation, "100-continue") else {
          throw HTTPRefusal(status: 417, message: "cannot take the request: only 'Expect: 100-continue' is known")
        }
        owesContinue = length > 0
      }
      let close = request.headers.lists("close", in: "connection")
      request.keepAlive =
        !close && (request.minorVersion > 0 || request.headers.lists("keep-alive", in: "connection"))
      state = .body(request, length: length)
      return nil
    } catch {
      return fail(error)
    }
  }

  private static func bodyLength(of request: HTTPRequest) throws(HTTPRefusal) -> Int {
    let length = try HTTPContentLength.parse(request.headers)
    let codings = request.headers.all("transfer-encoding")
    guard let coding = codings.first else { return length ?? 0 }
    guard length == nil, codings.count == 1, request.minorVersion > 0 else {
      throw HTTPRefusal(status: 400, message: "cannot read the request: its framing is ambiguous")
    }
    if ASCII.equalIgnoringCase(coding, "chunked") {
      throw HTTPRefusal(status: 411, message: "cannot take a chunked request: send Content-Length")
    }
    throw HTTPRefusal(status: 501, message: "cannot take the request: its Transfer-Encoding is not known")
  }
}

/// RFC 9112 section 3.
enum RequestLine {
  /// The longest method that is read; the longest registered one has 17 letters.
  static let longestMethod = 32
  /// The most items a query may have.
  static let mostQueryItems = 32

  static func parse(_ line: ArraySlice<UInt8>) throws(HTTPRefusal) -> HTTPRequest {
    let words = line.split(separator: ASCII.space, omittingEmptySubsequences: false)
    guard words.count == 3, let minor = HTTPVersion.minor(words[2]) else {
      throw HTTPRefusal(status: 400, message: "cannot read the request: its first line is not 'METHOD TARGET HTTP/1.1'")
    }
    guard minor >= 0 else {
      throw HTTPRefusal(status: 505, message: "cannot answer this version of HTTP: use HTTP/1.1")
    }
    guard !words[0].isEmpty, words[0].count <= longestMethod, words[0].allSatisfy(ASCII.isTokenByte) else {
      throw HTTPRefusal(status: 400, message: "cannot read the request: its method is malformed")
    }
    let method = String(decoding: words[0], as: UTF8.self)
    guard let (segments, query) = target(words[1], method: method) else {
      throw HTTPRefusal(status: 400, message: "cannot read the request: its target is malformed")
    }
    return HTTPRequest(
      method: method, target: String(decoding: words[1], as: UTF8.self), segments: segments, query: query,
      minorVersion: minor)
  }

  /// The path and the query of a target in origin form, absolute form or (OPTIONS) asterisk form.
  private static func target(_ bytes: ArraySlice<UInt8>, method: String) -> ([String], [QueryItem])? {
    guard !bytes.isEmpty, bytes.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != 0x23 }) else { return nil }
    if bytes.elementsEqual("*".utf8) { return method == "OPTIONS" ? ([], []) : nil }
    guard let origin = originForm(bytes) else { return nil }
    let parts = origin.split(separator: ASCII.question, maxSplits: 1, omittingEmptySubsequences: false)
    guard let path = parts.first, path.first == ASCII.slash else { return nil }
    var segments: [String] = []
    for part in path.dropFirst().split(separator: ASCII.slash, omittingEmptySubsequences: false) {
      guard let segment = PercentEncoding.decode(part) else { return nil }
      segments.append(segment)
    }
    guard parts.count > 1, let text = parts.last else { return (segments, []) }
    guard let query = query(text) else { return nil }
    return (segments, query)
  }

  private static func originForm(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
    if bytes.first == ASCII.slash { return bytes }
    for scheme in ["http://", "https://"] {
      let prefix = bytes.prefix(scheme.utf8.count)
      guard ASCII.equalIgnoringCase(String(decoding: prefix, as: UTF8.self), scheme) else { continue }
      let rest = bytes.dropFirst(scheme.utf8.count)
      let end = rest.firstIndex { $0 == ASCII.slash || $0 == ASCII.question } ?? rest.endIndex
      guard end > rest.startIndex else { return nil }
      let path = rest[end...]
      return path.first == ASCII.slash ? path : ([ASCII.slash] + path)[...]
    }
    return nil
  }

  private static func query(_ text: ArraySlice<UInt8>) -> [QueryItem]? {
    let parts = text.split(separator: 0x26)
    guard parts.count <= mostQueryItems else { return nil }
    var items: [QueryItem] = []
    for part in parts {
      let pair = part.split(separator: ASCII.equals, maxSplits: 1, omittingEmptySubsequences: false)
      guard let first = pair.first, let name = PercentEncoding.decode(first) else { return nil }
      guard pair.count > 1, let last = pair.last else {
        items.append(QueryItem(name, ""))
        continue
      }
      guard let value = PercentEncoding.decode(last) else { return nil }
      items.append(QueryItem(name, value))
    }
    return items
  }
}
