// What the kernel did not grant of a program's CPUs and priorities, for people.

import ControlProtocol

enum PinningText {
  /// What is not as it was asked for, a line each.
  static func remarks(_ program: ProgramDocument) -> [String] {
    guard let pinning = program.pinning else { return [] }
    return remarks(harmless(program.namespec), pinning)
  }

  private static func remarks(_ name: String, _ pinning: PinningDocument) -> [String] {
    var remarks: [String] = []
    if !pinning.explanation.isEmpty {
      remarks.append("\(name): on CPU \(harmless(pinning.cpus ?? "-")): \(harmless(pinning.explanation))")
    }
    for refused in pinning.refused {
      remarks.append(
        "\(name): \(harmless(refused.message))"
          + (refused.remedy.map { "; what would allow it: \(harmless($0))" } ?? ""))
    }
    return remarks
  }

  /// What of it a status tells: nothing of programs that do not run, and nothing of classes where all cores are alike.
  static func statusRemarks(_ program: ProgramDocument) -> [String] {
    guard program.pid != nil else { return [] }
    return statusRemarks(harmless(program.namespec), program.pinning)
  }

  /// The same of the daemon itself.
  static func statusRemarks(_ status: StatusDocument) -> [String] { statusRemarks("hivesupd", status.pinning) }

  private static func statusRemarks(_ name: String, _ pinning: PinningDocument?) -> [String] {
    guard var pinning else { return [] }
    if !pinning.isFallback { pinning.explanation = "" }
    return remarks(name, pinning)
  }

  /// The same in a few words, for a table: `refused: nice, sched_policy`, `on CPU 1 instead of performance`; empty when all is as it was
  /// asked for.
  static func summary(_ program: ProgramDocument) -> [String] {
    guard program.pid != nil, let pinning = program.pinning else { return [] }
    var parts: [String] = []
    if !pinning.refused.isEmpty {
      parts.append("refused: \(harmless(pinning.refused.map(\.setting).joined(separator: ", ")))")
    }
    if pinning.isFallback, let requested = pinning.requested, let cpus = pinning.cpus {
      parts.append("on CPU \(harmless(cpus)) instead of \(harmless(requested))")
    }
    return parts
  }
}
