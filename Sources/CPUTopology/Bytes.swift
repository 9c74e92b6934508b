// What the kernel's small text files are made of: words, numbers, lines.

func isDigit(_ byte: UInt8) -> Bool { byte >= 0x30 && byte <= 0x39 }

/// Space, and tab to carriage return.
func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (byte >= 0x09 && byte <= 0x0D) }

func hexadecimalValue(_ byte: UInt8) -> UInt32? {
  switch byte {
  case 0x30...0x39: UInt32(byte &- 0x30)
  case 0x41...0x46: UInt32(byte &- 0x37)
  case 0x61...0x66: UInt32(byte &- 0x57)
  default: nil
  }
}

/// A number of decimal digits and nothing else; nil for anything else and for what does not fit.
func decimal(_ bytes: some Collection<UInt8>) -> Int? {
  guard !bytes.isEmpty else { return nil }
  var value = 0
  for byte in bytes {
    guard isDigit(byte) else { return nil }
    let (tens, tooLarge) = value.multipliedReportingOverflow(by: 10)
    let (sum, stillTooLarge) = tens.addingReportingOverflow(Int(byte &- 0x30))
    if tooLarge || stillTooLarge { return nil }
    value = sum
  }
  return value
}

extension Array<UInt8> {
  /// Without white space and NULs at both ends.
  var trimmingSpace: ArraySlice<UInt8> {
    var rest = self[...]
    while let byte = rest.first, isSpace(byte) || byte == 0 { rest = rest.dropFirst() }
    while let byte = rest.last, isSpace(byte) || byte == 0 { rest = rest.dropLast() }
    return ArraySlice(Array(rest))
  }

  /// The lines, without their ends; empty ones are left out.
  var lines: [ArraySlice<UInt8>] { split(separator: 0x0A) }
}

/// Text of unknown origin in one line: control characters become `?`, and it ends after `limit` bytes.
func harmlessText(_ bytes: some Collection<UInt8>, limit: Int) -> String {
  var text = ""
  for scalar in String(decoding: bytes.prefix(limit), as: UTF8.self).unicodeScalars {
    text.unicodeScalars.append(scalar.value < 0x20 || (0x7F..<0xA0).contains(scalar.value) ? "?" : scalar)
  }
  return text
}
