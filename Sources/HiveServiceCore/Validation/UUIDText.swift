/// A UUID in its canonical form, 36 lower-case characters.
struct UUIDText: Sendable, Hashable {
  let text: String

  /// Reads the forms that Pydantic accepts: hyphenated, 32 digits, `{hyphenated}` and `urn:uuid:hyphenated`, in either
  /// case. Throws `Refusal` with the reason that Pydantic gives.
  init(_ input: String) throws(Refusal) {
    let prefix = "urn:uuid:"
    var characters = Array(input.unicodeScalars)
    var offset = 0
    var isWrapped = false
    if input.hasPrefix(prefix) {
      offset = prefix.unicodeScalars.count
      characters.removeFirst(offset)
      isWrapped = true
    } else if characters.count >= 2, characters.first == "{", characters.last == "}" {
      offset = 1
      characters = Array(characters.dropFirst().dropLast())
      isWrapped = true
    }
    for (index, character) in characters.enumerated() {
      guard character == "-" || (character.isASCII && character.properties.isASCIIHexDigit) else {
        throw Refusal(reason: "invalid character: found `\(character)` at \(index + offset)")
      }
    }
    let groups = characters.split(separator: "-", omittingEmptySubsequences: false)
    if groups.count == 1, !isWrapped {
      guard characters.count == 32 else { throw Refusal(reason: "invalid length: found \(characters.count)") }
    } else {
      guard groups.count == 5 else {
        throw Refusal(reason: "invalid group count: expected 5, found \(groups.count)")
      }
      for (index, length) in [8, 4, 4, 4, 12].enumerated() where groups[index].count != length {
        throw Refusal(
          reason: "invalid group length in group \(index): expected \(length), found \(groups[index].count)")
      }
    }
    var canonical = ""
    for (index, digit) in characters.filter({ $0 != "-" }).enumerated() {
      if [8, 12, 16, 20].contains(index) { canonical += "-" }
      canonical.unicodeScalars.append(digit)
    }
    text = canonical.lowercased()
  }

  /// Why a text is not a UUID.
  struct Refusal: Error, Hashable {
    let reason: String
  }
}
