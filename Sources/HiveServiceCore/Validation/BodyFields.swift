/// Reads the fields of a request's body in their order and collects everything that is wrong with them.
struct BodyFields {
  private let whole: JSONValue
  private let object: JSONObject
  private(set) var issues: [ValidationIssue] = []

  /// `body` is nil when the request had none.
  init(_ body: JSONValue?) throws(ValidationFailure) {
    switch body {
    case nil: throw ValidationFailure(issues: [.missing(.body([]), input: .null)])
    case .object(let object)?:
      self.object = object
      whole = .object(object)
    case let other?: throw ValidationFailure(issues: [.notAnObject(.body([]), input: other)])
    }
  }

  /// A string within its length, counted in code points as `varchar(n)` counts. nil when it is absent or refused.
  mutating func string(_ name: String, _ rule: StringRule, required: Bool) -> String? {
    guard let value = object[name] else {
      if required { issues.append(.missing(.body([name]), input: whole)) }
      return nil
    }
    guard case .string(let text) = value else {
      issues.append(.notAString(.body([name]), input: value))
      return nil
    }
    if let issue = rule.check(text, at: .body([name])) {
      issues.append(issue)
      return nil
    }
    return text
  }

  /// A JSON object, for a `jsonb` column. nil when it is absent or refused.
  mutating func dictionary(_ name: String) -> JSONObject? {
    guard let value = object[name] else { return nil }
    guard case .object(let object) = value else {
      issues.append(.notADictionary(.body([name]), input: value))
      return nil
    }
    return object
  }

  /// A UUID, or nil when it is absent, null or refused.
  mutating func uuid(_ name: String) -> UUIDText? {
    switch object[name] {
    case nil, .null?: return nil
    case .string(let text)?:
      do throws(UUIDText.Refusal) {
        return try UUIDText(text)
      } catch {
        issues.append(.uuidParsing(.body([name]), reason: error.reason, input: .string(text)))
        return nil
      }
    case let other?:
      issues.append(.notAUUID(.body([name]), input: other))
      return nil
    }
  }
}

/// How long a text may be, in code points.
struct StringRule: Sendable {
  var minimum = 1
  var maximum: Int

  func check(_ text: String, at location: ValidationIssue.Location) -> ValidationIssue? {
    let length = text.unicodeScalars.count
    if length < minimum { return .tooShort(location, minimum: minimum, input: .string(text)) }
    if length > maximum { return .tooLong(location, maximum: maximum, input: .string(text)) }
    if text.utf8.contains(0) {
      return .value(location, "the NUL character cannot be stored", input: .string(text))
    }
    return nil
  }
}
