// Reads the values of one section: looks up, expands, converts, and reports what is wrong at the line of the key.

import SupervisorCore

/// Collects diagnostics, each once: a program with eight processes has a wrong value once.
final class DiagnosticSink {
  private(set) var diagnostics: [Diagnostic] = []
  private var seen: Set<Diagnostic> = []

  func report(_ diagnostic: Diagnostic) {
    if seen.insert(diagnostic).inserted { diagnostics.append(diagnostic) }
  }
}

/// The values of one section.
struct SectionReader {
  let section: INISection
  let document: INIDocument
  let sink: DiagnosticSink
  /// What `%(name)s` may name here.
  var expansions: Expansions

  /// The key as written, without expansion. nil: not set.
  func option(_ key: String) -> INIOption? { document.option(section, key) }

  /// Whether the key is set.
  func has(_ key: String) -> Bool { option(key) != nil }

  /// The first of these keys that is set.
  func firstSet(_ keys: [String]) -> String? { keys.first { has($0) } }

  /// The expanded text. nil: not set, or reported.
  func text(_ key: String) -> String? {
    guard let option = option(key) else { return nil }
    return expanded(option.value, key)
  }

  /// A text, expanded with all that this section may use. nil: reported.
  func expanded(_ text: String, _ key: String) -> String? {
    do throws(ExpansionProblem) {
      return try expand(text, with: expansions)
    } catch {
      report(error, of: text, key)
      return nil
    }
  }

  /// A text that supervisord 4.3 expands twice. Where that fails, once is what was meant, as in 4.4. nil: reported.
  func expandedTwice(_ key: String) -> String? {
    guard let once = text(key) else { return nil }
    return (try? expand(once, with: expansions)) ?? once
  }

  /// The converted value; the default when the key is not set or wrong.
  func value<Value>(_ key: String, _ fallback: Value, _ convert: (String) throws(ValueProblem) -> Value) -> Value {
    optional(key, convert) ?? fallback
  }

  /// The converted value; nil when the key is not set or wrong.
  func optional<Value>(_ key: String, _ convert: (String) throws(ValueProblem) -> Value) -> Value? {
    guard let text = text(key) else { return nil }
    return converted(text, key, convert)
  }

  /// The converted text; nil when it is wrong.
  func converted<Value>(_ text: String, _ key: String, _ convert: (String) throws(ValueProblem) -> Value) -> Value? {
    do throws(ValueProblem) {
      return try convert(text)
    } catch {
      report(error, key)
      return nil
    }
  }

  /// Reports an error at the key's line, or at the section's when the key is not set.
  func error(_ key: String, _ message: String, remedy: String, suggestion: String? = nil) {
    report(.error, key, message, remedy, suggestion)
  }

  /// Reports a warning at the key's line, or at the section's when the key is not set.
  func warning(_ key: String, _ message: String, remedy: String, suggestion: String? = nil) {
    report(.warning, key, message, remedy, suggestion)
  }

  /// Reports a wrong value.
  func report(_ problem: ValueProblem, _ key: String) {
    report(.error, key, problem.message, problem.remedy + remedyForCut(key), problem.suggestion)
  }

  /// An inline comment that was cut off is the usual reason for half a value.
  func remedyForCut(_ key: String) -> String {
    option(key)?.commentWasCut == true
      ? "; mind that a ; or # after white space begins a comment, even inside of quotes" : ""
  }

  private func report(
    _ severity: Diagnostic.Severity, _ key: String, _ message: String, _ remedy: String, _ suggestion: String?
  ) {
    let option = option(key)
    sink.report(
      Diagnostic(
        severity: severity, file: option?.file ?? section.file, line: option?.line ?? section.line,
        section: section.name,
        key: key, message: message, remedy: remedy, suggestion: suggestion))
  }

  private func report(_ problem: ExpansionProblem, of text: String, _ key: String) {
    let name = pythonRepresentation("\(section.name).\(key)")
    switch problem {
    case .unknownName(let unknown):
      let own = expansions.names.filter { !$0.begins(with: "ENV_") }.sorted(by: precedes)
      let remedy: String
      if unknown.begins(with: "ENV_") {
        let variable = unknown.dropping(first: 4)
        remedy =
          "set \(variable) in the environment of hivesup"
          + (section.name == "supervisord" || section.name == "include" ? "" : ", or in environment= of [supervisord]")
      } else {
        remedy =
          "use \(own.joined(separator: ", ")) or ENV_NAME for an environment variable, or write %% for a percent sign"
      }
      report(
        .error, key,
        "Format string \(pythonRepresentation(text)) for \(name) contains names (\(pythonRepresentation(unknown))) which cannot be expanded",
        remedy, nearest(to: unknown, among: expansions.names))
    case .badFormat(let words):
      report(
        .error, key, "Format string \(pythonRepresentation(text)) for \(name) is badly formatted: \(words)",
        "write %(name)s to insert a value, and %% for a percent sign", nil)
    }
  }
}
