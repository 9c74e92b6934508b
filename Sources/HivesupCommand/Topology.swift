// `hivesup topology`: the machine's CPUs by class, what may be used of them here, and which program runs where.

import ArgumentParser
import CPUTopology
import ControlProtocol
@preconcurrency import Glibc

struct TopologyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "topology",
    abstract: "Show the CPUs by class, what may be used here, and which program runs where.",
    discussion: """
      Asks the daemon where its programs run if there is one. HIVE_CPU_PERFORMANCE, HIVE_CPU_EFFICIENCY and HIVE_CPU_LOW_POWER, each a \
      list of CPUs like 0-3,8, replace what is detected. Exit status 2 when they cannot be used.
      """)

  @Flag(name: .long, help: "One JSON document.")
  var json = false

  @Option(
    name: .long,
    help: ArgumentHelp("Show the machine that this copy of a /sys describes.", valueName: "directory"),
    completion: .directory)
  var sysfs: String?

  @Option(
    name: .long,
    help: ArgumentHelp("The /proc that belongs to --sysfs: affinity, cpuset, names.", valueName: "directory"),
    completion: .directory)
  var procfs: String?

  @OptionGroup var control: ControlOptions

  func validate() throws {
    if procfs != nil && sysfs == nil {
      throw ValidationError("cannot use --procfs alone: name the machine's /sys with --sysfs")
    }
    if sysfs != nil && (control.socket != nil || control.configuration != nil) {
      throw ValidationError("cannot ask a daemon about another machine: give --sysfs without --socket and -c")
    }
  }

  func run() throws {
    let topology: Topology
    do throws(ClassOverrideError) {
      topology = try machine().topology(environment: environmentValue)
    } catch {
      throw Problem(error.messages.joined(separator: "\n"), status: ExitStatusCode.usage)
    }
    if let sysfs, topology.online.isEmpty {
      throw Problem(
        "cannot read \(sysfs) as a /sys: it has no devices/system/cpu/online that lists CPUs",
        status: ExitStatusCode.usage)
    }
    let programs = try sysfs == nil ? askedPrograms() : nil
    if json {
      var writer = JSONWriter(reserving: 16 * 1024)
      topology.write(to: &writer, programs: programs)
      writer.endLine()
      Output.bytes(writer.take())
    } else {
      for line in topology.lines(programs: programs) { Output.line(line) }
    }
  }

  private func machine() -> Machine {
    guard let sysfs else { return .live }
    return .files(sysfs: sysfs, procfs: procfs)
  }

  /// Where the daemon's programs run; nil where nobody can be asked. A daemon that was not named need not be there; one that is
  /// there and does not answer is worth a line, and the machine is shown all the same.
  private func askedPrograms() throws(Problem) -> [PlacedProgram]? {
    let location = try control.location()
    let isNamed = control.socket != nil || control.configuration != nil
    guard isNamed || access(location.path, F_OK) == 0 else { return nil }
    do throws(Problem) {
      return try control.client(otherwise: 2).document(.status, Self.programs).document
    } catch {
      if isNamed { throw error }
      Output.error(error.text)
      return nil
    }
  }

  /// The programs of a status document; nil when it is none.
  static func programs(_ status: JSONValue) -> [PlacedProgram]? {
    guard let programs = status["programs"]?.array else { return nil }
    return own(status)
      + programs.compactMap { json in
        guard let program = ProgramDocument(json: json) else { return nil }
        let pinning = json["pinning"]
        return PlacedProgram(
          name: harmless(program.namespec), pid: program.pid, requested: pinning?["requested"]?.string.map(harmless),
          cpus: pinning?["cpus"]?.string.flatMap { try? CPUSet(list: $0) },
          explanation: harmless(pinning?["explanation"]?.string ?? ""))
      }
  }

  /// The daemon itself, where it was given CPUs of its own.
  private static func own(_ status: JSONValue) -> [PlacedProgram] {
    guard let pinning = PinningDocument(json: status["pinning"]), let requested = pinning.requested else { return [] }
    return [
      PlacedProgram(
        name: "hivesupd", pid: status["pid"]?.int.flatMap { Int(exactly: $0) }, requested: harmless(requested),
        cpus: pinning.cpus.flatMap { try? CPUSet(list: $0) }, explanation: harmless(pinning.explanation))
    ]
  }
}
