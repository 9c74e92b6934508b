// Base64 (RFC 4648): the URL alphabet for generated passwords, the standard one for what PostgreSQL stores of a password.

/// Base64 both ways.
enum Base64 {
  private static let standard = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
  private static let url = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

  /// With the URL alphabet and no padding.
  static func urlText(_ bytes: [UInt8]) -> String { text(bytes, url, padded: false) }

  /// With the standard alphabet and padding.
  static func standardText(_ bytes: [UInt8]) -> String { text(bytes, standard, padded: true) }

  private static func text(_ bytes: [UInt8], _ alphabet: [UInt8], padded: Bool) -> String {
    var output: [UInt8] = []
    var index = 0
    while index < bytes.count {
      let left = min(bytes.count - index, 3)
      var group: UInt32 = 0
      for offset in 0..<3 { group = group << 8 | (offset < left ? UInt32(bytes[index + offset]) : 0) }
      for position in 0..<4 {
        if position <= left {
          output.append(alphabet[Int(group >> UInt32(18 - 6 * position) & 63)])
        } else if padded {
          output.append(UInt8(ascii: "="))
        }
      }
      index += 3
    }
    return String(decoding: output, as: UTF8.self)
  }

  /// Reads the standard alphabet with padding; nil when it is not that.
  static func bytes(standard text: some StringProtocol) -> [UInt8]? {
    let characters = Array(text.utf8)
    guard characters.count % 4 == 0 else { return nil }
    let padding = characters.reversed().prefix { $0 == UInt8(ascii: "=") }.count
    guard padding <= 2 else { return nil }
    var output: [UInt8] = []
    var group: UInt32 = 0
    for (position, character) in characters.enumerated() {
      let isPadding = position >= characters.count - padding
      guard let value = isPadding ? 0 : standard.firstIndex(of: character) else { return nil }
      group = group << 6 | UInt32(value)
      if position % 4 == 3 {
        output += [UInt8(group >> 16 & 255), UInt8(group >> 8 & 255), UInt8(group & 255)]
        group = 0
      }
    }
    return output.dropLast(padding)
  }
}
