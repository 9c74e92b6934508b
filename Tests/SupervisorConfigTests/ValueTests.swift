// Value types beyond what Python's tables cover.

import SupervisorCore
import Testing

@testable import SupervisorConfig

@Suite("Value types")
struct ValueTests {
  @Test func booleans() {
    for text in ["yes", "true", "on", "1", "YES", "True", "oN"] { #expect((try? booleanValue(text)) == true) }
    for text in ["no", "false", "off", "0", "NO", "False", "oFF"] { #expect((try? booleanValue(text)) == false) }
    for text in ["", " true", "2", "y", "truee", "none"] { #expect((try? booleanValue(text)) == nil) }
  }

  @Test func autoRestarts() {
    #expect((try? autoRestartValue("UNEXPECTED")) == .unexpected)
    #expect((try? autoRestartValue("On")) == .always)
    #expect((try? autoRestartValue("0")) == .never)
    #expect((try? autoRestartValue("")) == nil)
  }

  @Test func logLevels() {
    let names = ["critical": 50, "error": 40, "warn": 30, "info": 20, "debug": 10, "trace": 5, "blather": 3]
    for (name, number) in names { #expect((try? logLevelValue(name.uppercased()))?.rawValue == number) }
    #expect(throws: ValueProblem.self) { try logLevelValue("warning") }
    #expect((try? logLevelValue("")) == nil)
  }

  @Test func exitCodes() {
    #expect((try? exitCodesValue("")) == [])
    #expect((try? exitCodesValue(" 0, 2 ,255")) == [0, 2, 255])
    for text in ["256", "-1", "0,", ",", "a", "1 2"] { #expect((try? exitCodesValue(text)) == nil, "\(text)") }
    for code in 0...255 { #expect((try? exitCodesValue(String(code))) == [Int32(code)]) }
  }

  @Test func names() {
    #expect((try? nameValue(" a-b.c_d ")) == "a-b.c_d")
    for text in ["a b", "a:b", "a/b", "", " ", "a\nb"] { #expect((try? nameValue(text)) == nil, "\(text)") }
  }

  @Test(arguments: [
    ("10", 10.0), ("0.5", 0.5), (".5", 0.5), ("5.", 5), ("500ms", 0.5), ("10s", 10), ("5m", 300), ("1h", 3600),
    (" 2 ", 2), ("0", 0),
    ("1.5 h", 5400),
  ])
  func durations(text: String, seconds: Double) {
    #expect((try? durationValue(text)) == .seconds(seconds))
  }

  @Test(arguments: ["", "-1", "+1", "1e3", "ten", "1.2.3", ".", "s", "1d", "99999999999", "inf", "nan", "0x10"])
  func noDurations(text: String) {
    #expect((try? durationValue(text)) == nil)
  }

  @Test func optionalDurations() throws {
    #expect(try optionalDurationValue("none") == nil)
    #expect(try optionalDurationValue("0") == nil)
    #expect(try optionalDurationValue("9") == .seconds(9))
    #expect((try? positiveDurationValue("0")) == nil)
  }

  @Test func stopPlans() throws {
    #expect(
      try stopPlanValue("INT:6, SIGQUIT:0.5,15:1m")
        == [
          StopStep(signal: 2, wait: .seconds(6)), StopStep(signal: 3, wait: .milliseconds(500)),
          StopStep(signal: 15, wait: .seconds(60)),
        ])
    for text in ["", "INT", "INT:", "NOPE:1", "KILL:1", "INT:6,,QUIT:1", "INT:-1"] {
      #expect((try? stopPlanValue(text)) == nil, "\(text)")
    }
    #expect(try treePlanValue("none").isEmpty)
  }

  @Test func backoffs() throws {
    let standard = Backoff(initial: .milliseconds(100), factor: 2, maximum: .seconds(30), jitter: 0.1)
    #expect(try backoffValue("initial:0.1, factor:2, max:30, jitter:0.1") == standard)
    #expect(try backoffValue("") == standard)
    #expect(try backoffValue("initial:60").maximum == .seconds(60))
    for text in ["initial", "initial:x", "factor:0.5", "jitter:2", "speed:1", "initial:9, max:3", ","] {
      #expect((try? backoffValue(text)) == nil, "\(text)")
    }
  }

  @Test func ioPriorities() throws {
    #expect(try IOPriority("idle") == .idle)
    #expect(try IOPriority("best-effort:7") == .bestEffort(7))
    #expect(try IOPriority("Best-Effort") == .bestEffort(4))
    #expect(try IOPriority("realtime:0") == .realtime(0))
    for text in ["", "idle:1", "best-effort:8", "realtime:-1", "fast"] {
      #expect((try? IOPriority(text)) == nil, "\(text)")
    }
  }

  @Test func limits() throws {
    #expect(try limitValue("1024", resource: "nofile") == ResourceLimit(resource: "nofile", soft: 1024, hard: 1024))
    #expect(
      try limitValue("1024:unlimited", resource: "nofile") == ResourceLimit(resource: "nofile", soft: 1024, hard: .max))
    #expect(try limitValue("8MB", resource: "stack").soft == 8 * 1024 * 1024)
    #expect(try limitValue("unlimited", resource: "core").hard == .max)
    for text in ["", "-1", "8MB", "unlimited:1", "1:2:3", "x"] {
      #expect((try? limitValue(text, resource: "nofile")) == nil, "\(text)")
    }
  }

  @Test func modesAndUmasks() throws {
    #expect(try modeValue("022") == 0o022)
    #expect(try modeValue("1777") == 0o777)
    for text in ["-1", "9", "77777", ""] { #expect((try? modeValue(text)) == nil, "\(text)") }
  }

  @Test func ipLiterals() {
    for text in ["127.0.0.1", "0.0.0.0", "255.255.255.255"] { #expect(isIPv4Literal(text), "\(text)") }
    for text in ["", "1.2.3", "1.2.3.256", "01.2.3.4", "1.2.3.4.5", "a.b.c.d", "1..2.3", "-1.2.3.4"] {
      #expect(!isIPv4Literal(text), "\(text)")
    }
    for text in [
      "::", "::1", "1::", "fe80::1:2", "1:2:3:4:5:6:7:8", "::ffff:127.0.0.1", "1:2:3:4:5:6:1.2.3.4", "1::3:4:5:6:7:8",
      "ABCD::",
    ] {
      #expect(isIPv6Literal(text), "\(text)")
    }
    for text in [
      "", ":", ":::", "1", "1:2", "1::2::3", ":1::", "1:2:3:4:5:6:7:8:9", "12345::", "g::", "::1.2.3", "1:2:3:4:5:6:7:",
      "1::2:3:4:5:6:7:8", "1.2.3.4::",
    ] {
      #expect(!isIPv6Literal(text), "\(text)")
    }
  }
}
