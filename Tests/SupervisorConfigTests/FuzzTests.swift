// Whatever the bytes, loading ends, never traps, and says where: a seeded generator that knows the grammar, and
// mutations of a corpus (all fixtures). HIVESUP_FUZZ_ROUNDS or HIVE_FUZZ_SECONDS lengthen the run.

import Glibc
import SupervisorCore
import Testing

@testable import SupervisorConfig

@Suite("Any bytes at all")
struct FuzzTests {
  /// How many files each test loads.
  static let rounds = getenv("HIVESUP_FUZZ_ROUNDS").flatMap { Int(String(cString: $0)) } ?? 1500

  private func check(_ bytes: [UInt8], included: [UInt8] = [], _ seed: UInt64) {
    var world = VirtualWorld()
    world.files["/conf/supervisord.conf"] = bytes
    world.files["/conf/conf.d/a.conf"] = included
    world.effectiveUserID = seed.isMultiple(of: 2) ? 0 : 1
    let result = world.load()
    #expect((result.spec == nil) == !result.errors.isEmpty, "seed \(seed)")
    for diagnostic in result.diagnostics {
      #expect(diagnostic.line >= 1 && world.files[diagnostic.file] != nil, "seed \(seed): \(diagnostic)")
      #expect(!diagnostic.message.isEmpty && !diagnostic.remedy.isEmpty, "seed \(seed): \(diagnostic)")
    }
    guard let spec = result.spec else { return }
    #expect(!describePlan(spec).isEmpty)
    for program in spec.programs {
      #expect(!program.stopPlan.isEmpty && program.execution.arguments.first?.isEmpty == false, "seed \(seed)")
    }
    #expect(world.load().spec == spec, "seed \(seed): the same bytes, another meaning")
  }

  @Test func filesThatNearlyMakeSense() {
    for seed in FuzzSeeds(UInt64(Self.rounds)) {
      var generator = Generator(seed: seed)
      check(generator.file(), included: generator.file(), seed)
    }
  }

  @Test func mutationsOfTheCorpus() throws {
    var corpus: [[UInt8]] = []
    for folder in ["supervisord", "realworld", "corpus"] {
      for name in Fixtures.names(folder) where name.hasSuffix(".conf") {
        corpus.append(try Fixtures.bytes("\(folder)/\(name)"))
      }
    }
    try #require(corpus.count > 40)
    for seed in FuzzSeeds(UInt64(Self.rounds)) {
      var generator = Generator(seed: seed ^ 0xC0FFEE)
      check(generator.mutated(corpus), included: generator.mutated(corpus), seed)
    }
  }

  @Test func valuesOfEveryType() {
    for seed in FuzzSeeds(UInt64(Self.rounds)) {
      var generator = Generator(seed: seed &+ 77)
      let text = generator.soup(24)
      _ = try? probeValue(text)
      _ = try? listenerAddressValue(text)
      _ = try? stopPlanValue(text)
      _ = try? backoffValue(text)
      _ = try? durationValue(text)
      _ = try? environmentPairs(text)
      _ = try? limitValue(text, resource: "nofile")
      _ = try? dependenciesValue(text)
      _ = try? signalValue(text)
      _ = try? byteSizeValue(text)
      _ = FilenamePattern(text).matches(generator.soup(12))
      _ = normalizedPath(text)
      if let words = try? shellWords(text) { #expect((try? shellWords(shellQuoted(words))) == words, "seed \(seed)") }
    }
  }

  @Test func hostilePatternsAreMatchedInNoTime() {
    let pattern = FilenamePattern(String(repeating: "a*", count: 200) + "b")
    #expect(!pattern.matches(String(repeating: "a", count: 2000)))
  }
}

/// SplitMix64, and texts made with it.
private struct Generator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  mutating func below(_ count: Int) -> Int { Int(next() % UInt64(max(1, count))) }

  mutating func pick<Element>(_ choices: [Element]) -> Element { choices[below(choices.count)] }

