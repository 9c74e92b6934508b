import ControlProtocol
import Testing

/// Everything that a connection with these bytes gives, fed piece by piece.
func outcomes(_ pieces: [[UInt8]], limits: HTTPLimits = HTTPLimits()) -> [HTTPRequestReader.Outcome] {
  var reader = HTTPRequestReader(limits: limits)
  var result: [HTTPRequestReader.Outcome] = []
  for piece in pieces {
    reader.append(piece)
    loop: while true {
      let outcome = reader.next()
      switch outcome {
      case .incomplete: break loop
      case .request: result.append(outcome)
      case .refused:
        if result.last != outcome { result.append(outcome) }
        break loop
      }
    }
  }
  return result
}

private func read(_ text: String, limits: HTTPLimits = HTTPLimits()) -> [HTTPRequestReader.Outcome] {
  outcomes([Array(text.utf8)], limits: limits)
}

private func request(_ text: String) throws -> HTTPRequest {
  let all = read(text)
  #expect(all.count == 1)
  guard case .request(let request)? = all.first else {
    Issue.record("not a request: \(all)")
    throw HTTPRefusal(status: 0, message: "")
  }
  return request
}

private func status(_ text: String, limits: HTTPLimits = HTTPLimits()) -> Int? {
  guard case .refused(let refusal)? = read(text, limits: limits).last else { return nil }
  return refusal.status
}

