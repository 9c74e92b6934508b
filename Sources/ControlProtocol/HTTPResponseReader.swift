// An incremental reader of one HTTP/1 answer, for clients and probes. It is bounded like the request reader, and lenient in
// what costs a client nothing: a line may end with a bare LF, the reason phrase may be missing.

/// The head of an answer.
public struct HTTPResponseHead: Equatable, Sendable {
  /// 200…999; interim answers (1xx) are skipped.
  public var status: Int
  /// 0 for HTTP/1.0, 1 for HTTP/1.1.
  public var minorVersion: Int
  /// The field lines in order.
  public var headers: [HTTPHeader]

  /// A head.
  public init(status: Int, minorVersion: Int = 1, headers: [HTTPHeader] = []) {
    self.status = status
    self.minorVersion = minorVersion
    self.headers = headers
  }
}

/// Why an answer cannot be read.
public struct HTTPResponseError: Error, Equatable, Sendable {
  /// The sentence for people.
  public var message: String

  /// An error.
  public init(_ message: String) { self.message = message }
}

/// Reads one answer from bytes.
public struct HTTPResponseReader: Sendable {
  /// What has come. `.head` once, then `.body` any number of times, then `.end`.
  public enum Event: Equatable, Sendable {
    /// More bytes are needed.
    case incomplete
    /// The head.
    case head(HTTPResponseHead)
    /// Some of the content; never empty.
    case body([UInt8])
    /// The content is complete. Repeated calls return the same.
    case end
    /// The answer is malformed, cut off or too large. Repeated calls return the same.
    case failed(HTTPResponseError)
  }

  private enum State {
    case statusLine(interim: Int)
    case headers(HTTPResponseHead, bytes: Int, interim: Int)
    case fixed(remaining: Int)
    case untilClose
    case chunkSize
    case chunkData(remaining: Int)
    case chunkEnd
    case trailers(bytes: Int)
    case ended
    case failed(HTTPResponseError)
  }

  private let limits: HTTPLimits
  private let isHead: Bool
  private var queue = ByteQueue()
  private var state = State.statusLine(interim: 0)
  private var closed = false
  private var received = 0

  /// A reader for the answer to one request.
  /// - Parameters:
  ///   - limits: `body` bounds the whole content; Int.max for a stream without end.
  ///   - isHead: the request was HEAD, so there is no content whatever the head says.
  public init(limits: HTTPLimits = HTTPLimits(), isHead: Bool = false) {
    self.limits = limits
    self.isHead = isHead
  }

  /// Adds bytes as they came.
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

  /// The peer has closed its side: what is not complete now never will be.
  public mutating func finish() { closed = true }

  /// What comes next.
  public mutating func next() -> Event {
    while true {
      switch state {
      case .failed(let error): return .failed(error)
      case .ended: return .end
      case .statusLine(let interim):
        guard let line = takeLine(limit: limits.startLine) else { return waiting }
        guard let head = Self.statusLine(line) else { return fail("the status line is malformed") }
        state = .headers(head, bytes: 0, interim: interim)
      case .headers(var head, let bytes, let interim):
        guard let line = takeLine(limit: limits.headerBytes - bytes) else { return waiting }
        if line.isEmpty {
          if head.status < 200 {
            // RFC 9110 section 15.2; 101 answers an Upgrade that nobody here sends.
            guard head.status != 101, interim < 8 else { return fail("there is no final status") }
            state = .statusLine(interim: interim + 1)
            continue
          }
          if let failure = beginBody(head) { return failure }
          return .head(head)
        }
        guard head.headers.count < limits.headerCount else { return fail("it has too many header lines") }
        guard let header = HTTPFieldLine.parse(line) else { return fail("a header line is malformed") }
        head.headers.append(header)
        state = .headers(head, bytes: bytes + line.count + 2, interim: interim)
      case .fixed(let remaining):
        guard remaining > 0 else {
          state = .ended
          continue
        }
        guard let piece = takeBody(atMost: remaining) else { return waiting }
        state = .fixed(remaining: remaining - piece.count)
        return .body(piece)
      case .untilClose:
        guard queue.count > 0 else {
          if !closed { return .incomplete }
          state = .ended
          continue
        }
        guard let piece = takeBody(atMost: .max) else { return waiting }
        return .body(piece)
      case .chunkSize:
        guard let line = takeLine(limit: 256) else { return waiting }
        guard let size = Self.chunkSize(line) else { return fail("a chunk's size is malformed") }
        state = size == 0 ? .trailers(bytes: 0) : .chunkData(remaining: size)
      case .chunkData(let remaining):
        guard let piece = takeBody(atMost: remaining) else { return waiting }
        state = piece.count == remaining ? .chunkEnd : .chunkData(remaining: remaining - piece.count)
        return .body(piece)
      case .chunkEnd:
        guard let line = takeLine(limit: 1) else { return waiting }
        guard line.isEmpty else { return fail("a chunk does not end with CRLF") }
        state = .chunkSize
      case .trailers(let bytes):
        guard let line = takeLine(limit: limits.headerBytes - bytes) else { return waiting }
        state = line.isEmpty ? .ended : .trailers(bytes: bytes + line.count + 2)
      }
    }
  }