  static let sections = [
    "supervisord", "supervisord", "program:a", "program:b", "program:c", "program:a b", "program:", "group:g",
    "group:a", "listener:l",
    "listener:m", "include", "unix_http_server", "rpcinterface:supervisor", "DEFAULT", "nonsense", "eventlistener:e",
  ]
  static let values = [
    "true", "false", "0", "1", "-1", "9", "999999999999999999999", "0.5", "10", "INT:6, QUIT:2", "TERM", "a", "b, c",
    "a:ready", "b:completed",
    "g", "%(program_name)s", "%(process_num)02d", "%(ENV_HOME)s", "%(nope)s", "%", "%%", "%(process_num)9999d",
    "/bin/cat -u", "sh -c 'x ; y'",
    "\"open", "A=1,B=\"2\"", "A=1 B", "/dev/stdout", "NONE", "AUTO", "/tmp/x.log", "/nope/x", "postgres:/run/pg?port=1",
    "http://127.0.0.1/",
    "tcp://[::1]:1", "unix:/x", "exec: a b", "notify", "notify-fd:3", "* * * * *", "scheduled", "oneshot", "unlimited",
    "50MB", "022",
    ":80", "127.0.0.1:80", "health", "root", "nobody", "conf.d/*", "initial:1, max:2", "idle", "é", "\u{2028}", "",
    "64", "10000",
  ]

  mutating func file() -> [UInt8] {
    var text = below(8) == 0 ? "" : "[supervisord]\n"
    for _ in 0..<below(6) {
      let name = pick(Self.sections)
      text += "[\(name)]\n"
      let kind = KnownKeys.kind(ofSection: name) ?? .program
      let keys = KnownKeys.keys(of: kind).sorted()
      if name.hasPrefix("program"), below(6) > 0 { text += "command=/bin/x\n" }
      if name.hasPrefix("listener"), below(6) > 0 { text += "address=:\(80 + below(3))\n" }
      for _ in 0..<below(5) {
        let key = below(12) == 0 ? soup(6) : pick(keys)
        text +=
          pick(["", "", "", " "]) + key + pick(["=", " = ", ":"]) + (below(10) == 0 ? soup(20) : pick(Self.values))
        text += pick(["\n", "\n", "\r\n", " ; c\n", "\n  more\n", "\n\n"])
      }
    }
    return Array(text.utf8)
  }

  /// Characters that mean something somewhere.
  mutating func soup(_ most: Int) -> String {
    let pieces = [
      "a", "B", "0", "9", " ", "\t", "\n", "=", ":", ",", ";", "#", "%", "(", ")", "s", "d", "'", "\"", "\\", "[", "]",
      "*", "?", "!", "-", "+", ".",
      "/", "~", "@", "&", "é", "\u{301}", "\u{A0}", "😀", "ENV_", "here", "INT", "http", "://", "unix:", "127.0.0.1",
      "::", "_", "{", "}",
    ]
    return (0..<below(most)).map { _ in pick(pieces) }.joined()
  }

  mutating func mutated(_ corpus: [[UInt8]]) -> [UInt8] {
    var bytes = pick(corpus)
    for _ in 0..<(1 + below(6)) {
      let place = below(bytes.count + 1)
      switch below(7) {
      case 0: bytes.insert(UInt8(truncatingIfNeeded: next()), at: place)
      case 1 where !bytes.isEmpty: bytes[below(bytes.count)] = pick(Array("=:;#%'\"\\[]\n\r \t,()0".utf8))
      case 2 where !bytes.isEmpty: bytes.removeSubrange(min(place, bytes.count)..<min(bytes.count, place + below(20)))
      case 3: bytes.insert(contentsOf: Array(soup(10).utf8), at: place)
      case 4:
        let other = pick(corpus)
        let start = below(other.count + 1)
        bytes.insert(contentsOf: other[start..<min(other.count, start + below(80))], at: place)
      case 5 where !bytes.isEmpty: bytes[below(bytes.count)] ^= UInt8(1) << UInt8(below(8))
      default: bytes.insert(contentsOf: Array(pick(Self.values).utf8), at: place)
      }
    }
    return bytes
  }
}
