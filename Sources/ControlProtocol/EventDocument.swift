// What happened: `GET /v1/events`.

/// One thing that happened.
public struct EventDocument: Equatable, Sendable {
  /// A running number from 1, without gaps.
  public var seq: UInt64
  /// When.
  public var timestamp: Timestamp
  /// The process's namespec; empty for the supervisor itself.
  public var program: String
  /// The state before; nil when this is no change of state.
  public var from: String?
  /// The state after; nil when this is no change of state.
  public var to: String?
  /// The main process at that time; nil: none.
  public var pid: Int?
  /// How many attempts in a row have failed before this one.
  public var tries: Int
  /// Why, in words.
  public var cause: String

  /// An event.
  public init(
    seq: UInt64, timestamp: Timestamp, program: String, from: String? = nil, to: String? = nil, pid: Int? = nil,
    tries: Int = 0,
    cause: String
  ) {
    self.seq = seq
    self.timestamp = timestamp
    self.program = program
    self.from = from
    self.to = to
    self.pid = pid
    self.tries = tries
    self.cause = cause
  }

  /// Writes it as an object.
  public func write(to writer: inout JSONWriter) {
    writer.beginObject()
    writer.member("seq", seq)
    writer.member("timestamp", timestamp)
    writer.member("program", program)
    writer.member("from", from)
    writer.member("to", to)
    writer.member("pid", pid)
    writer.member("tries", tries)
    writer.member("cause", cause)
    writer.endObject()
  }

  /// The event in a document; nil when it has no number or time.
  public init?(json: JSONValue) {
    guard let seq = json["seq"]?.int.flatMap({ UInt64(exactly: $0) }), let timestamp = json["timestamp"]?.timestamp
    else { return nil }
    self.init(
      seq: seq, timestamp: timestamp, program: json["program"]?.string ?? "", from: json["from"]?.string,
      to: json["to"]?.string, pid: json["pid"]?.int.flatMap { Int(exactly: $0) },
      tries: json["tries"]?.int.flatMap { Int(exactly: $0) } ?? 0, cause: json["cause"]?.string ?? "")
  }

  /// The event as one line of NDJSON.
  public var line: [UInt8] {
    var writer = JSONWriter(reserving: 256)
    write(to: &writer)
    writer.endLine()
    return writer.take()
  }
}

/// The events that are kept after a given one.
public struct EventsDocument: Equatable, Sendable {
  /// Oldest first.
  public var events: [EventDocument]
  /// The number of the newest event there is: `since` of the next request.
  public var newest: UInt64
  /// How many events after `since` are not kept any more.
  public var missed: UInt64

  /// Events.
  public init(events: [EventDocument], newest: UInt64, missed: UInt64) {
    self.events = events
    self.newest = newest
    self.missed = missed
  }

  /// Writes it as an object.
  public func write(to writer: inout JSONWriter) {
    writer.beginObject()
    writer.key("events")
    writer.beginArray()
    for event in events { event.write(to: &writer) }
    writer.endArray()
    writer.member("newest", newest)
    writer.member("missed", missed)
    writer.endObject()
  }

  /// The events in a document; nil when it is none.
  public init?(json: JSONValue) {
    guard let events = json["events"]?.array else { return nil }
    self.init(
      events: events.compactMap(EventDocument.init(json:)),
      newest: json["newest"]?.int.flatMap { UInt64(exactly: $0) } ?? 0,
      missed: json["missed"]?.int.flatMap { UInt64(exactly: $0) } ?? 0)
  }

  /// The events as an answer.
  public var json: [UInt8] {
    var writer = JSONWriter(reserving: 256 * (events.count + 1))
    write(to: &writer)
    return writer.take()
  }
}