  private var waiting: Event {
    mutating get {
      if case .failed(let error) = state { return .failed(error) }
      return closed ? fail("the connection was closed in the middle of it") : .incomplete
    }
  }

  private mutating func fail(_ reason: String) -> Event {
    let error = HTTPResponseError("cannot read the answer: \(reason)")
    state = .failed(error)
    queue.removeAll()
    return .failed(error)
  }

  /// The next line without its end; nil when it is not complete, or when it is too long (the state tells).
  private mutating func takeLine(limit: Int) -> ArraySlice<UInt8>? {
    let length = queue.lineLength()
    guard (length ?? queue.count) <= limit else {
      _ = fail("a line is too long")
      return nil
    }
    guard let length else { return nil }
    let line = queue.takeLine(length)
    return line.last == ASCII.carriageReturn ? line.dropLast() : line
  }

  /// What is there of the content; nil when nothing is, or when there was too much (the state tells).
  private mutating func takeBody(atMost limit: Int) -> [UInt8]? {
    guard queue.count > 0 else { return nil }
    let room = limits.body - received
    guard room > 0 else {
      _ = fail("its body is larger than \(limits.body) bytes")
      return nil
    }
    let piece = Array(queue.take(min(limit, room)))
    // A stream without end has a limit of Int.max and is not counted: it may outlive any counter.
    if limits.body != .max { received += piece.count }
    return piece
  }

  /// RFC 9112 section 6.3. Returns an event only for a failure.
  private mutating func beginBody(_ head: HTTPResponseHead) -> Event? {
    if isHead || head.status == 204 || head.status == 304 {
      state = .ended
      return nil
    }
    if !head.headers.all("transfer-encoding").isEmpty {
      guard head.headers.all("transfer-encoding").count == 1, head.headers.lists("chunked", in: "transfer-encoding"),
        head.headers.first("transfer-encoding")?.utf8.count == 7
      else { return fail("its Transfer-Encoding is not known") }
      state = .chunkSize
      return nil
    }
    do throws(HTTPRefusal) {
      guard let length = try HTTPContentLength.parse(head.headers) else {
        state = .untilClose
        return nil
      }
      guard length <= limits.body else { return fail("its body is larger than \(limits.body) bytes") }
      state = .fixed(remaining: length)
      return nil
    } catch {
      return fail("its Content-Length is malformed")
    }
  }

  private static func statusLine(_ line: ArraySlice<UInt8>) -> HTTPResponseHead? {
    let words = line.split(separator: ASCII.space, maxSplits: 2, omittingEmptySubsequences: false)
    guard words.count >= 2, let minor = HTTPVersion.minor(words[0]), minor >= 0, words[1].count == 3,
      let status = ASCII.decimal(words[1]), status >= 100
    else { return nil }
    return HTTPResponseHead(status: status, minorVersion: minor)
  }

  private static func chunkSize(_ line: ArraySlice<UInt8>) -> Int? {
    let digits = ASCII.trimmed(line.prefix { $0 != ASCII.semicolon })
    guard !digits.isEmpty, digits.count <= 15 else { return nil }
    var size = 0
    for digit in digits {
      guard let value = ASCII.hexValue(digit) else { return nil }
      size = size << 4 | Int(value)
    }
    return size
  }
}