@Suite struct HTTPRequestReaderTests {
  @Test func readsARequestWithEverything() throws {
    let request = try request(
      "POST /v1/programs/a%2Fb:%C3%A9/signal?signal=HUP&x&y=a%3Db&z=1+1 HTTP/1.1\r\nHost: localhost\r\nX-A:  v w \t\r\nContent-Length: 4\r\n\r\nbody"
    )
    #expect(request.method == "POST")
    #expect(request.segments == ["v1", "programs", "a/b:é", "signal"])
    #expect(
      request.query == [QueryItem("signal", "HUP"), QueryItem("x", ""), QueryItem("y", "a=b"), QueryItem("z", "1+1")])
    #expect(request.headers.first("x-a") == "v w")
    #expect(request.body == Array("body".utf8))
    #expect(request.keepAlive && request.minorVersion == 1 && !request.isHead)
  }

  @Test func readsPipelinedRequestsInOrder() {
    let all = read(
      "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n\r\nHEAD /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nabGET /3 HTTP/1.0\r\n\r\n"
    )
    let paths = all.map { outcome -> String in
      if case .request(let request) = outcome { return "\(request.method) \(request.path) \(request.body.count)" }
      return "\(outcome)"
    }
    #expect(paths == ["GET /1 0", "HEAD /2 2", "GET /3 0"])
  }

  @Test func decidesAboutKeepAlive() throws {
    let cases: [(String, String, Bool)] = [
      ("1.1", "", true), ("1.1", "Connection: close\r\n", false), ("1.1", "Connection: Upgrade, CLOSE\r\n", false),
      ("1.0", "", false), ("1.0", "Connection: Keep-Alive\r\n", true),
      ("1.0", "Connection: keep-alive\r\nConnection: close\r\n", false), ("1.1", "Connection: keep-alive\r\n", true),
      ("1.1", "Connection: closed\r\n", true), ("1.9", "", true),
    ]
    for (version, header, keepAlive) in cases {
      #expect(
        try request("GET / HTTP/\(version)\r\nHost: h\r\n\(header)\r\n").keepAlive == keepAlive, "\(version) \(header)")
    }
  }

  @Test func understandsEveryFormOfTarget() throws {
    let cases: [(String, String, [String])] = [
      ("GET", "/", [""]), ("GET", "/a//b/", ["a", "", "b", ""]), ("GET", "http://h:1/a?b=c", ["a"]),
      ("GET", "HTTPS://h?b=c", [""]), ("GET", "http://h", [""]), ("OPTIONS", "*", []), ("GET", "/..", [".."]),
      ("GET", "/%2e%2E", [".."]), ("GET", "/?", [""]), ("GET", "/a?b?c", ["a"]),
    ]
    for (method, target, segments) in cases {
      let request = try request("\(method) \(target) HTTP/1.1\r\nHost: h\r\n\r\n")
      #expect(request.segments == segments, "\(target)")
      #expect(request.target == target)
    }
  }

  @Test func refusesMalformedRequestsWithTheirStatus() {
    let host = "Host: h\r\n"
    let cases: [(String, Int)] = [
      ("GET /\r\n\r\n", 400), ("GET  / HTTP/1.1\r\n\(host)\r\n", 400), ("GET / HTTP/1.1 \r\n\(host)\r\n", 400),
      (" GET / HTTP/1.1\r\n\(host)\r\n", 400), ("GET / http/1.1\r\n\(host)\r\n", 400),
      ("GET / HTTP/1.10\r\n\(host)\r\n", 400),
      ("GET / HTTP/2.0\r\n\(host)\r\n", 505), ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
      ("GET / HTTP/0.9\r\n\(host)\r\n", 505),
      ("G@T / HTTP/1.1\r\n\(host)\r\n", 400), ("\(String(repeating: "A", count: 33)) / HTTP/1.1\r\n\(host)\r\n", 400),
      ("GET a HTTP/1.1\r\n\(host)\r\n", 400), ("GET * HTTP/1.1\r\n\(host)\r\n", 400),
      ("CONNECT h:80 HTTP/1.1\r\n\(host)\r\n", 400),
      ("GET /%zz HTTP/1.1\r\n\(host)\r\n", 400), ("GET /%4 HTTP/1.1\r\n\(host)\r\n", 400),
      ("GET /%00 HTTP/1.1\r\n\(host)\r\n", 400),
      ("GET /%ff HTTP/1.1\r\n\(host)\r\n", 400), ("GET /a#b HTTP/1.1\r\n\(host)\r\n", 400),
      ("GET /é HTTP/1.1\r\n\(host)\r\n", 400),
      ("GET /?a=%f HTTP/1.1\r\n\(host)\r\n", 400), ("GET http:///a HTTP/1.1\r\n\(host)\r\n", 400),
      ("GET /?\(String(repeating: "a&", count: 33)) HTTP/1.1\r\n\(host)\r\n", 400),
      // Line ends.
      ("GET / HTTP/1.1\n\(host)\n", 400), ("GET / HTTP/1.1\r\nHost: h\n\r\n", 400),
      ("GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n", 400),
      ("\r\n\r\n\r\n\r\n\r\n", 400),
      // Fields.
      ("GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400), ("GET / HTTP/1.1\r\n\(host)X: a\r\n b\r\n\r\n", 400),
      ("GET / HTTP/1.1\r\n\(host)X\r\n\r\n", 400), ("GET / HTTP/1.1\r\n\(host): v\r\n\r\n", 400),
      ("GET / HTTP/1.1\r\n\(host)X: a\u{0}b\r\n\r\n", 400), ("GET / HTTP/1.1\r\n\(host)X: \u{7f}\r\n\r\n", 400),
      ("GET / HTTP/1.1\r\n\(host)é: v\r\n\r\n", 400),
      // Host.
      ("GET / HTTP/1.1\r\n\r\n", 400), ("GET / HTTP/1.1\r\n\(host)\(host)\r\n", 400),
      ("GET / HTTP/1.0\r\n\(host)\(host)\r\n", 400),
      // Expect.
      ("POST / HTTP/1.1\r\n\(host)Expect: x\r\n\r\n", 417),
    ]
    for (text, expected) in cases { #expect(status(text) == expected, "\(text.debugDescription)") }
  }

  @Test func refusesWhatCouldSmuggleARequest() {
    let start = "POST / HTTP/1.1\r\nHost: h\r\n"
    let cases: [(String, Int?)] = [
      ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", 400),
      ("Transfer-Encoding: chunked\r\nContent-Length: 1\r\n", 400),
      ("Content-Length: 0\r\nTransfer-Encoding: identity\r\n", 400),
      ("Content-Length: 1\r\nContent-Length: 2\r\n", 400),
      ("Content-Length: 1, 2\r\n", 400), ("Content-Length: 0, 0\r\nContent-Length: 0\r\n", nil),
      ("Content-Length: +1\r\n", 400),
      ("Content-Length: -1\r\n", 400), ("Content-Length: 0x1\r\n", 400), ("Content-Length: 1 1\r\n", 400),
      ("Content-Length:\r\n", 400), ("Content-Length: 1,\r\n", 400), ("Content-Length: ٣\r\n", 400),
      ("Transfer-Encoding: chunked\r\n", 411), ("Transfer-Encoding: Chunked\r\n", 411),
      ("Transfer-Encoding: gzip, chunked\r\n", 501),
      ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400), ("Transfer-Encoding: xchunked\r\n", 501),
      ("Transfer-Encoding : chunked\r\n", 400), ("Transfer-Encoding:\u{b}chunked\r\n", 400),
      ("Content-Length: 99999999999999999999\r\n", 413),
      ("Content-Length: 18446744073709551617\r\n", 413),
    ]
    for (headers, expected) in cases {
      #expect(status(start + headers + "\r\n") == expected, "\(headers.debugDescription)")
    }
    #expect(status("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n") == 400)
  }

  @Test func limitsHoldWithoutTheEndOfTheLine() {
    let limits = HTTPLimits(startLine: 20, headerCount: 2, headerBytes: 40, body: 5)
    #expect(status("GET /aaaaaaaaaaaaaaaaaaaaaa", limits: limits) == 414)
    #expect(status("GET / HTTP/1.1\r\nX: \(String(repeating: "a", count: 60))", limits: limits) == 431)
    #expect(status("GET / HTTP/1.1\r\nA: b\r\nC: d\r\nE: f\r\n", limits: limits) == 431)
    #expect(status("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\n", limits: limits) == 413)
    #expect(read("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n12345", limits: limits).count == 1)
  }

  @Test func aRefusalIsFinal() {
    var reader = HTTPRequestReader()
    reader.append(Array("bad\r\n".utf8))
    let first = reader.next()
    reader.append(Array("GET / HTTP/1.0\r\n\r\n".utf8))
    let second = reader.next()
    #expect(second == first)
    #expect(reader.bufferedCount == 0 && !reader.isMidRequest)
  }

  @Test func asksForTheBodyOnce() {
    var reader = HTTPRequestReader()
    reader.append(Array("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n".utf8))
    var outcome = reader.next()
    #expect(outcome == .incomplete)
    let invitations = [reader.takeContinue(), reader.takeContinue()]
    #expect(invitations == [true, false])
    #expect(reader.isMidRequest)
    reader.append(Array("ab".utf8))
    outcome = reader.next()
    guard case .request(let request) = outcome else {
      Issue.record("not as expected")
      return
    }
    #expect(request.body.count == 2)
    let late = reader.takeContinue()
    #expect(!late && !reader.isMidRequest)
  }

  @Test func aBodyThatIsAlreadyThereNeedsNoInvitation() {
    var reader = HTTPRequestReader()
    reader.append(Array("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab".utf8))
    guard case .request = reader.next() else {
      Issue.record("not as expected")
      return
    }
    let invitation = reader.takeContinue()
    #expect(!invitation)
  }

  @Test func feedingByteByByteIsLinear() {
    // A search that began anew with each byte would take some 10^9 steps here.
    let limits = HTTPLimits(startLine: 64 * 1024, headerCount: 1, headerBytes: 64 * 1024, body: 0)
    var reader = HTTPRequestReader(limits: limits)
    var incomplete = 0
    for _ in 0..<60_000 {
      reader.append([0x61])
      if reader.next() == .incomplete { incomplete += 1 }
    }
    #expect(incomplete == 60_000)
  }
}
