// The main file and its `[include]` (supervisor/options.py `read_config`, 4.3.0).

/// A document, with what its values may name and the files that it was read from.
struct ConfigurationSource {
  var document: INIDocument
  var expansions: Expansions
  var files: [String]
  /// The supervisor's own environment, with `environment_defaults` in it.
  var environment: [(String, String)]
}

/// Reads the main file and what it includes. nil: there is no main file to read, which has been reported.
func readDocument(_ input: ConfigurationInput, _ sink: DiagnosticSink) -> ConfigurationSource? {
  let bytes: [UInt8]
  do throws(FileProblem) {
    bytes = try input.readFile(input.absolutePath(input.path))
  } catch {
    sink.report(
      Diagnostic(
        severity: .error, file: input.path, line: 1,
        message: error == .absent
          ? "could not find config file \(input.path)" : "could not read config file \(input.path): \(error.text)",
        remedy: error == .absent ? "name the file with -c FILE" : "make it a file that hivesup may read"))
    return nil
  }
  var reader = INIReader()
  reader.read(bytes, file: input.path)
  let here = splitPath(input.absolutePath(input.path)).directory
  var expansions = Expansions()
  expansions.shared["here"] = .text(here)
  expansions.shared["host_node_name"] = .text(input.hostName)
  for (name, value) in input.environment { expansions.shared["ENV_" + name] = .text(value) }
  // Before [include], which may need them; so the included files have no say in them.
  var environment = input.environment
  for (name, value) in environmentDefaults(reader.document, sink, expansions)
  where environment.last(where: { $0.0 == name })?.1.isEmpty ?? true {
    environment.append((name, value))
    expansions.shared["ENV_" + name] = .text(value)
  }

  var files = [input.path]
  if reader.document.contains("include") {
    reader.document.replaceHere(with: here)
    // Its place is the main file's, whatever the included ones say.
    let include = reader.document.section("include")
    for path in includedFiles(reader.document, sink, expansions, here, input) {
      readInclude(path, of: include, into: &reader, &files, sink, input)
    }
  }
  for diagnostic in reader.diagnostics { sink.report(diagnostic) }
  return ConfigurationSource(document: reader.document, expansions: expansions, files: files, environment: environment)
}

/// `[supervisord] environment_defaults=`: what variables are that are not set or empty. Compose files pass on what nobody has set as
/// an empty variable, and it hides the one that an image has.
private func environmentDefaults(
  _ document: INIDocument, _ sink: DiagnosticSink, _ expansions: Expansions
) -> [(name: String, value: String)] {
  guard let section = document.section("supervisord") else { return [] }
  let key = "environment_defaults"
  let reader = SectionReader(section: section, document: document, sink: sink, expansions: expansions)
  guard let text = reader.text(key) else { return [] }
  return readEnvironment(text, reader, key)
}

/// The paths that the patterns of `files=` match, sorted per pattern.
private func includedFiles(
  _ document: INIDocument, _ sink: DiagnosticSink, _ expansions: Expansions, _ here: String, _ input: ConfigurationInput
) -> [String] {
  guard let section = document.section("include") else { return [] }
  let reader = SectionReader(section: section, document: document, sink: sink, expansions: expansions)
  guard reader.has("files") else {
    reader.error(
      "", ".ini file has [include] section, but no files setting", remedy: "add files=, or remove the section")
    return []
  }
  var paths: [String] = []
  for pattern in words(reader.text("files") ?? "") {
    let full = joinPath(here, pattern)
    let found = globPaths(full, in: input)
    if found.isEmpty {
      reader.warning(
        "files", "No file matches via include \"\(full)\"", remedy: "correct the pattern, or create the file")
    }
    paths += found.sorted(by: precedes)
    guard paths.count <= 1000 else {
      reader.error("files", "\(paths.count) files are too many", remedy: "include at most 1000 files")
      return []
    }
  }
  return paths
}

/// Reads one included file over the document.
private func readInclude(
  _ path: String, of section: INISection?, into reader: inout INIReader, _ files: inout [String],
  _ sink: DiagnosticSink,
  _ input: ConfigurationInput
) {
  guard let section else { return }
  let include = SectionReader(section: section, document: reader.document, sink: sink, expansions: Expansions())
  do throws(FileProblem) {
    let bytes = try input.readFile(path)
    files.append(path)
    reader.read(bytes, file: path)
  } catch {
    if error == .directory {
      include.warning("files", "\(path) is a directory, ignored", remedy: "write a pattern that matches files only")
    } else {
      include.error(
        "files", "cannot read \(path): \(error.text)",
        remedy: "make it a file that hivesup may read, or change the pattern")
    }
    return
  }
  if let option = reader.document.section("include")?.options["files"], option.file == path {
    sink.report(
      Diagnostic(
        severity: .warning, file: option.file, line: option.line, section: "include", key: "files",
        message: "ignored: an included file cannot include", remedy: "list the files in the [include] of \(input.path)")
    )
  }
  if let option = reader.document.section("supervisord")?.options["environment_defaults"], option.file == path {
    sink.report(
      Diagnostic(
        severity: .warning, file: option.file, line: option.line, section: "supervisord", key: "environment_defaults",
        message: "ignored: it counts in the main file only", remedy: "move it to [supervisord] of \(input.path)"))
  }
  reader.document.replaceHere(with: splitPath(input.absolutePath(path)).directory)
}

/// `text.split()`.
private func words(_ text: String) -> [String] {
  let bytes = Array(text.utf8)
  var words: [String] = []
  var start: Int?
  var index = 0
  while index < bytes.count {
    let length = whitespaceLength(bytes, at: index)
    if length > 0 {
      if let begin = start { words.append(String(decoding: bytes[begin..<index], as: UTF8.self)) }
      start = nil
      index += length
    } else {
      start = start ?? index
      index += 1
    }
  }
  if let begin = start { words.append(String(decoding: bytes[begin...], as: UTF8.self)) }
  return words
}

extension FileProblem {
  /// The problem for people.
  var text: String {
    switch self {
    case .absent: "No such file or directory"
    case .directory: "Is a directory"
    case .tooLarge(let bytes): "it is larger than \(bytes) bytes"
    case .system(let words): words
    }
  }
}
