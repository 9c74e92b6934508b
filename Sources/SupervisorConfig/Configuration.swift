// From a file to a spec: read, include, expand, convert, check. All errors at once.

import SupervisorCore

/// Reads the configuration and everything that it includes. The result has a spec exactly when there is no error; the
/// same input always gives the same result.
public func loadConfiguration(_ input: ConfigurationInput) -> ConfigurationResult {
  let sink = DiagnosticSink()
  guard let source = readDocument(input, sink) else {
    return ConfigurationResult(spec: nil, diagnostics: sink.diagnostics)
  }
  let document = source.document
  var input = input
  input.environment = source.environment
  reportUnknownNames(document, sink)
  reportMissingFeatures(document, sink, source.expansions)

  if !document.contains("supervisord") {
    sink.report(
      Diagnostic(
        severity: .error, file: input.path, line: 1, section: "supervisord",
        message: ".ini file does not include supervisord section", remedy: "add a line with [supervisord]",
        suggestion: nearest(to: "supervisord", among: document.sections.map(\.name))))
  }
  var expansions = source.expansions
  let section = document.section("supervisord") ?? INISection(name: "supervisord", file: input.path, line: 1)
  let reader = SectionReader(section: section, document: document, sink: sink, expansions: expansions)
  let settings = readSupervisord(reader, input)
  for (name, value) in settings.environment { expansions.shared["ENV_" + name] = .text(value) }

  let context = ProgramContext(input: input, settings: settings, inherited: EnvironmentBase(input.environment))
  var processes = readPrograms(document, sink, expansions, context)
  resolveDependencies(&processes)
  var spec = settings.spec
  spec.listeners = readListeners(document, sink, expansions, processes)
  spec.programs = processes.map(\.spec)
  if !sink.diagnostics.contains(where: { $0.severity == .error }) { reportShortDeadline(spec, reader) }

  let diagnostics = ordered(sink.diagnostics, files: source.files)
  return ConfigurationResult(
    spec: diagnostics.contains { $0.severity == .error } ? nil : spec, diagnostics: diagnostics)
}

/// By file in the order of reading, then by line; what is on one line stays in the order of finding.
private func ordered(_ diagnostics: [Diagnostic], files: [String]) -> [Diagnostic] {
  var ranks: [String: Int] = [:]
  for file in files where ranks[file] == nil { ranks[file] = ranks.count }
  return diagnostics.enumerated().sorted { a, b in
    let left = (ranks[a.element.file] ?? 0, a.element.line, a.offset)
    let right = (ranks[b.element.file] ?? 0, b.element.line, b.offset)
    return left < right
  }.map(\.element)
}

/// Sections and keys that nobody knows. supervisord ignores them without a word.
private func reportUnknownNames(_ document: INIDocument, _ sink: DiagnosticSink) {
  for section in document.sections {
    guard let kind = KnownKeys.kind(ofSection: section.name) else {
      sink.report(
        Diagnostic(
          severity: .warning, file: section.file, line: section.line, section: section.name,
          message: "unknown section, ignored", remedy: "remove it, or correct its name",
          suggestion: nearestSection(section.name)))
      continue
    }
    for (key, option) in section.options.sorted(by: { ($0.value.line, $0.key) < ($1.value.line, $1.key) })
    where !kind.knows(key) {
      sink.report(
        Diagnostic(
          severity: .warning, file: option.file, line: option.line, section: section.name, key: key,
          message: "unknown key, ignored", remedy: "remove it, or correct its name",
          suggestion: nearest(to: key, among: KnownKeys.keys(of: kind))))
    }
  }
  for (key, option) in document.defaults.options
  where !SectionKind.allCases.contains(where: { KnownKeys.keys(of: $0).contains(key) }) {
    sink.report(
      Diagnostic(
        severity: .warning, file: option.file, line: option.line, section: "DEFAULT", key: key,
        message: "unknown key, ignored", remedy: "remove it, or correct its name",
        suggestion: nearest(to: key, among: KnownKeys.keys(of: .program))))
  }
}

/// `[programm:x]` → `program:x`, `[program]` → `program:NAME`, `[Supervisord]` → `supervisord`.
private func nearestSection(_ name: String) -> String? {
  let parts = split(stripped(name), on: ":", maxSplits: 1).map(stripped)
  guard let typed = parts.first,
    let word = nearest(to: typed, among: SectionKind.allCases.map(\.rawValue)), let kind = SectionKind(rawValue: word)
  else { return nil }
  guard kind.isNamed else { return kind.rawValue }
  return kind.rawValue + ":" + (parts.count == 2 && !parts[1].isEmpty ? parts[1] : "NAME")
}

/// What supervisord has and we do not have yet: said loudly, so that nobody believes it to be there.
private func reportMissingFeatures(_ document: INIDocument, _ sink: DiagnosticSink, _ expansions: Expansions) {
  for section in document.sections {
    guard let kind = KnownKeys.kind(ofSection: section.name) else { continue }
    let reader = SectionReader(section: section, document: document, sink: sink, expansions: expansions)
    switch kind {
    case .unixHTTPServer, .inetHTTPServer:
      reader.error(
        "", "cannot serve supervisord's XML-RPC: hivesup does not do that yet",
        remedy: "remove the section; hivesup ctl speaks over control_socket= of [supervisord]")
    case .eventListener:
      reader.error("", "cannot run event listeners: hivesup does not do that yet", remedy: "remove the section")
    case .fcgiProgram:
      reader.error(
        "", "cannot run FastCGI programs: hivesup does not do that yet",
        remedy: "write [program:x], and [listener:x] with program=x for its socket")
    case .rpcInterface: reportInterface(reader)
    case .supervisord, .include, .program, .group, .listener, .supervisorctl, .ctlPlugin: break
    }
  }
}

private func reportInterface(_ reader: SectionReader) {
  let key = "supervisor.rpcinterface_factory"
  guard let factory = reader.text(key) else {
    if !reader.has(key) {
      reader.error(
        "", "section [\(reader.section.name)] does not specify a \(key)",
        remedy: "add \(key)=supervisor.rpcinterface:make_main_rpcinterface, or remove the section")
    }
    return
  }
  if stripped(factory) == "supervisor.rpcinterface:make_main_rpcinterface" {
    reader.warning(
      key, "does nothing yet: hivesup has no XML-RPC", remedy: "keep it for supervisord, or remove the section")
  } else {
    reader.error(
      key, "\(factory) cannot be resolved within [\(reader.section.name)]: hivesup has no Python plugins",
      remedy: "remove the section")
  }
}
