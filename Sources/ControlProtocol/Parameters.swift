// A request's parameters, from its query and, for POST, from the members of a JSON object in its body. Each is asked for by
// name and type; one that nobody asked for is an error, so that a misspelt parameter is not silently ignored.

struct Parameters {
  /// The body's value; null when there is none.
  let document: JSONValue
  private var values: [(name: String, value: JSONValue)] = []

  /// - Throws: METHOD_NOT_ALLOWED when the request has another method (HEAD is allowed where GET is), BAD_ARGUMENTS when the body is
  ///   no JSON object.
  init(_ request: HTTPRequest, method: String) throws(ControlFault) {
    let allowed = method == "GET" ? ["GET", "HEAD"] : [method]
    guard allowed.contains(request.method) else {
      throw ControlFault(
        .methodNotAllowed, "cannot \(Route.printable(request.method)) \(Route.printable(request.path)): use \(method)",
        allowedMethods: allowed)
    }
    values = request.query.map { ($0.name, .string($0.value)) }
    guard method == "POST", !request.body.isEmpty else {
      document = .null
      return
    }
    do throws(JSONError) {
      document = try JSONValue(parsing: request.body)
    } catch {
      throw ControlFault(.badArguments, error.message)
    }
    guard let members = document.members else {
      throw ControlFault(.badArguments, "cannot read the parameters: the body is no JSON object")
    }
    values += members.map { ($0.name, $0.value) }
  }

  /// - Throws: INCORRECT_PARAMETERS when there is a parameter that nobody asked for.
  func finish() throws(ControlFault) {
    guard let first = values.first else { return }
    throw ControlFault(
      .incorrectParameters, "cannot take the parameter '\(Route.printable(first.name))': it is not known here")
  }

  mutating func text(_ name: String) throws(ControlFault) -> String? {
    switch take(name) {
    case nil, .null: return nil
    case .string(let text): return text
    case .int(let number): return String(number)
    default: throw bad(name, "a string")
    }
  }

  mutating func flag(_ name: String) throws(ControlFault) -> Bool? {
    switch take(name) {
    case nil, .null: return nil
    case .bool(let flag): return flag
    case .string("1"), .string("true"), .string("yes"), .string("on"), .string(""), .int(1): return true
    case .string("0"), .string("false"), .string("no"), .string("off"), .int(0): return false
    default: throw bad(name, "true or false")
    }
  }

  mutating func whole(_ name: String, _ range: ClosedRange<Int64>) throws(ControlFault) -> Int64? {
    let value = take(name)
    if value == nil || value == .null { return nil }
    guard let number = value?.int ?? value?.string.flatMap({ Int64($0) }), range.contains(number) else {
      throw bad(name, "a whole number from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  mutating func number(_ name: String, _ range: ClosedRange<Double>) throws(ControlFault) -> Double? {
    let value = take(name)
    if value == nil || value == .null { return nil }
    guard let number = value?.double ?? value?.string.flatMap({ Double($0) }), range.contains(number) else {
      throw bad(name, "a number from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  mutating func choice<Choice: RawRepresentable & CaseIterable>(
    _ name: String
  ) throws(ControlFault) -> Choice? where Choice.RawValue == String {
    guard let value = take(name) else { return nil }
    guard let choice = value.string.flatMap(Choice.init(rawValue:)) else {
      throw bad(name, Choice.allCases.map(\.rawValue).joined(separator: ", "))
    }
    return choice
  }

  /// The last value of this name; all of them are taken.
  private mutating func take(_ name: String) -> JSONValue? {
    let value = values.last { $0.name == name }?.value
    values.removeAll { $0.name == name }
    return value
  }

  private func bad(_ name: String, _ wanted: String) -> ControlFault {
    ControlFault(.badArguments, "cannot take the value of '\(name)': it must be \(wanted)")
  }
}
