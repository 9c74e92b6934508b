// The `http` probe: one GET, and what its answer says. Bounded: 16 KiB of headers, the first line of the body.

/// Asks with HTTP/1.1 and `Connection: close`.
///
/// 200…399 passes. An answer with `X-Hivesup-Fallback` comes from the supervisor, which answers on a program's port while the program
/// does not: it counts as failed.
struct HTTPDialogue: ProbeDialogue {
  /// The header by which the supervisor's own answers are known; in lower case.
  static let fallbackHeader = "x-hivesup-fallback"
  private static let longestHead = 16 * 1024
  private static let longestBody = 1024

  private let request: [UInt8]
  private var head: [UInt8] = []
  private var body: [UInt8] = []
  private var failure: String?
  private var isChunked = false

  init(host: String, target: String) {
    // What is no visible character cannot be part of a request line or of a host.
    func clean(_ text: String) -> String {
      String(decoding: text.utf8.filter { $0 > 0x20 && $0 != 0x7f }, as: UTF8.self)
    }
    request = Array(
      """
      GET \(clean(target)) HTTP/1.1\r
      Host: \(clean(host))\r
      User-Agent: hivesupd\r
      Accept: */*\r
      Connection: close\r
      \r

      """.utf8)
  }

  mutating func opening() -> [UInt8] { request }
  mutating func connected() -> ProbeStep { .more }

  mutating func received(_ bytes: UnsafeRawBufferPointer) -> ProbeStep {
    if failure != nil { return describe(with: bytes) }
    head.append(contentsOf: bytes)
    while let end = HTTPDialogue.endOfHead(head) {
      guard let code = HTTPDialogue.status(head[..<end]) else { return .decided(.fail("the answer is not HTTP")) }
      // Interim answers (RFC 9110 section 15.2) come before the real one.
      if (100...199).contains(code) && code != 101 {
        head.removeFirst(end)
        continue
      }
      let fields = HTTPDialogue.fields(head[..<end])
      let isFallback = fields.contains { $0.name == HTTPDialogue.fallbackHeader }
      if (200...399).contains(code) && !isFallback { return .settled(.pass()) }
      isChunked = fields.contains { $0.name == "transfer-encoding" && $0.value.utf8.count >= 7 }
      let statusLine = printableLine(head[..<end].drop { $0 != 0x20 }, limit: 80)
      failure = isFallback ? "answered by hivesup, not by the program" : "HTTP \(statusLine)"
      let rest = Array(head[end...])
      head = []
      if isFallback { return .decided(.fail(failure ?? "")) }
      return rest.withUnsafeBytes { describe(with: $0) }
    }
    if head.count > HTTPDialogue.longestHead {
      return .decided(.fail("the headers of the answer are longer than \(HTTPDialogue.longestHead) bytes"))
    }
    // Something that cannot become a status line need not be read to its end.
    if !head.prefix(5).elementsEqual("HTTP/".utf8.prefix(head.count)) {
      return .decided(.fail("the answer is not HTTP"))
    }
    return .more
  }

  mutating func ended() -> DialogueVerdict {
    if let failure { return .fail(detail(failure)) }
    return .fail(
      head.isEmpty ? "the connection was closed without an answer" : "the connection was closed within the headers")
  }

  private mutating func describe(with bytes: UnsafeRawBufferPointer) -> ProbeStep {
    body.append(contentsOf: bytes.prefix(max(0, HTTPDialogue.longestBody - body.count)))
    let verdict = DialogueVerdict.fail(detail(failure ?? ""))
    let isComplete = body.count >= HTTPDialogue.longestBody || text.contains(0x0a)
    return isComplete ? .decided(verdict) : .likely(verdict)
  }

  /// The body without the first chunk's size line.
  private var text: ArraySlice<UInt8> {
    guard isChunked, let newline = body.firstIndex(of: 0x0a) else { return isChunked ? [] : body[...] }
    let data = body[(newline + 1)...]
    let size = body[..<newline].prefix { $0 != 0x0d && $0 != UInt8(ascii: ";") }
    guard let length = Int(String(decoding: size, as: UTF8.self), radix: 16), length >= 0 else { return data }
    return data.prefix(length)
  }

  private func detail(_ failure: String) -> String {
    let line = printableLine(text, limit: 200)
    return line.isEmpty ? failure : "\(failure): \(line)"
  }

  /// Where the headers end, after the empty line.
  private static func endOfHead(_ bytes: [UInt8]) -> Int? {
    var index = 0
    while index < bytes.count {
      if bytes[index] == 0x0a {
        if index + 1 < bytes.count && bytes[index + 1] == 0x0a { return index + 2 }
        if index + 2 < bytes.count && bytes[index + 1] == 0x0d && bytes[index + 2] == 0x0a { return index + 3 }
      }
      index += 1
    }
    return nil
  }

  /// The status code of `HTTP/1.x NNN …`.
  private static func status(_ head: ArraySlice<UInt8>) -> Int? {
    guard head.starts(with: "HTTP/1.".utf8) else { return nil }
    let words = head.prefix { $0 != 0x0a && $0 != 0x0d }.split(separator: 0x20)
    guard words.count >= 2, words[1].count == 3 else { return nil }
    guard let code = Int(String(decoding: words[1], as: UTF8.self)), (100...599).contains(code) else { return nil }
    return code
  }

  private static func fields(_ head: ArraySlice<UInt8>) -> [(name: String, value: String)] {
    head.split(separator: 0x0a).dropFirst().compactMap { line in
      guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else { return nil }
      let name = String(decoding: line[..<colon], as: UTF8.self).lowercased()
      return (name, printableLine(line[(colon + 1)...], limit: 200))
    }
  }
}
