// What loading a configuration has to say. All of it at once: a person fixes a file in one pass, not one error per run.

import SupervisorCore

/// One thing that is wrong, or worth knowing, about the configuration.
public struct Diagnostic: Equatable, Hashable, Sendable {
  /// Errors leave no spec; warnings do not.
  public var severity: Severity
  /// The file in which it was written; the main file for what no file contains.
  public var file: String
  /// The line, from 1.
  public var line: Int
  /// The section's name as in its header, e.g. `program:api`. Empty for what stands outside of sections.
  public var section: String
  /// The key. Empty when the whole section or line is meant.
  public var key: String
  /// What is wrong. Where supervisord has a text for it, that text.
  public var message: String
  /// What to do about it. Empty where nobody can know.
  public var remedy: String
  /// The known name that was probably meant. nil: nothing is near.
  public var suggestion: String?

  /// A diagnostic.
  public init(
    severity: Severity, file: String, line: Int, section: String = "", key: String = "", message: String,
    remedy: String = "", suggestion: String? = nil
  ) {
    self.severity = severity
    self.file = file
    self.line = line
    self.section = section
    self.key = key
    self.message = message
    self.remedy = remedy
    self.suggestion = suggestion
  }

  /// How bad it is.
  public enum Severity: String, Sendable {
    /// The configuration cannot be used.
    case error
    /// It can be used, and probably does not mean what was meant.
    case warning
  }

  /// The sentence that supervisord 4.3 would print after `Error: `: inside of a program it names the section and the
  /// file.
  public var supervisordText: String {
    // It reads the names in headers before it gets to a program.
    let isHeader = key.isEmpty && message.begins(with: "Invalid name:")
    guard section.begins(with: "program:"), !isHeader else { return message }
    return "\(message) in section \(pythonRepresentation(section)) (file: \(pythonRepresentation(file)))"
  }
}

extension Diagnostic: CustomStringConvertible {
  /// `FILE:LINE: error: [section] key: message`, then the suggestion and the remedy on lines of their own.
  public var description: String {
    var text = "\(file):\(line): \(severity.rawValue): "
    if !section.isEmpty { text += "[\(section)] " }
    if !key.isEmpty { text += "\(key): " }
    text += message
    if let suggestion { text += "\n    did you mean: \(suggestion)" }
    if !remedy.isEmpty { text += "\n    remedy: \(remedy)" }
    return text
  }
}

/// What loading a configuration gave.
public struct ConfigurationResult: Sendable {
  /// The configuration; nil when there is at least one error.
  public var spec: SupervisorSpec?
  /// All errors and warnings, in the order of files and lines.
  public var diagnostics: [Diagnostic]

  /// A result.
  public init(spec: SupervisorSpec?, diagnostics: [Diagnostic]) {
    self.spec = spec
    self.diagnostics = diagnostics
  }

  /// The errors alone.
  public var errors: [Diagnostic] { diagnostics.filter { $0.severity == .error } }
  /// The warnings alone.
  public var warnings: [Diagnostic] { diagnostics.filter { $0.severity == .warning } }
}
