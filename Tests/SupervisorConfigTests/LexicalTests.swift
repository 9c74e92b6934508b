// Sections, keys, comments, continuations: what the equivalence fixtures prove as a whole, rule by rule.

import Testing

@testable import SupervisorConfig

@Suite("Lexical rules")
struct LexicalTests {
  private func read(_ text: String) -> (document: INIDocument, diagnostics: [Diagnostic]) {
    var reader = INIReader()
    reader.read(Array(text.utf8), file: "f")
    return (reader.document, reader.diagnostics)
  }

  @Test(arguments: [
    ("k = v", "v"), ("k: v", "v"), ("K=v", "v"), ("k =v = w", "v = w"), ("k=v:w", "v:w"), ("k=", ""), ("k=a ; c", "a"),
    ("k=a # c", "a"), ("k=a\t;c", "a"), ("k=a;c", "a;c"), ("k=a#c", "a#c"), ("k=\"v ; c\"", "\"v"), ("k=;c", ";c"),
    ("k= ;c", ""), ("k=a;b ; c # d", "a;b ; c"), ("k=a\n  b", "a\nb"), ("k=a\n\n  b", "a\n\nb"),
    ("k=a\n ; c\n  b", "a\nb"),
    ("k=a\n\n\n", "a"), ("k=a\n  b ; c", "a\nb"), ("k=a\n  [s]", "a\n[s]"), ("k=a\n  x=y", "a\nx=y"), ("k=a\nk=b", "b"),
    ("k=a\r\n  b\r\n", "a\nb"), ("k=a\r  b", "a\nb"), ("k=a \u{A0}", "a"), ("\tk=v", "v"), (" ; c\n k=v", "v"),
  ])
  func values(text: String, value: String) throws {
    let (document, _) = read("[s]\n" + text)
    #expect(try #require(document.section("s")).options["k"]?.value == value)
  }

  @Test(arguments: [
    ("[a]", "a"), ("[a] trailing", "a"), ("[a]b]", "a]b"), ("[ a ]", " a "), ("[a] ; c", "a"), ("[A]", "A"),
    ("[program:x]", "program:x"),
    ("[[a]]", "[a]"),
  ])
  func headers(text: String, name: String) {
    #expect(read(text).document.sections.map(\.name) == [name])
  }

  @Test func sectionsOfOneNameAreMerged() throws {
    let document = read("[s]\na=1\nb=1\n[t]\n[s]\nb=2\nc=3").document
    #expect(document.sections.map(\.name) == ["s", "t"])
    let section = try #require(document.section("s"))
    #expect(section.options.mapValues(\.value) == ["a": "1", "b": "2", "c": "3"])
    #expect(section.options.mapValues(\.line) == ["a": 2, "b": 6, "c": 7])
    #expect(section.line == 1)
  }

  @Test func everyBrokenLineIsReportedAtItsPlace() {
    let (document, diagnostics) = read("[s]\na=1\nbroken\n= nothing\nb=2\n[]\n")
    #expect(diagnostics.map(\.line) == [3, 4, 6])
    #expect(diagnostics.allSatisfy { $0.severity == .error && $0.section == "s" && !$0.remedy.isEmpty })
    #expect(document.section("s")?.options["b"]?.value == "2")
  }

  @Test func whatStandsBeforeTheFirstSectionIsAnError() {
    let diagnostics = read("; fine\n\na=1\n[s]\n").diagnostics
    #expect(diagnostics.map(\.line) == [3])
    #expect(diagnostics.first?.message.hasPrefix("File contains no section headers") == true)
  }

  @Test(
    arguments: [
      [0xFF], [0xC3], [0xC3, 0x28], [0xE2, 0x82], [0xED, 0xA0, 0x80], [0xF5, 0x80, 0x80, 0x80], [0xC0, 0x80],
      [0xE0, 0x80, 0x80],
      [0xF0, 0x80, 0x80, 0x80], [0xF4, 0x90, 0x80, 0x80], [0x80], [0x00],
    ] as [[UInt8]])
  func bytesThatAreNoText(bytes: [UInt8]) {
    var reader = INIReader()
    reader.read(Array("[s]\na=1\nb=".utf8) + bytes + Array("\n".utf8), file: "f")
    #expect(reader.diagnostics.map(\.line) == [3])
    #expect(reader.document.sections.isEmpty)
  }

  @Test func everyScalarIsText() {
    var text = "[s]\nk=x"
    for code in stride(from: UInt32(1), to: 0x110000, by: 251) {
      if let scalar = Unicode.Scalar(code), scalar != "\n", scalar != "\r" { text.unicodeScalars.append(scalar) }
    }
    #expect(read(text).diagnostics.isEmpty)
  }

  @Test func aByteOrderMarkIsSkipped() {
    #expect(read("\u{FEFF}[s]\nk=v").document.section("s")?.options["k"]?.value == "v")
  }

  @Test func swallowedKeysAndSectionsAreWarnedOf() {
    let (_, diagnostics) = read(
      "[program:x]\ncommand=a\n  autostart=false\n  [program:y]\n  FOO=bar\nenvironment=A=1,\n  user=2\n")
    #expect(diagnostics.map(\.line) == [3, 4])
    #expect(diagnostics.allSatisfy { $0.severity == .warning && $0.key == "command" })
  }

  @Test func replacedKeysAreWarnedOfWithinOneFileOnly() {
    var reader = INIReader()
    reader.read(Array("[s]\na=1\na=2\n".utf8), file: "f")
    reader.read(Array("[s]\na=3\n".utf8), file: "g")
    #expect(reader.diagnostics.map(\.line) == [3])
    #expect(
      reader.document.section("s")?.options["a"] == INIOption(value: "3", file: "g", line: 2, commentWasCut: false))
  }

  @Test func theDefaultSectionLendsItsKeys() throws {
    let document = read("[DEFAULT]\na=1\nb=1\n[s]\nb=2\n").document
    let section = try #require(document.section("s"))
    #expect(document.sections.count == 1)
    #expect(document.option(section, "a")?.value == "1")
    #expect(document.option(section, "b")?.value == "2")
  }
}
