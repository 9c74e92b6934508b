import ControlProtocol
import Testing

@testable import HivesupCommand

@Suite("ctl pin")
struct PinTests {
  private func pin(_ words: String...) throws -> Pin? {
    try Ctl.parseAsRoot(["pin"] + words) as? Pin
  }

  @Test func wordsThatSayNothingOrTooMuchAreRefused() throws {
    for words in [
      ["x"], ["--class", "any", "--cpus", "1", "x"], ["--reset", "--class", "any", "x"],
      ["--reset", "--policy", "idle", "x"], ["--reset", "--nice", "1", "x"], ["--reset", "--ionice", "idle", "x"],
      ["--reset"], ["--class", "any"],
    ] {
      #expect(throws: (any Error).self, "\(words)") { try Ctl.parseAsRoot(["pin"] + words) }
    }
    #expect(try pin("--class", "low-power,efficiency", "x", "y")?.names == ["x", "y"])
    #expect(try pin("x", "--cpus", "0-3", "--smt", "one-per-core", "--policy", "batch")?.cpus == "0-3")
    #expect(try pin("--reset", "all")?.reset == true)
    for words in [["--nice", "-5", "x"], ["--nice=-5", "x"], ["x", "--nice", "-5"]] {
      let parsed = try Ctl.parseAsRoot(["pin"] + words) as? Pin
      #expect(parsed?.nice == "-5" && parsed?.names == ["x"], "\(words)")
    }
    #expect(try pin("--ionice", "best-effort:7", "x")?.ionice == "best-effort:7")
  }

  @Test func whatIsNotAsItWasAskedForIsRemarkedUpon() {
    var program = ProgramDocument(
      name: "x", group: "g", program: "x", type: "service", state: "RUNNING", stateCode: 20,
      since: Timestamp(nanoseconds: 0))
    #expect(PinningText.remarks(program) == [])
    var pinning = PinningDocument()
    pinning.cpus = "4-7"
    program.pinning = pinning
    #expect(PinningText.remarks(program) == [])
    pinning.explanation = "no CPU is low-power; falls to efficiency"
    pinning.refused = [
      RefusalDocument(
        setting: "nice", requested: "-5", message: "cannot set nice=-5: no\u{1B}", remedy: "CAP_SYS_NICE"),
      RefusalDocument(setting: "cpus", requested: "9", message: "cannot run there", remedy: nil),
    ]
    program.pinning = pinning
    let remarks = PinningText.remarks(program)
    #expect(remarks.first == "g:x: on CPU 4-7: no CPU is low-power; falls to efficiency")
    #expect(
      remarks.count == 3 && remarks[1].hasSuffix("; what would allow it: CAP_SYS_NICE")
        && !remarks[1].contains("\u{1B}"))
    #expect(remarks[2] == "g:x: cannot run there")
  }
}
