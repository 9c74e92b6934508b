// The names of ARM cores by implementer and part number of MIDR_EL1 (arch/arm64/include/asm/cputype.h).

/// Names cores.
enum CoreNames {
  /// The name of a core; `ARM part 0x…` for one that is not in the list of ARM Ltd., nil for other designers'.
  static func arm(_ midr: UInt64) -> String? {
    guard midr >> 24 & 0xFF == 0x41 else { return nil }
    let part = Int(midr >> 4 & 0xFFF)
    return parts[part] ?? "ARM part 0x\(String(part, radix: 16))"
  }

  private static let parts: [Int: String] = [
    0xD02: "Cortex-A34", 0xD03: "Cortex-A53", 0xD04: "Cortex-A35", 0xD05: "Cortex-A55", 0xD06: "Cortex-A65",
    0xD07: "Cortex-A57", 0xD08: "Cortex-A72", 0xD09: "Cortex-A73", 0xD0A: "Cortex-A75", 0xD0B: "Cortex-A76",
    0xD0C: "Neoverse-N1", 0xD0D: "Cortex-A77", 0xD0E: "Cortex-A76AE", 0xD40: "Neoverse-V1", 0xD41: "Cortex-A78",
    0xD42: "Cortex-A78AE", 0xD44: "Cortex-X1", 0xD46: "Cortex-A510", 0xD47: "Cortex-A710", 0xD48: "Cortex-X2",
    0xD49: "Neoverse-N2", 0xD4A: "Neoverse-E1", 0xD4B: "Cortex-A78C", 0xD4C: "Cortex-X1C", 0xD4D: "Cortex-A715",
    0xD4E: "Cortex-X3", 0xD4F: "Neoverse-V2", 0xD80: "Cortex-A520", 0xD81: "Cortex-A720", 0xD82: "Cortex-X4",
    0xD84: "Neoverse-V3", 0xD85: "Cortex-X925", 0xD87: "Cortex-A725", 0xD8E: "Neoverse-N3",
  ]
}
