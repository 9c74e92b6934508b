import ControlProtocol
import Testing

/// The head and the whole content of an answer, or why there is none.
private struct Answer: Equatable {
  var head: HTTPResponseHead?
  var body: [UInt8] = []
  var ended = false
  var error: HTTPResponseError?
}

private func read(
  _ pieces: [[UInt8]], limits: HTTPLimits = HTTPLimits(), isHead: Bool = false, closed: Bool = true
) -> Answer {
  var reader = HTTPResponseReader(limits: limits, isHead: isHead)
  var answer = Answer()
  for index in 0...pieces.count {
    if index < pieces.count { reader.append(pieces[index]) } else if closed { reader.finish() }
    loop: while true {
      switch reader.next() {
      case .incomplete: break loop
      case .head(let head): answer.head = head
      case .body(let piece):
        #expect(!piece.isEmpty)
        answer.body += piece
      case .end:
        answer.ended = true
        return answer
      case .failed(let error):
        answer.error = error
        return answer
      }
    }
  }
  return answer
}

private func read(_ text: String, isHead: Bool = false, closed: Bool = true) -> Answer {
  read([Array(text.utf8)], isHead: isHead, closed: closed)
}

@Suite struct HTTPResponseTests {
  @Test func writesTheWholeAnswer() {
    var bytes: [UInt8] = []
    HTTPResponse.json(Array("{}".utf8), status: 503, headers: [HTTPHeader("Retry-After", "1")]).write(
      to: &bytes, .init(keepAlive: false, date: Timestamp(nanoseconds: 1_795_168_800_000_000_000)))
    let expected =
      "HTTP/1.1 503 Service Unavailable\r\nDate: Fri, 20 Nov 2026 10:00:00 GMT\r\nContent-Type: application/json\r\nCache-Control: no-store\r\nRetry-After: 1\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
    #expect(String(decoding: bytes, as: UTF8.self) == expected)
  }

  @Test func answersHeadWithTheLengthAndWithoutTheBody() {
    var bytes: [UInt8] = []
    HTTPResponse.text("hello").write(to: &bytes, .init(isHead: true, keepAlive: true))
    let text = String(decoding: bytes, as: UTF8.self)
    #expect(text.contains("Content-Length: 5\r\n") && text.hasSuffix("\r\n\r\n") && !text.contains("Connection"))
    #expect(read([bytes], isHead: true, closed: false).ended)
  }

  @Test func statusesWithoutContentHaveNone() {
    for status in [204, 304] {
      var bytes: [UInt8] = []
      HTTPResponse(status: status, body: [1, 2]).write(to: &bytes, .init(keepAlive: true))
      #expect(!String(decoding: bytes, as: UTF8.self).contains("Content-Length"))
      #expect(bytes.suffix(4) == Array("\r\n\r\n".utf8)[...])
    }
  }

  @Test func aValueCannotAddALine() {
    var bytes: [UInt8] = []
    HTTPResponse(
      status: 200, headers: [HTTPHeader("X", "a\r\nSet-Cookie: b\0"), HTTPHeader("Y\r\nZ", "c"), HTTPHeader("", "d")]
    )
    .write(to: &bytes, .init(keepAlive: true))
    #expect(
      String(decoding: bytes, as: UTF8.self) == "HTTP/1.1 200 OK\r\nX: a  Set-Cookie: b \r\nContent-Length: 0\r\n\r\n")
  }

  @Test func keepsAnHTTP10ConnectionOnlyByName() {
    var bytes: [UInt8] = []
    HTTPResponse(status: 200).write(to: &bytes, .init(keepAlive: true, minorVersion: 0))
    #expect(String(decoding: bytes, as: UTF8.self).contains("Connection: keep-alive\r\n"))
  }

  @Test func streamsInChunksOrUntilTheEnd() {
    for minor in 0...1 {
      var bytes: [UInt8] = []
      let chunked = HTTPResponse(status: 200).writeStreamHead(to: &bytes, .init(keepAlive: true, minorVersion: minor))
      #expect(chunked == (minor == 1))
      for piece in ["hello ", "", "world"] {
        if chunked { HTTPChunk.write(Array(piece.utf8), to: &bytes) } else { bytes += Array(piece.utf8) }
      }
      if chunked { HTTPChunk.writeEnd(to: &bytes) }
      let answer = read([bytes])
      #expect(answer.ended && answer.body == Array("hello world".utf8))
      #expect(read([bytes], closed: false).ended == chunked)
    }
  }

  @Test func readsAnswersOfManyKinds() {
    let cases: [(String, Int, String)] = [
      ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabEXTRA", 200, "ab"), ("HTTP/1.0 200\r\n\r\nab", 200, "ab"),
      ("HTTP/1.1 404 Not Found here\nContent-Length: 0\n\n", 404, ""),
      ("HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n", 204, ""),
      (
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 E\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", 200,
        "a"
      ),
      (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2;x=y\r\nab\r\n00A \r\n0123456789\r\n0\r\nT: v\r\n\r\n",
        200, "ab0123456789"
      ),
      ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n1\r\na\r\n0\r\n\r\n", 200, "a"),
    ]
    for (text, status, body) in cases {
      let answer = read(text)
      #expect(answer.head?.status == status && answer.ended, "\(text.debugDescription) \(answer)")
      #expect(String(decoding: answer.body, as: UTF8.self) == body)
    }
  }

  @Test func refusesBrokenAnswers() {
    let cases = [
      "", "x", "HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 099 OK\r\n\r\n",
      "HTTP/1.1 abc OK\r\n\r\n",
      "HTTP/1.1 101 Switching\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
      "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", "HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
      String(repeating: "HTTP/1.1 100 Continue\r\n\r\n", count: 10),
    ]
    for text in cases {
      #expect(read(text).error?.message.hasPrefix("cannot read the answer: ") == true, "\(text.debugDescription)")
    }
  }

  @Test func theBodyIsBounded() {
    let limits = HTTPLimits(body: 4)
    for text in [
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n12345",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n123\r\n2\r\n45\r\n0\r\n\r\n",
    ] {
      #expect(read([Array(text.utf8)], limits: limits).error != nil, "\(text.debugDescription)")
    }
    #expect(read([Array("HTTP/1.1 200 OK\r\n\r\n1234".utf8)], limits: limits).ended)
  }

  @Test func splittingNeverChangesWhatIsRead() {
    let corpus = [
      "HTTP/1.1 200 OK\r\nContent-Type: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nX: y\r\n\r\n",
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 503 Service Unavailable\r\nContent-Length: 5\r\nRetry-After: 1\r\n\r\nhello",
      "HTTP/1.1 200 OK\nConnection: close\n\nuntil the end",
    ].map { Array($0.utf8) }
    for seed in 0..<fuzzCases {
      var random = SeededGenerator(seed: seed)
      let bytes = random.mutated(random.pick(corpus))
      let limits =
        random.chance(50) ? HTTPLimits(startLine: 50, headerCount: 4, headerBytes: 70, body: 12) : HTTPLimits()
      let whole = read([bytes], limits: limits)
      #expect(whole.ended != (whole.error != nil), "seed \(seed)")
      for pieces in [bytes.map { [$0] }, random.pieces(bytes)] {
        let parts = read(pieces, limits: limits)
        #expect(parts.head == whole.head && parts.error == whole.error && parts.body == whole.body, "seed \(seed)")
      }
    }
  }
}
