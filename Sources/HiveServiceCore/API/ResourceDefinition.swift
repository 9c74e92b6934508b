/// One table behind one collection: which columns a client may set, and what they may hold.
struct ResourceDefinition: Sendable {
  /// The collection's path segment, e.g. `sessions`.
  var collection: String
  /// What one of them is called in messages, e.g. `Session`.
  var singular: String
  /// The name of the path parameter, as it appears in a 422's `loc`.
  var identifier: String
  var table: String
  /// The `varchar` column, by which a listing can be filtered too.
  var textColumn: String
  var textRule: StringRule
  /// What the text is when a client leaves it out; nil makes it a required field.
  var textDefault: String?
  /// The `jsonb` column; an empty object when a client leaves it out.
  var jsonColumn: String
  /// The order of the two columns in documents and in error lists.
  var jsonComesFirst: Bool

  /// The genie container's resource.
  static let sessions = ResourceDefinition(
    collection: "sessions", singular: "Session", identifier: "session_id", table: "genie_sessions",
    textColumn: "user_id", textRule: StringRule(maximum: 255), textDefault: nil, jsonColumn: "session_data",
    jsonComesFirst: false)

  /// The agent container's resource.
  static let deployments = ResourceDefinition(
    collection: "deployments", singular: "Deployment", identifier: "deployment_id", table: "agent_deployments",
    textColumn: "deployment_status", textRule: StringRule(maximum: 50), textDefault: "pending",
    jsonColumn: "agent_config", jsonComesFirst: true)

  var path: String { "/api/v1/\(collection)" }
}

/// What a client wants a row to be. nil leaves a column as it is, or takes its default in a new row.
struct ResourceInput: Sendable {
  var id: UUIDText?
  var text: String?
  var json: JSONObject?
}

extension ResourceDefinition {
  enum Completeness {
    /// A new row: may carry its own id.
    case create
    /// All fields; those with a default may be left out and are then reset to it.
    case replace
    /// Any field.
    case patch
  }

  /// Reads a body, or returns what is wrong with it.
  func read(_ body: JSONValue?, _ completeness: Completeness) -> Result<ResourceInput, ValidationFailure> {
    var fields: BodyFields
    do throws(ValidationFailure) {
      fields = try BodyFields(body)
    } catch {
      return .failure(error)
    }
    var input = ResourceInput()
    if completeness == .create { input.id = fields.uuid("id") }
    if jsonComesFirst { input.json = fields.dictionary(jsonColumn) }
    input.text = fields.string(textColumn, textRule, required: completeness != .patch && textDefault == nil)
    if !jsonComesFirst { input.json = fields.dictionary(jsonColumn) }
    if !fields.issues.isEmpty { return .failure(ValidationFailure(issues: fields.issues)) }
    if completeness != .patch {
      input.text = input.text ?? textDefault
      input.json = input.json ?? JSONObject()
    }
    return .success(input)
  }
}
