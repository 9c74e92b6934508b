// What Python itself said (Fixtures/python_tables.py), row by row.

import Testing

@testable import SupervisorConfig

@Suite("Texts are read as Python reads them")
struct PythonTableTests {
  /// NAMES of python_tables.py.
  static let names = Expansions(
    shared: [
      "here": .text("/conf"), "name": .text("web"), "n": .number(7), "zero": .number(0), "big": .number(123456),
      "half": .number(25), "minus": .number(-5), "empty": .text(""), "percent": .text("100%d"), "quote": .text("it's"),
      "both": .text("a'b\"c"), "e": .text("é"), "one": .text("x"), "a(b)c": .text("nested"), "tab": .text("a\tb\\"),
    ], own: [:])

  @Test func percentFormats() throws {
    for row in try Fixtures.table("percent") {
      let result = try? expand(row.input, with: Self.names)
      #expect(result == (row.refused ? nil : row.output), "\(row.input)")
    }
  }

  @Test func shellWordsOfCommands() throws {
    for row in try Fixtures.table("words") {
      let result = try? shellWords(row.input)
      if row.refused {
        #expect(result == nil, "\(row.input)")
      } else {
        #expect(result?.joined(separator: "\u{1F}") == row.output, "\(row.input)")
      }
    }
  }

  @Test func environmentGrammar() throws {
    for row in try Fixtures.table("environment") {
      let result = try? environmentPairs(row.input)
      let text = result.map { pairs in pairs.pairs.map { "\($0.name)=\($0.value)" }.joined(separator: "\u{1F}") }
      #expect(text == (row.refused ? nil : row.output), "\(row.input)")
    }
  }

  @Test func filenamePatterns() throws {
    let names = [
      "a", "ab", "abc", "b", "a.conf", "b.conf", ".hidden", "x-y", "]", "[", "!", "^", "-", "é", "a*b", "10", "A",
    ]
    for row in try Fixtures.table("patterns") {
      let pattern = FilenamePattern(row.input)
      #expect(names.filter(pattern.matches).joined(separator: "\u{1F}") == row.output, "\(row.input)")
    }
  }

  @Test func integers() throws {
    for row in try Fixtures.table("integer") {
      #expect((try? integerValue(row.input)).map(String.init) == (row.refused ? nil : row.output), "\(row.input)")
    }
  }

  @Test func octals() throws {
    for row in try Fixtures.table("octal") {
      #expect((try? octalValue(row.input)).map(String.init) == (row.refused ? nil : row.output), "\(row.input)")
    }
  }

  @Test func byteSizes() throws {
    for row in try Fixtures.table("size") {
      #expect((try? byteSizeValue(row.input)).map(String.init) == (row.refused ? nil : row.output), "\(row.input)")
    }
  }

  @Test func signals() throws {
    for row in try Fixtures.table("signal") {
      // Python's signal module has constants of value 0 (SIG_BLOCK, SIG_DFL), so supervisord takes 0 for a signal.
      let refused = row.refused || row.output == "0"
      #expect((try? signalValue(row.input)).map { String($0) } == (refused ? nil : row.output), "\(row.input)")
    }
    #expect(SignalNames.number(of: "RTMIN+3") == 37)
    #expect(SignalNames.number(of: "sigrtmax-1") == 63)
    #expect(SignalNames.number(of: "RTMIN+31") == nil)
  }

  @Test func representations() {
    #expect(pythonRepresentation("a'b") == "\"a'b\"")
    #expect(pythonRepresentation("a'b\"c\\\n\u{7}") == "'a\\'b\"c\\\\\\n\\x07'")
    #expect(pythonASCIIRepresentation("é€😀") == "'\\xe9\\u20ac\\U0001f600'")
  }

  @Test func everyWhitespaceCharacterAndNoOther() {
    let white: Set<UInt32> = [
      9, 10, 11, 12, 13, 28, 29, 30, 31, 32, 133, 160, 5760, 8192, 8193, 8194, 8195, 8196, 8197, 8198, 8199, 8200, 8201,
      8202,
      8232, 8233, 8239, 8287, 12288,
    ]
    for code in UInt32(0)...0x3100 {
      guard let scalar = Unicode.Scalar(code) else { continue }
      let bytes = Array(String(scalar).utf8)
      #expect(whitespaceLength(bytes, at: 0) == (white.contains(code) ? bytes.count : 0), "U+\(code)")
      #expect(whitespaceLength(bytes, before: bytes.count) == (white.contains(code) ? bytes.count : 0), "U+\(code)")
    }
  }

  @Test func paths() {
    for (path, expected) in [
      ("/a/../b", "/b"), ("//a", "//a"), ("///a", "/a"), ("a/./b//c", "a/b/c"), ("../a/..", ".."), ("/..", "/"),
      ("", "."),
      ("a/..", "."), ("../..", "../.."),
    ] {
      #expect(normalizedPath(path) == expected, "\(path)")
    }
    for (path, directory, base) in [
      ("/a/b", "/a", "b"), ("/a", "/", "a"), ("a", "", "a"), ("a//b", "a", "b"), ("/", "/", ""), ("//a", "//", "a"),
    ] {
      #expect(splitPath(path) == (directory, base), "\(path)")
    }
    let input = VirtualWorld().input
    for (path, expected) in [
      ("~", "/root"), ("~/x", "/root/x"), ("~daemon/x", "/nonexistent/x"), ("~nobodyatall/x", "~nobodyatall/x"),
      ("a~", "a~"),
    ] {
      #expect(input.expandingUser(path) == expected, "\(path)")
    }
  }
}
