import ControlProtocol
import Testing

/// How many cases each generator gives: enough to have found every bug that was put in for trial, few enough for every build.
let fuzzCases: UInt64 = 4000

@Suite struct HTTPRequestFuzzTests {
  private static let corpus = [
    "GET /v1/status HTTP/1.1\r\nHost: localhost\r\nUser-Agent: curl/8\r\nAccept: */*\r\n\r\n",
    "POST /v1/programs/g:*/stop?wait=0&timeout=1.5 HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n\r\n{\"now\": true}GET / HTTP/1.0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "HEAD http://h/health HTTP/1.1\r\nHost: h\r\nConnection: close, te\r\nExpect: 100-continue\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost:\r\nContent-Length: 3, 3\r\nContent-Length: 3\r\n\r\nabc\r\n\r\nGET /%41?a=%20 HTTP/1.1\r\nhost: b\r\n\r\n",
  ].map { Array($0.utf8) }

  @Test func splittingNeverChangesWhatIsRead() {
    let limits = HTTPLimits(startLine: 60, headerCount: 5, headerBytes: 120, body: 16)
    for seed in FuzzSeeds(fuzzCases) {
      var random = SeededGenerator(seed: seed)
      let bytes = random.mutated(random.pick(Self.corpus))
      let used = random.chance(50) ? limits : HTTPLimits()
      let whole = outcomes([bytes], limits: used)
      #expect(outcomes(bytes.map { [$0] }, limits: used) == whole, "seed \(seed)")
      #expect(outcomes(random.pieces(bytes), limits: used) == whole, "seed \(seed)")
    }
  }

  @Test func everyRefusalIsAnError() {
    for seed in FuzzSeeds(fuzzCases) {
      var random = SeededGenerator(seed: seed &+ 1 << 32)
      let noise = (0..<random.below(200)).map { _ in UInt8(random.below(256)) }
      for outcome in outcomes([random.chance(50) ? noise : random.mutated(random.mutated(random.pick(Self.corpus)))]) {
        if case .refused(let refusal) = outcome {
          #expect((400...599).contains(refusal.status) && refusal.message.hasPrefix("cannot "), "seed \(seed)")
          var reply: [UInt8] = []
          refusal.controlResponse.write(to: &reply)
          #expect(!reply.isEmpty)
        }
      }
    }
  }

  @Test func composedRequestsAreReadBack() throws {
    for seed in FuzzSeeds(fuzzCases) {
      var random = SeededGenerator(seed: seed &+ 2 << 32)
      let names = (0..<random.below(4)).map { _ in random.text(most: 8).filter { $0 != "\0" } }
      let segments = names.isEmpty ? [""] : names
      let body = (0..<random.below(40)).map { _ in UInt8(random.below(256)) }
      let query = (0..<random.below(3)).map { QueryItem("k\($0)", random.text(most: 6).filter { $0 != "\0" }) }
      var text = random.pick(["GET", "POST", "HEAD"])
      text += " /" + segments.map(PercentEncoding.encode).joined(separator: "/")
      if !query.isEmpty {
        text += "?" + query.map { "\($0.name)=\(PercentEncoding.encode($0.value))" }.joined(separator: "&")
      }
      text += " HTTP/1.1\r\nhOsT: x\r\nContent-Length: \(body.count)\r\n\r\n"
      let all = outcomes(random.pieces(Array(text.utf8) + body))
      guard all.count == 1, case .request(let request)? = all.first else {
        Issue.record("seed \(seed): \(all)")
        continue
      }
      #expect(request.segments == segments && request.query == query && request.body == body, "seed \(seed)")
    }
  }
}
