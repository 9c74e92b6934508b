/// Cuts a stream into lines. What has no end after a mebibyte is a line of its own: memory is bounded whatever comes.
package struct LineSplitter {
  private var held: [UInt8] = []

  package init() {}

  /// The lines that are complete now, without their ends.
  package mutating func take(_ bytes: [UInt8]) -> [[UInt8]] {
    var lines: [[UInt8]] = []
    for part in bytes.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
      if part.offset > 0 {
        lines.append(held)
        held = []
      }
      held += part.element
    }
    if held.count > 1 << 20 {
      lines.append(held)
      held = []
    }
    return lines
  }

  /// What has no end yet; nil: nothing.
  package var rest: [UInt8]? { held.isEmpty ? nil : held }
}
