import ControlProtocol
import Testing

private func request(_ method: String, _ target: String, _ body: String = "") throws -> HTTPRequest {
  let text = "\(method) \(target) HTTP/1.1\r\nHost: h\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
  guard case .request(let request)? = outcomes([Array(text.utf8)]).first else {
    throw HTTPRefusal(status: 0, message: "\(method) \(target)")
  }
  return request
}

private func fault(_ method: String, _ target: String, _ body: String = "") throws -> ControlFault? {
  let request = try request(method, target, body)
  do throws(ControlFault) {
    _ = try Route(request)
    return nil
  } catch {
    return error
  }
}

@Suite struct RouteTests {
  static let report = ReportDocument(
    name: "disk", type: "statvfs", passed: false, latencyMilliseconds: 0.25, detail: "full \"disk\"\n",
    intervalSeconds: 5)

  @Test func everyRouteIsReadAsItWasComposed() throws {
    var routes: [Route] = [
      .status, .health, .livez, .readyz, .startupz, .metrics, .version, .reload, .shutdown,
      .events(since: 0, follow: false),
      .events(since: UInt64(Int64.max), follow: true),
    ]
    for target in ["postgresql", "g:a", "g:*", "all", "a/b", "é %?&#+", ".."] {
      routes += [
        .program(target: target), .start(target: target, WaitOptions()),
        .start(target: target, WaitOptions(wait: false)),
        .stop(target: target, WaitOptions(timeout: 2.5), now: false),
        .stop(target: target, WaitOptions(wait: false, timeout: 0), now: true),
        .restart(target: target, WaitOptions(wait: true, timeout: 30)), .signal(target: target, signal: "RTMIN+1"),
        .pin(target: target, PinRequest(coreClass: "low-power,efficiency", threads: "one-per-core")),
        .pin(target: target, PinRequest(cpus: "0,2,4-6", policy: "fifo:1")),
        .pin(target: target, PinRequest(nice: "-5", ionice: "best-effort:7")),
        .pin(target: target, PinRequest(reset: true)), .check(target: target, Self.report),
      ]
      for stream in LogStream.allCases {
        routes += [
          .logs(target: target, stream: stream, bytes: 0, follow: true),
          .logs(target: target, stream: stream, bytes: 99, follow: false),
        ]
      }
    }
    for route in routes {
      for keepAlive in [false, true] {
        let all = outcomes([route.request(keepAlive: keepAlive)])
        guard all.count == 1, case .request(let request)? = all.first else {
          Issue.record("\(route): \(all)")
          continue
        }
        #expect(request.keepAlive == keepAlive)
        #expect(try Route(request) == route)
      }
    }
  }

