// What start, stop, restart, signal and reload answer.

/// How an action went for one process.
public struct ResultDocument: Equatable, Sendable {
  /// The process's name.
  public var name: String
  /// Its group.
  public var group: String
  /// SUCCESS, or why not.
  public var code: ControlFault.Code
  /// For people: why not; empty when it was done.
  public var message: String

  /// A result.
  public init(name: String, group: String, code: ControlFault.Code = .success, message: String = "") {
    self.name = name
    self.group = group
    self.code = code
    self.message = message
  }

  /// supervisord's namespec.
  public var namespec: String { group == name ? name : "\(group):\(name)" }

  /// Writes it as an object.
  public func write(to writer: inout JSONWriter) {
    writer.beginObject()
    writer.member("name", name)
    writer.member("group", group)
    writer.member("namespec", namespec)
    writer.member("code", code.rawValue)
    writer.member("message", message)
    writer.endObject()
  }

  /// The result in a document; nil when it has no name.
  public init?(json: JSONValue) {
    guard let name = json["name"]?.string else { return nil }
    self.init(
      name: name, group: json["group"]?.string ?? name,
      code: json["code"]?.string.flatMap(ControlFault.Code.init(rawValue:)) ?? .failed,
      message: json["message"]?.string ?? "")
  }
}

/// One result for each process that was acted upon: exactly one for a single process, those that were not already there for a
/// group or `all`.
public struct ResultsDocument: Equatable, Sendable {
  /// `start`, `stop`, `restart` or `signal`.
  public var action: String
  /// The results in the order of the configuration.
  public var results: [ResultDocument]

  /// Results.
  public init(action: String, results: [ResultDocument]) {
    self.action = action
    self.results = results
  }

  /// Writes it as an object.
  public func write(to writer: inout JSONWriter) {
    writer.beginObject()
    writer.member("action", action)
    writer.key("results")
    writer.beginArray()
    for result in results { result.write(to: &writer) }
    writer.endArray()
    writer.endObject()
  }

  /// The results in a document; nil when it is none.
  public init?(json: JSONValue) {
    guard let action = json["action"]?.string, let results = json["results"]?.array else { return nil }
    self.init(action: action, results: results.compactMap(ResultDocument.init(json:)))
  }

  /// The answer: 200, or for a single process that it was not done for, the status of its fault. The document is the same.
  public var response: HTTPResponse {
    var writer = JSONWriter()
    write(to: &writer)
    let status = results.count == 1 ? results.first?.code.httpStatus ?? 200 : 200
    return .json(writer.take(), status: status)
  }
}

/// What a reload changes, as namespecs.
public struct ReloadDocument: Equatable, Sendable {
  /// New processes.
  public var added: [String]
  /// Processes that are stopped, replaced and started.
  public var changed: [String]
  /// Processes whose new settings apply without a restart.
  public var adjusted: [String]
  /// Processes that are stopped and removed.
  public var removed: [String]
  /// Warnings about the configuration.
  public var warnings: [String]

  /// A difference.
  public init(
    added: [String] = [], changed: [String] = [], adjusted: [String] = [], removed: [String] = [],
    warnings: [String] = []
  ) {
    self.added = added
    self.changed = changed
    self.adjusted = adjusted
    self.removed = removed
    self.warnings = warnings
  }

  /// Writes it as an object.
  public func write(to writer: inout JSONWriter) {
    writer.beginObject()
    writer.member("added", added)
    writer.member("changed", changed)
    writer.member("adjusted", adjusted)
    writer.member("removed", removed)
    writer.member("warnings", warnings)
    writer.endObject()
  }

  /// The difference in a document; nil when it is none.
  public init?(json: JSONValue) {
    guard json["added"]?.array != nil, json["removed"]?.array != nil else { return nil }
    func list(_ name: String) -> [String] { json[name]?.array?.compactMap(\.string) ?? [] }
    self.init(
      added: list("added"), changed: list("changed"), adjusted: list("adjusted"), removed: list("removed"),
      warnings: list("warnings"))
  }

  /// The difference as an answer.
  public var json: [UInt8] {
    var writer = JSONWriter()
    write(to: &writer)
    return writer.take()
  }
}
