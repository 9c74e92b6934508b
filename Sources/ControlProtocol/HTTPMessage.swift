// What HTTP/1.1 messages consist of (RFC 9110, RFC 9112), as values.

/// One field line.
public struct HTTPHeader: Equatable, Sendable {
  /// The name, as written.
  public var name: String
  /// The value without the spaces around it.
  public var value: String

  /// A field line.
  public init(_ name: String, _ value: String) {
    self.name = name
    self.value = value
  }
}

extension [HTTPHeader] {
  /// The first value of this name, whatever the case of its letters.
  public func first(_ name: String) -> String? {
    first { ASCII.equalIgnoringCase($0.name, name) }?.value
  }

  /// All values of this name, in order.
  public func all(_ name: String) -> [String] {
    filter { ASCII.equalIgnoringCase($0.name, name) }.map(\.value)
  }

  /// Whether a comma-separated field such as `Connection` lists this word.
  public func lists(_ word: String, in name: String) -> Bool {
    all(name).contains { value in
      value.utf8.split(separator: ASCII.comma).contains { item in
        let bytes = ASCII.trimmed(ArraySlice(item))
        return ASCII.equalIgnoringCase(String(decoding: bytes, as: UTF8.self), word)
      }
    }
  }
}

/// One `name=value` of a query.
public struct QueryItem: Equatable, Sendable {
  /// The decoded name.
  public var name: String
  /// The decoded value; empty when there was no `=`.
  public var value: String

  /// An item.
  public init(_ name: String, _ value: String) {
    self.name = name
    self.value = value
  }
}

/// A complete request.
public struct HTTPRequest: Equatable, Sendable {
  /// The method, as written: methods are case-sensitive.
  public var method: String
  /// The request target, as written.
  public var target: String
  /// The path's segments, each decoded: `/v1/programs/a%2Fb` is `["v1", "programs", "a/b"]`; `/` is `[""]`; `*` is `[]`.
  /// Dot segments are not resolved; no route has one.
  public var segments: [String]
  /// The query's items, decoded. `+` is a plus sign.
  public var query: [QueryItem]
  /// 0 for HTTP/1.0, 1 for HTTP/1.1 and later minor versions.
  public var minorVersion: Int
  /// The field lines in order.
  public var headers: [HTTPHeader]
  /// The content.
  public var body: [UInt8]
  /// Whether the client expects the connection to stay open after the answer (RFC 9112 section 9.3).
  public var keepAlive: Bool

  /// A request.
  public init(
    method: String, target: String, segments: [String], query: [QueryItem] = [], minorVersion: Int = 1,
    headers: [HTTPHeader] = [], body: [UInt8] = [], keepAlive: Bool = true
  ) {
    self.method = method
    self.target = target
    self.segments = segments
    self.query = query
    self.minorVersion = minorVersion
    self.headers = headers
    self.body = body
    self.keepAlive = keepAlive
  }

  /// Whether the answer must come without its body.
  public var isHead: Bool { method == "HEAD" }

  /// The path with each segment decoded, for messages and for comparison with plain paths.
  public var path: String { segments.isEmpty ? "*" : "/" + segments.joined(separator: "/") }
}

/// How much of a message is taken before it is refused. All in bytes but `headerCount`.
public struct HTTPLimits: Equatable, Sendable {
  /// The request line or status line, without its LF.
  public var startLine: Int
  /// How many field lines.
  public var headerCount: Int
  /// All field lines together, with their line ends.
  public var headerBytes: Int
  /// The content.
  public var body: Int

  /// Limits.
  public init(startLine: Int = 4096, headerCount: Int = 64, headerBytes: Int = 16 * 1024, body: Int = 64 * 1024) {
    self.startLine = startLine
    self.headerCount = headerCount
    self.headerBytes = headerBytes
    self.body = body
  }

  /// For the container's public port while PID 1 answers it: what a health checker or a browser sends.
  public static let publicPort = HTTPLimits(startLine: 4096, headerCount: 64, headerBytes: 16 * 1024, body: 64 * 1024)
}

/// Why a request is not taken, and what to answer. The connection cannot be used further.
public struct HTTPRefusal: Error, Equatable, Sendable {
  /// The status of the answer, 400…599.
  public var status: Int
  /// The sentence for people.
  public var message: String

  /// A refusal.
  public init(status: Int, message: String) {
    self.status = status
    self.message = message
  }
}

/// RFC 9112 section 2.3 as far as an HTTP/1 peer needs it.
enum HTTPVersion {
  /// The minor version of `HTTP/1.x`; -1 for another major version; nil for anything else.
  static func minor(_ bytes: ArraySlice<UInt8>) -> Int? {
    let text = Array(bytes)
    guard text.count == 8, text.starts(with: "HTTP/".utf8), ASCII.isDigit(text[5]), text[6] == ASCII.dot,
      ASCII.isDigit(text[7])
    else { return nil }
    if text[5] != 0x31 { return -1 }
    return text[7] == ASCII.zero ? 0 : 1
  }
}

/// RFC 9112 section 5: one field line.
enum HTTPFieldLine {
  /// The field; nil when the line is not `token ":" OWS value OWS`. A folded line (leading space) has no name, so it is nil too.
  static func parse(_ line: ArraySlice<UInt8>) -> HTTPHeader? {
    guard let colon = line.firstIndex(of: ASCII.colon) else { return nil }
    let name = line[line.startIndex..<colon]
    let value = ASCII.trimmed(line[line.index(after: colon)...])
    guard !name.isEmpty, name.allSatisfy(ASCII.isTokenByte), value.allSatisfy(ASCII.isFieldValueByte) else {
      return nil
    }
    return HTTPHeader(String(decoding: name, as: UTF8.self), String(decoding: value, as: UTF8.self))
  }
}

/// RFC 9112 section 6.3: `Content-Length`.
enum HTTPContentLength {
  /// nil: there is none. Saturates at Int.max.
  /// - Throws: when it is not a number or there are several that differ.
  static func parse(_ headers: [HTTPHeader]) throws(HTTPRefusal) -> Int? {
    var length: Int?
    for value in headers.all("content-length") {
      for item in value.utf8.split(separator: ASCII.comma, omittingEmptySubsequences: false) {
        guard let number = ASCII.decimal(ASCII.trimmed(ArraySlice(item))) else {
          throw HTTPRefusal(status: 400, message: "cannot read the message: its Content-Length is not a number")
        }
        if let length, length != number {
          throw HTTPRefusal(status: 400, message: "cannot read the message: it has two different Content-Lengths")
        }
        length = number
      }
    }
    return length
  }
}