  @Test func parametersMayStandInTheBody() throws {
    let stop = try Route(request("POST", "/v1/programs/x/stop", #"{"wait": false, "timeout": 3, "now": true}"#))
    #expect(stop == .stop(target: "x", WaitOptions(wait: false, timeout: 3), now: true))
    #expect(try Route(request("POST", "/v1/programs/x/signal", #"{"signal": 1}"#)) == .signal(target: "x", signal: "1"))
    #expect(try Route(request("POST", "/v1/programs/x/signal?signal=HUP", "{}")) == .signal(target: "x", signal: "HUP"))
  }

  @Test func defaultsAreSupervisordsOwn() throws {
    #expect(try Route(request("GET", "/v1/logs/x")) == .logs(target: "x", stream: .both, bytes: 1600, follow: false))
    #expect(try Route(request("GET", "/v1/events?follow=1")) == .events(since: 0, follow: true))
    #expect(
      try Route(request("POST", "/v1/programs/x/start")) == .start(target: "x", WaitOptions(wait: true, timeout: nil)))
    #expect(try Route(request("HEAD", "/v1/health")) == .health)
  }

  @Test func saysWhatIsWrongWithARequest() throws {
    let cases: [(String, String, String, ControlFault.Code)] = [
      ("GET", "/", "", .unknownMethod), ("GET", "/v1", "", .unknownMethod), ("GET", "/v1/", "", .unknownMethod),
      ("GET", "/v2/status", "", .unknownMethod),
      ("GET", "/v1/status/", "", .unknownMethod), ("GET", "/v1/programs", "", .unknownMethod),
      ("POST", "/v1/programs/x/explode", "", .unknownMethod),
      ("GET", "/v1/programs/x/start/y", "", .unknownMethod), ("POST", "/v1/status", "", .methodNotAllowed),
      ("GET", "/v1/reload", "", .methodNotAllowed),
      ("GET", "/v1/programs/x/start", "", .methodNotAllowed), ("DELETE", "/v1/programs/x", "", .methodNotAllowed),
      ("HEAD", "/v1/shutdown", "", .methodNotAllowed),
      ("GET", "/v1/programs/", "", .badName), ("GET", "/v1/programs/a%0Ab", "", .badName),
      ("POST", "/v1/programs//stop", "", .badName),
      ("GET", "/v1/status?x=1", "", .incorrectParameters),
      ("POST", "/v1/programs/x/start?wiat=0", "", .incorrectParameters),
      ("POST", "/v1/programs/x/start?now=1", "", .incorrectParameters),
      ("POST", "/v1/programs/x/signal", "", .incorrectParameters),
      ("POST", "/v1/programs/x/start?wait=maybe", "", .badArguments),
      ("POST", "/v1/programs/x/start?timeout=-1", "", .badArguments),
      ("POST", "/v1/programs/x/start?timeout=nan", "", .badArguments),
      ("POST", "/v1/programs/x/start?timeout=1e99", "", .badArguments),
      ("POST", "/v1/programs/x/start", "[]", .badArguments), ("POST", "/v1/programs/x/start", "{", .badArguments),
      ("POST", "/v1/programs/x/start", #"{"wait":"maybe"}"#, .badArguments),
      ("GET", "/v1/logs/x?bytes=-1", "", .badArguments),
      ("GET", "/v1/logs/x?bytes=99999999999", "", .badArguments), ("GET", "/v1/logs/x?stream=stdin", "", .badArguments),
      ("GET", "/v1/events?since=x", "", .badArguments), ("POST", "/v1/checks/x", "", .incorrectParameters),
      ("POST", "/v1/checks/x", #"{"name":"a","type":"b","passed":1,"interval_seconds":1}"#, .incorrectParameters),
      (
        "POST", "/v1/checks/x", #"{"name":"a","type":"b","passed":true,"interval_seconds":1,"c":1}"#,
        .incorrectParameters
      ),
      ("POST", "/v1/checks/x", #"{"name":"a b","type":"b","passed":true,"interval_seconds":1}"#, .badArguments),
      ("POST", "/v1/checks/x", #"{"name":"a","type":"b","passed":true,"interval_seconds":0}"#, .badArguments),
      (
        "POST", "/v1/checks/x", #"{"name":"a","type":"b","passed":true,"interval_seconds":1,"latency_ms":-1}"#,
        .badArguments
      ),
      (
        "POST", "/v1/checks/x", #"{"name":"a","type":"b","passed":true,"interval_seconds":1,"detail":5}"#, .badArguments
      ),
    ]
    for (method, target, body, code) in cases {
      let found = try fault(method, target, body)
      #expect(found?.code == code, "\(method) \(target) \(body): \(String(describing: found))")
      #expect(found?.message.hasPrefix("cannot ") == true)
    }
    #expect(try fault("PUT", "/v1/status")?.response.headers.first("allow") == "GET, HEAD")
    #expect(try fault("GET", "/v1/reload")?.response.headers.first("allow") == "POST")
  }

  @Test func messagesQuoteClientsWithoutControlCharacters() throws {
    let message = try fault("GET", "/%1B%5B31m\(String(repeating: "a", count: 500))")?.message ?? ""
    #expect(!message.utf8.contains(0x1B) && message.utf8.count < 250)
  }

  @Test func everyFaultIsReadAsItWasWritten() throws {
    for code in ControlFault.Code.allCases {
      let fault = ControlFault(code, "cannot \"x\": y")
      #expect(ControlFault(json: try JSONValue(parsing: fault.response.body)) == fault)
      #expect((200...599).contains(fault.response.status))
      #expect(!HTTPStatus.reason(fault.response.status).isEmpty)
    }
    #expect(
      String(decoding: ControlFault(.badName, "cannot start x: no such process").response.body, as: UTF8.self)
        == #"{"error":{"code":"BAD_NAME","message":"cannot start x: no such process"}}"#)
    #expect(
      ControlFault(json: try JSONValue(parsing: Array(#"{"error":{"code":"NEW","message":"m"}}"#.utf8)))?.code
        == .failed)
    #expect(ControlFault(json: .object([])) == nil)
  }

  @Test func anyRequestGivesARouteOrAFault() throws {
    let words = [
      "v1", "status", "programs", "x", "start", "stop", "signal", "events", "logs", "checks", "reload", "livez",
      "metrics", "", "..", "g:*",
    ]
    let names = ["wait", "timeout", "signal", "since", "follow", "bytes", "stream", "now", "x"]
    let values = ["", "1", "true", "both", "-5", "1e9", "\"", "99999999999999999999", "RTMIN+1"]
    for seed in 0..<fuzzCases {
      var random = SeededGenerator(seed: seed)
      let request = HTTPRequest(
        method: random.pick(["GET", "POST", "HEAD", "PUT"]), target: "",
        segments: (0..<random.below(5)).map { _ in random.pick(words) },
        query: (0..<random.below(3)).map { _ in QueryItem(random.pick(names), random.pick(values)) },
        body: random.chance(30) ? random.mutated(Self.report.json) : [])
      if let route = try? Route(request) {
        guard case .request(let again)? = outcomes([route.request()]).first else {
          Issue.record("seed \(seed)")
          continue
        }
        #expect(try Route(again) == route, "seed \(seed)")
      }
    }
  }
}
