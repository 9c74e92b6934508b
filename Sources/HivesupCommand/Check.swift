// `hivesup check`: everything that is wrong with a configuration at once, and what it would do.

import ArgumentParser
import ControlProtocol
import SupervisorConfig
import SupervisorCore

struct Check: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Check a configuration and show what it would start.",
    discussion:
      "Errors and warnings go to standard error, the plan to standard output. Exit status 2 when there is an error.")

  @Option(
    name: [.customShort("c"), .customLong("configuration")],
    help: ArgumentHelp("The configuration file.", valueName: "file"), completion: .file())
  var file: String?

  @Flag(name: .long, help: "One JSON document.")
  var json = false

  func run() throws {
    let path = try ConfigurationSearch.find(file)
    let result = loadConfiguration(.live(path: path))
    if json {
      Output.bytes(CheckDocumentWriter.json(path: path, result: result))
    } else {
      for diagnostic in result.diagnostics { Output.write(Array("\(diagnostic)\n".utf8), to: 2) }
      if let spec = result.spec {
        Output.bytes(Array(describePlan(spec).utf8))
      } else {
        let count = result.errors.count
        Output.error("cannot use \(path): \(count) \(count == 1 ? "error" : "errors")")
      }
    }
    if result.spec == nil { throw ExitCode(ExitStatusCode.usage) }
  }
}

/// What `check --json` prints.
enum CheckDocumentWriter {
  static func json(path: String, result: ConfigurationResult) -> [UInt8] {
    var writer = JSONWriter(reserving: 4096)
    writer.beginObject()
    writer.member("path", path)
    writer.member("valid", result.spec != nil)
    writer.key("diagnostics")
    writer.beginArray()
    for diagnostic in result.diagnostics { write(diagnostic, to: &writer) }
    writer.endArray()
    writer.key("plan")
    if let spec = result.spec { write(spec, to: &writer) } else { writer.null() }
    writer.endObject()
    writer.endLine()
    return writer.take()
  }

  private static func write(_ diagnostic: Diagnostic, to writer: inout JSONWriter) {
    writer.beginObject()
    writer.member("severity", diagnostic.severity.rawValue)
    writer.member("file", diagnostic.file)
    writer.member("line", diagnostic.line)
    writer.member("section", diagnostic.section)
    writer.member("key", diagnostic.key)
    writer.member("message", diagnostic.message)
    writer.member("remedy", diagnostic.remedy)
    writer.member("suggestion", diagnostic.suggestion)
    writer.endObject()
  }

  private static func write(_ spec: SupervisorSpec, to writer: inout JSONWriter) {
    writer.beginObject()
    writer.member("container", spec.container)
    writer.member("control_socket", spec.controlSocket)
    writer.member("shutdown_timeout_seconds", spec.shutdownTimeout?.inSeconds, decimals: 3)
    writer.member("start_timeout_seconds", spec.startTimeout?.inSeconds, decimals: 3)
    writer.member("cpus", spec.cpus.text)
    writer.member("listeners", spec.listeners.map(\.name))
    writer.key("tiers")
    writer.beginArray()
    for tier in StartPlan(spec).tiers {
      writer.beginArray()
      for index in tier where spec.programs.indices.contains(index) { write(spec.programs[index], to: &writer) }
      writer.endArray()
    }
    writer.endArray()
    writer.endObject()
  }

  private static func write(_ program: ProgramSpec, to writer: inout JSONWriter) {
    writer.beginObject()
    writer.member("name", program.namespec)
    switch program.kind {
    case .service: writer.member("type", "service")
    case .oneshot: writer.member("type", "oneshot")
    case .scheduled(let schedule):
      writer.member("type", "scheduled")
      writer.member("schedule", schedule.expression)
      writer.member("time_zone", schedule.zoneName)
    }
    writer.member("priority", program.priority)
    writer.member("autostart", program.autostart)
    writer.member("critical", program.critical)
    writer.member("command", program.execution.arguments)
    writer.member("depends_on", program.dependencies.map { "\($0.program):\($0.condition.rawValue)" })
    writer.member("ready", program.readiness?.probe.type)
    writer.member("liveness", program.liveness?.probe.type)
    writer.member("cpus", program.pinning.cpus.text)
    writer.member("cpu_smt", program.pinning.threads.rawValue)
    writer.member("sched_policy", program.pinning.policy?.text)
    writer.member("nice", program.execution.nice)
    writer.member("numa_policy", program.execution.memoryPolicy?.text)
    writer.endObject()
  }
}
