// `[group:x]` and `[program:x]` together: which processes there are, and in which order
// (supervisor/options.py `process_groups_from_parser`, 4.3.0).

import SupervisorCore

/// All processes of the document, in the order of (group priority, group, priority, name).
func readPrograms(
  _ document: INIDocument, _ sink: DiagnosticSink, _ expansions: Expansions, _ context: ProgramContext
) -> [ParsedProcess] {
  var processes: [ParsedProcess] = []
  var grouped: Set<String> = []
  var groups: [String: SectionReader] = [:]

  func openGroup(_ name: String, _ reader: SectionReader) {
    if let other = groups[name] {
      reader.error(
        "", "there are two groups named \(name): [\(other.section.name)] of line \(other.section.line) is the other",
        remedy: "rename one of them; every program that no [group:x] lists is a group of its own")
    }
    groups[name] = reader
  }

  for section in document.sections where section.name.begins(with: "group:") {
    let reader = SectionReader(section: section, document: document, sink: sink, expansions: expansions)
    let written = section.name.dropping(first: 6)
    // A wrong name is no reason not to look at the keys.
    let name = reader.converted(written, "", nameValue) ?? stripped(written)
    openGroup(name, reader)
    let priority = reader.value("priority", 999, integerValue)
    for program in reader.text("programs").map(listValue) ?? [] {
      guard let member = document.section("program:" + program) else {
        if document.contains("fcgi-program:" + program) { continue }
        reader.error(
          "programs", "[\(section.name)] names unknown program or fcgi-program \(program)",
          remedy: program.isEmpty
            ? "remove the comma that nothing follows" : "add [program:\(program)], or remove the name",
          suggestion: nearest(to: program, among: programNames(document)))
        continue
      }
      if document.contains("fcgi-program:" + program) {
        reader.error(
          "programs", "[\(member.name)] name \(program) is ambiguous (exists as program and fcgi-program)",
          remedy: "rename one of them")
      }
      grouped.insert(member.name)
      let memberReader = SectionReader(section: member, document: document, sink: sink, expansions: expansions)
      for var process in readProgram(memberReader, group: name, context) {
        process.spec.groupPriority = priority
        processes.append(process)
      }
    }
  }
  for section in document.sections where section.name.begins(with: "program:") && !grouped.contains(section.name) {
    let reader = SectionReader(section: section, document: document, sink: sink, expansions: expansions)
    let group = stripped(name(of: section))
    openGroup(group, reader)
    processes += readProgram(reader, group: group, context)
  }

  if processes.count > ProgramContext.mostProcesses, let last = processes.last {
    last.reader.error(
      "numprocs", "\(processes.count) processes are too many",
      remedy: "configure at most \(ProgramContext.mostProcesses)")
  }
  reportDuplicates(processes)
  return processes.sorted { isBefore($0.spec, $1.spec) }
}

/// Two processes with one name in one group: supervisord keeps the last and forgets the others without a word.
private func reportDuplicates(_ processes: [ParsedProcess]) {
  var seen: [String: ParsedProcess] = [:]
  for process in processes {
    let name = "\(process.spec.group):\(process.spec.name)"
    if let other = seen[name] {
      process.reader.error(
        "process_name", "there are two processes named \(name): [\(other.reader.section.name)] has the other",
        remedy: "give them different names with process_name=")
    }
    seen[name] = process
  }
}

/// The order of `SupervisorSpec.programs`.
private func isBefore(_ a: ProgramSpec, _ b: ProgramSpec) -> Bool {
  if a.groupPriority != b.groupPriority { return a.groupPriority < b.groupPriority }
  if a.group != b.group { return precedes(a.group, b.group) }
  if a.priority != b.priority { return a.priority < b.priority }
  return precedes(a.name, b.name)
}

private func name(of section: INISection) -> String {
  let parts = split(section.name, on: ":", maxSplits: 1)
  return parts.count == 2 ? parts[1] : ""
}

/// The names of all `[program:x]`.
func programNames(_ document: INIDocument) -> [String] {
  document.sections.filter { $0.name.begins(with: "program:") }.map { name(of: $0) }
}
