// pin: runs programs elsewhere, without a restart.

import ArgumentParser
import ControlProtocol

struct Pin: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Run programs on other CPUs, or otherwise scheduled, without a restart.",
    discussion: """
      Every thread of every process of the program is moved. What was asked for holds until the next pin of the same, --reset, the end of \
      the daemon, or a reload that changes what the configuration says about it; a restart of the program keeps it. `hivesup topology` \
      shows the machine.
      """)
  @OptionGroup var control: ControlOptions
  @OptionGroup var format: JSONOption

  @Option(
    name: .customLong("class"),
    help: ArgumentHelp(
      "The class of cores, or several, the preferred one first: performance, efficiency, low-power; or any.",
      valueName: "class"), completion: .list(["performance", "efficiency", "low-power", "any"]))
  var coreClass: String?

  @Option(name: .long, help: ArgumentHelp("The CPUs by number, e.g. 0,2,4-6.", valueName: "list"))
  var cpus: String?

  @Option(
    name: .long, help: ArgumentHelp("all threads of a core, or one-per-core.", valueName: "use"),
    completion: .list(["all", "one-per-core"]))
  var smt: String?

  @Option(
    name: .long, help: ArgumentHelp("other, batch, idle, fifo:N or rr:N.", valueName: "policy"),
    completion: .list(["other", "batch", "idle", "fifo:", "rr:"]))
  var policy: String?

  @Option(
    name: .long, parsing: .unconditional,
    help: ArgumentHelp("-20 (first) to 19 (last).", valueName: "number"))
  var nice: String?

  @Option(
    name: .long, help: ArgumentHelp("idle, best-effort:N or realtime:N, N from 0 to 7.", valueName: "priority"),
    completion: .list(["idle", "best-effort:", "realtime:"]))
  var ionice: String?

  @Flag(name: .long, help: "As the configuration says.")
  var reset = false

  @Argument(help: "Which programs: NAME, GROUP:NAME, GROUP:* or all.", completion: ProgramCompletion.kind)
  var names: [String]

  func validate() throws {
    if coreClass != nil, cpus != nil { throw ValidationError("Give --class or --cpus, not both.") }
    if request.contradiction != nil { throw ValidationError("--reset stands alone.") }
    guard request.isEmpty else { return }
    throw ValidationError("Say where to, or how: --class, --cpus, --smt, --policy, --nice, --ionice or --reset.")
  }

  private var request: PinRequest {
    PinRequest(coreClass: coreClass, cpus: cpus, threads: smt, policy: policy, nice: nice, ionice: ionice, reset: reset)
  }

  func run() throws {
    var options = ActionOptions()
    options.control = control
    options.format = format
    options.names = names
    options.noWait = true
    try options.run(.pin) { .pin(target: $0, request) }
    guard !format.json else { return }
    // The daemon has done it by now; what the kernel did not grant is in the programs' documents.
    let status = try control.client().document(.status, StatusDocument.init(json:)).document
    for name in names {
      for program in ProgramNames.select(name, from: status.programs) ?? [] {
        for remark in PinningText.remarks(program) { Output.error(remark) }
      }
    }
  }
}
