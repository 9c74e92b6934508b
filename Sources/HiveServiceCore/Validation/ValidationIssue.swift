/// One entry of a 422's `detail`, in the shape of Pydantic 2 as FastAPI sends it:
/// `{"type": …, "loc": […], "msg": …, "input": …, "ctx": {…}}`.
///
/// The texts are those of FastAPI 0.165 with Pydantic 2.14; `Tests/HiveServiceTests/Fixtures` compares them.
struct ValidationIssue: Error, Hashable {
  /// Where the offending value was.
  enum Location: Hashable {
    case body([String])
    /// A syntax error at this code point of the body.
    case bodyPosition(Int)
    case query(String)
    case path(String)

    var json: JSONValue {
      switch self {
      case .body(let fields): .array([.string("body")] + fields.map { .string($0) })
      case .bodyPosition(let position): .array([.string("body"), .integer(position)])
      case .query(let name): .array([.string("query"), .string(name)])
      case .path(let name): .array([.string("path"), .string(name)])
      }
    }
  }

  var type: String
  var location: Location
  var message: String
  var input: JSONValue
  var context: [(String, JSONValue)] = []

  var json: JSONValue {
    var object = JSONObject([
      ("type", .string(type)), ("loc", location.json), ("msg", .string(message)), ("input", input),
    ])
    if !context.isEmpty { object["ctx"] = .object(JSONObject(context)) }
    return .object(object)
  }

  static func == (left: ValidationIssue, right: ValidationIssue) -> Bool { left.json == right.json }

  func hash(into hasher: inout Hasher) { hasher.combine(type) }
}

extension ValidationIssue {
  static func jsonInvalid(_ error: JSONSyntaxError) -> ValidationIssue {
    ValidationIssue(
      type: "json_invalid", location: .bodyPosition(error.position), message: "JSON decode error", input: [:],
      context: [("error", .string(error.message))])
  }

  static func missing(_ location: Location, input: JSONValue) -> ValidationIssue {
    ValidationIssue(type: "missing", location: location, message: "Field required", input: input)
  }

  static func notAnObject(_ location: Location, input: JSONValue) -> ValidationIssue {
    ValidationIssue(
      type: "model_attributes_type", location: location,
      message: "Input should be a valid dictionary or object to extract fields from", input: input)
  }

  static func notADictionary(_ location: Location, input: JSONValue) -> ValidationIssue {
    ValidationIssue(type: "dict_type", location: location, message: "Input should be a valid dictionary", input: input)
  }

  static func notAString(_ location: Location, input: JSONValue) -> ValidationIssue {
    ValidationIssue(type: "string_type", location: location, message: "Input should be a valid string", input: input)
  }

  static func tooShort(_ location: Location, minimum: Int, input: JSONValue) -> ValidationIssue {
    ValidationIssue(
      type: "string_too_short", location: location,
      message: "String should have at least \(minimum) character\(minimum == 1 ? "" : "s")", input: input,
      context: [("min_length", .integer(minimum))])
  }

  static func tooLong(_ location: Location, maximum: Int, input: JSONValue) -> ValidationIssue {
    ValidationIssue(
      type: "string_too_long", location: location,
      message: "String should have at most \(maximum) character\(maximum == 1 ? "" : "s")", input: input,
      context: [("max_length", .integer(maximum))])
  }

  static func notAUUID(_ location: Location, input: JSONValue) -> ValidationIssue {
    ValidationIssue(
      type: "uuid_type", location: location, message: "UUID input should be a string, bytes or UUID object",
      input: input)
  }

  static func uuidParsing(_ location: Location, reason: String, input: JSONValue) -> ValidationIssue {
    ValidationIssue(
      type: "uuid_parsing", location: location, message: "Input should be a valid UUID, \(reason)", input: input,
      context: [("error", .string(reason))])
  }

  static func notAnInteger(_ location: Location, input: JSONValue) -> ValidationIssue {
    ValidationIssue(
      type: "int_parsing", location: location,
      message: "Input should be a valid integer, unable to parse string as an integer", input: input)
  }

  static func integerTooBig(_ location: Location, input: JSONValue) -> ValidationIssue {
    ValidationIssue(
      type: "int_parsing_size", location: location,
      message: "Unable to parse input string as an integer, exceeded maximum size", input: input)
  }

  static func below(_ location: Location, minimum: Int64, input: JSONValue) -> ValidationIssue {
    ValidationIssue(
      type: "greater_than_equal", location: location,
      message: "Input should be greater than or equal to \(minimum)", input: input,
      context: [("ge", .integer(minimum))])
  }

  static func above(_ location: Location, maximum: Int64, input: JSONValue) -> ValidationIssue {
    ValidationIssue(
      type: "less_than_equal", location: location, message: "Input should be less than or equal to \(maximum)",
      input: input, context: [("le", .integer(maximum))])
  }

  /// What only the database knows how to refuse; Pydantic's form for an error of a validator of one's own.
  static func value(_ location: Location, _ reason: String, input: JSONValue) -> ValidationIssue {
    ValidationIssue(
      type: "value_error", location: location, message: "Value error, \(reason)", input: input,
      context: [("error", [:])])
  }
}

/// All that is wrong with a request.
struct ValidationFailure: Error, Hashable {
  var issues: [ValidationIssue]
}
