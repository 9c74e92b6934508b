// A check result that another process reports: `POST /v1/checks/PROGRAM` (`hive-postgres monitor`).

/// One reported result.
public struct ReportDocument: Equatable, Sendable {
  /// The check's name in the health document, e.g. `database`, `disk`; 1…64 letters, digits, `-`, `_`, `.`.
  public var name: String
  /// The dialect's name, e.g. `sql`; as the name.
  public var type: String
  /// Whether it passed.
  public var passed: Bool
  /// How long it took, in milliseconds, 0…86 400 000.
  public var latencyMilliseconds: Double
  /// What it saw, at most 1024 bytes; empty when there is nothing to say.
  public var detail: String
  /// How often it is reported, in seconds, 0.1…86 400: a result older than three of these counts as failing.
  public var intervalSeconds: Double

  /// A report.
  public init(
    name: String, type: String, passed: Bool, latencyMilliseconds: Double, detail: String, intervalSeconds: Double
  ) {
    self.name = name
    self.type = type
    self.passed = passed
    self.latencyMilliseconds = latencyMilliseconds
    self.detail = detail
    self.intervalSeconds = intervalSeconds
  }

  /// The report as the body of a request.
  public var json: [UInt8] {
    var writer = JSONWriter(reserving: 256)
    writer.beginObject()
    writer.member("name", name)
    writer.member("type", type)
    writer.member("passed", passed)
    writer.key("latency_ms")
    writer.value(latencyMilliseconds)
    writer.member("detail", detail)
    writer.key("interval_seconds")
    writer.value(intervalSeconds)
    writer.endObject()
    return writer.take()
  }

  /// The report in a body.
  /// - Throws: INCORRECT_PARAMETERS when a member is missing or unknown, BAD_ARGUMENTS when one is out of its bounds. `latency_ms` and `detail` may
  ///   be left out.
  public init(json: JSONValue) throws(ControlFault) {
    let known = ["name", "type", "passed", "latency_ms", "detail", "interval_seconds"]
    if let stranger = json.members?.first(where: { !known.contains($0.name) }) {
      throw ControlFault(
        .incorrectParameters, "cannot take the report: '\(Route.printable(stranger.name))' is not known")
    }
    guard let name = json["name"]?.string, let type = json["type"]?.string, let passed = json["passed"]?.bool,
      let interval = json["interval_seconds"]?.double
    else {
      throw ControlFault(
        .incorrectParameters, "cannot take the report: it needs name, type, passed (true or false) and interval_seconds"
      )
    }
    guard Self.isWord(name), Self.isWord(type) else {
      throw ControlFault(
        .badArguments, "cannot take the report: name and type are 1 to 64 letters, digits, '-', '_' or '.'")
    }
    let latency = json["latency_ms"].map { $0 == .null ? 0 : $0.double ?? -1 } ?? 0
    guard (0.1...86_400).contains(interval), (0...86_400_000).contains(latency) else {
      throw ControlFault(.badArguments, "cannot take the report: interval_seconds or latency_ms is out of range")
    }
    let detail = json["detail"].map { $0 == .null ? "" : $0.string } ?? ""
    guard let detail, detail.utf8.count <= 1024 else {
      throw ControlFault(.badArguments, "cannot take the report: detail must be text of at most 1024 bytes")
    }
    self.init(
      name: name, type: type, passed: passed, latencyMilliseconds: latency, detail: detail, intervalSeconds: interval)
  }

  private static func isWord(_ text: String) -> Bool {
    (1...64).contains(text.utf8.count)
      && text.utf8.allSatisfy {
        ASCII.isDigit($0) || ASCII.isLetter($0) || $0 == 0x2D || $0 == 0x2E || $0 == 0x5F
      }
  }
}
