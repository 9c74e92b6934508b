// The files in Fixtures/supervisord mean here what they mean to supervisor 4.3.0, which wrote the .expected files
// (Fixtures/supervisord_dump.py).

import SupervisorConfig
import Testing

@Suite("A file of supervisord's keeps its meaning")
struct SupervisordEquivalenceTests {
  /// What we refuse or report otherwise on purpose, with our words.
  static let ownWords = [
    "error-no-header": "File contains no section headers",
    "error-parsing": "Source contains parsing errors: 'this is not ini'",
    "error-format-bare": "Format string 'echo %x' for 'program:x.command' is badly formatted",
    "error-rpcinterface-other": "nope:nope cannot be resolved within [rpcinterface:x]",
  ]

  @Test(arguments: Fixtures.names("supervisord").filter { $0.hasSuffix(".conf") }.map { String($0.dropLast(5)) })
  func matchesSupervisord(name: String) throws {
    var world = VirtualWorld()
    world.files["/conf/supervisord.conf"] = try Fixtures.bytes("supervisord/\(name).conf")
    for file in Fixtures.names("supervisord/\(name).d") {
      world.files["/conf/conf.d/" + file] = try Fixtures.bytes("supervisord/\(name).d/\(file)")
    }
    let expected = try Fixtures.text("supervisord/\(name).expected").split(
      separator: "\n", omittingEmptySubsequences: false
    )
    .map(String.init).dropLast()
    let result = world.load()
    if let line = expected.first, line.hasPrefix("error: ") {
      #expect(result.spec == nil)
      let words = Self.ownWords[name] ?? withoutNames(String(line.dropFirst(7)))
      #expect(
        result.errors.contains {
          $0.supervisordText == words || (Self.ownWords[name] != nil && $0.message.hasPrefix(words))
        },
        "\(words) is not in \(result.errors)")
      return
    }
    let spec = try #require(result.spec, "\(result.errors)")
    let stripANSI = spec.programs.first?.stdout.stripANSI ?? false
    #expect(supervisordDump(spec, world.input, stripANSI: stripANSI) == Array(expected))
  }

  @Test func thereAreFixtures() {
    #expect(Fixtures.names("supervisord").filter { $0.hasSuffix(".expected") }.count > 40)
  }

  /// supervisord goes on with every name that exists, of the environment too; we suggest the nearest.
  private func withoutNames(_ text: String) -> String {
    guard let start = text.range(of: ". Available names:") else { return text }
    let end = text.range(of: " in section ", after: start) ?? text.endIndex
    return String(text[..<start]) + String(text[end...])
  }
}

extension String {
  /// Where the needle begins.
  fileprivate func range(of needle: String, after start: Index? = nil) -> Index? {
    var index = start ?? startIndex
    while index < endIndex {
      if self[index...].hasPrefix(needle) { return index }
      index = self.index(after: index)
    }
    return nil
  }
}
