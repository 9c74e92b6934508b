// `[listener:NAME]`.

import SupervisorCore

/// Reads all listeners and checks them against the programs and each other.
func readListeners(
  _ document: INIDocument, _ sink: DiagnosticSink, _ expansions: Expansions, _ processes: [ParsedProcess]
) -> [ListenerSpec] {
  let directory = ProcessDirectory(processes.map(\.spec))
  var listeners: [(spec: ListenerSpec, reader: SectionReader)] = []
  for section in document.sections where section.name.begins(with: "listener:") {
    let reader = SectionReader(section: section, document: document, sink: sink, expansions: expansions)
    let written = section.name.dropping(first: 9)
    // A wrong name is no reason not to look at the keys.
    let name = reader.converted(written, "", nameValue) ?? stripped(written)
    if listeners.contains(where: { $0.spec.name == name }) {
      reader.error("", "there are two listeners named \(name)", remedy: "rename one of them")
    }
    guard let listener = readListener(reader, name, directory, programNames(document)) else { continue }
    if let other = listeners.first(where: { overlaps($0.spec.address, listener.address) }) {
      reader.error(
        "address",
        "\(describe(listener.address)) is taken by [\(other.reader.section.name)] (\(describe(other.spec.address)))",
        remedy: "give one of them another address")
    }
    listeners.append((listener, reader))
  }
  checkDescriptors(listeners.map(\.spec), processes)
  return listeners.map(\.spec)
}

private func readListener(
  _ reader: SectionReader, _ name: String, _ directory: ProcessDirectory, _ programs: [String]
) -> ListenerSpec? {
  if !reader.has("address") {
    reader.error("", "listener \(name) has no address", remedy: "add address=, e.g. address=:8080")
  }
  let address = reader.optional("address", listenerAddressValue)
  var listener = ListenerSpec(name: name, address: address ?? .tcp(host: "*", port: 0))
  listener.origin = Origin(file: reader.section.file, line: reader.section.line)
  listener.backlog = reader.value("backlog", listener.backlog) { text throws(ValueProblem) in
    Int32(clamping: try integerValue(text, in: 1...65535))
  }
  listener.fallback = reader.value("fallback", .none, fallbackValue)
  if let mode = reader.optional("mode", modeValue) {
    listener.mode = mode
    if case .tcp? = address {
      reader.warning("mode", "has no effect on a TCP address", remedy: "remove mode=")
    }
  }
  if let program = reader.text("program").map(stripped), !program.isEmpty {
    listener.program = directory.section(of: program) ?? (programs.map(stripped).contains(program) ? program : nil)
    if listener.program == nil {
      reader.error(
        "program", "names the unknown program \(program)", remedy: "name a [program:x]",
        suggestion: nearest(to: program, among: programs))
    }
  } else if listener.fallback == .none {
    reader.warning(
      "", "nobody ever accepts on this listener",
      remedy: "name the program that inherits it in program=, or set fallback=health")
  }
  return address == nil ? nil : listener
}

private func fallbackValue(_ text: String) throws(ValueProblem) -> ListenerSpec.Fallback {
  switch stripped(text).lowercased() {
  case "none": return .none
  case "health": return .health
  default:
    throw ValueProblem(
      "not a fallback: \(pythonRepresentation(text))", remedy: "write health or none",
      suggestion: nearest(to: text, among: ["health", "none"]))
  }
}

/// Whether both cannot be bound at once: the same path, or the same port on addresses of which one contains the other.
private func overlaps(_ a: SocketAddress, _ b: SocketAddress) -> Bool {
  switch (a, b) {
  case (.unix(let first), .unix(let second)): return first == second
  case (.tcp(let first, let port), .tcp(let second, let otherPort)):
    guard port == otherPort else { return false }
    if first == second || first == "*" || second == "*" { return true }
    // localhost is bound as 127.0.0.1.
    let hosts = [first, second].map { $0 == "localhost" ? "127.0.0.1" : $0 }
    if hosts[0] == hosts[1] { return true }
    let isSix = hosts.map { $0.contains(":") }
    guard isSix[0] == isSix[1] else { return false }
    return hosts.contains(isSix[0] ? "::" : "0.0.0.0")
  case (.unix, .tcp), (.tcp, .unix): return false
  }
}

/// Inherited listeners are descriptors 3, 4, … (sd_listen_fds(3)); `notify-fd` must lie beyond them.
private func checkDescriptors(_ listeners: [ListenerSpec], _ processes: [ParsedProcess]) {
  for process in processes {
    guard case .notifyDescriptor(let descriptor)? = process.spec.readiness?.probe else { continue }
    let count = listeners.filter { $0.program == process.spec.program }.count
    if Int(descriptor) < 3 + count {
      process.reader.error(
        "ready", "descriptor \(descriptor) is that of a listener: it inherits \(count), beginning with 3",
        remedy: "write notify-fd:\(3 + count)")
    }
  }
}

/// An address as a person writes it.
func describe(_ address: SocketAddress) -> String {
  switch address {
  case .tcp(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
  case .unix(let path): "unix:\(path)"
  }
}
