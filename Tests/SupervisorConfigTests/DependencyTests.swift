// depends_on, listeners, and groups: what must fit together.

import SupervisorCore
import Testing

@testable import SupervisorConfig

@Suite("What refers to what")
struct DependencyTests {
  private func load(_ text: String) -> ConfigurationResult { VirtualWorld("[supervisord]\n" + text).load() }

  private func dependencies(_ text: String, of name: String) throws -> [Dependency] {
    let result = load(text)
    return try #require(result.spec?.programs.first { $0.namespec == name }, "\(result.diagnostics)").dependencies
  }

  private let others = """
    [program:db]
    command=db
    [program:init]
    command=init
    type=oneshot
    [program:w]
    command=w
    numprocs=2
    process_name=w%(process_num)d
    [program:a]
    command=a
    [program:b]
    command=b
    [group:g]
    programs=a,b
    [program:x]
    command=x

    """

  @Test(arguments: [
    ("db", [Dependency(program: "db", condition: .ready)]),
    ("init", [Dependency(program: "init", condition: .completed)]),
    ("db:started", [Dependency(program: "db", condition: .started)]),
    ("init:ready", [Dependency(program: "init", condition: .ready)]),
    (
      " db : Ready , init ",
      [Dependency(program: "db", condition: .ready), Dependency(program: "init", condition: .completed)]
    ),
    ("w", [Dependency(program: "w", condition: .ready)]), ("w:w1", [Dependency(program: "w:w1", condition: .ready)]),
    ("w1:started", [Dependency(program: "w:w1", condition: .started)]),
    ("g:a:started", [Dependency(program: "g:a", condition: .started)]),
    ("g", [Dependency(program: "a", condition: .ready), Dependency(program: "b", condition: .ready)]), ("", []),
    ("db, db:ready", [Dependency(program: "db", condition: .ready)]),
  ])
  func names(text: String, expected: [Dependency]) throws {
    #expect(try dependencies(others + "depends_on=\(text)\n", of: "x") == expected)
  }

  @Test(arguments: [
    ("bd", "depends on the unknown program bd", "db"), ("db:redy", "not a condition: 'redy'", "ready"),
    ("db:completed", "db:completed can never be true: db is a service", nil),
    ("x", "programs wait for each other: x → x", nil),
    ("w:w9", "depends on the unknown program w:w9", "w:w0"),
  ])
  func errors(text: String, message: String, suggestion: String?) throws {
    let error = try #require(load(others + "depends_on=\(text)\n").errors.first)
    #expect(error.message == message)
    #expect(error.suggestion == suggestion)
    #expect(error.key == "depends_on" && error.section == "program:x" && error.line == 19)
  }

  @Test func theWholeCycleIsNamed() {
    let result = load(
      """
      [program:a]
      command=a
      depends_on=b
      [program:b]
      command=b
      depends_on=c
      [program:c]
      command=c
      depends_on=d, a
      [program:d]
      command=d
      """)
    #expect(result.errors.map(\.message) == ["programs wait for each other: a → b → c → a"])
  }

  @Test func everyCircleIsNamed() {
    let result = VirtualWorld(
      """
      [supervisord]
      [program:a]
      command=a
      depends_on=b
      [program:b]
      command=b
      depends_on=c, a, d
      [program:c]
      command=c
      depends_on=c
      [program:d]
      command=d
      depends_on=e
      [program:e]
      command=e
      depends_on=d
      """
    ).load()
    #expect(
      result.errors.map(\.message) == [
        "programs wait for each other: a → b → a", "programs wait for each other: c → c",
        "programs wait for each other: d → e → d",
      ])
  }

  @Test func aChainIsNoCycleHoweverLong() {
    var text = ""
    for number in 0..<2000 {
      text += "[program:p\(number)]\ncommand=x\n" + (number > 0 ? "depends_on=p\(number - 1)\n" : "")
    }
    #expect(load(text).diagnostics == [])
  }

  @Test func manyThatWaitForManyAreCheckedInNoTime() {
    let result = load(
      """
      [program:a]
      command=a
      numprocs=3000
      process_name=%(process_num)d
      [program:b]
      command=b
      numprocs=3000
      process_name=%(process_num)d
      depends_on=a
      """)
    #expect(result.errors == [])
    #expect(result.spec?.programs.count == 6000)
  }

  @Test func doubtsAreWarnedOf() {
    let result = load(
      """
      [program:x]
      command=x
      priority=1
      depends_on=late, manual, db:healthy
      [program:late]
      command=x
      priority=2
      [program:manual]
      command=x
      autostart=false
      priority=1
      [program:db]
      command=x
      priority=0
      """)
    #expect(result.errors == [])
    #expect(result.warnings.map(\.key) == ["depends_on", "depends_on", "depends_on"])
    #expect(result.warnings.map(\.message).contains { $0.hasPrefix("late has priority 2 and would start after x (1)") })
    #expect(result.warnings.map(\.message).contains { $0.hasPrefix("manual is not started by itself") })
    #expect(result.warnings.map(\.message).contains { $0.hasPrefix("db:healthy means db:ready") })
  }

  @Test func listeners() throws {
    let spec = try #require(
      load(
        """
        [program:api]
        command=api
        [listener:http]
        address=:48886
        backlog=4096
        program=api
        fallback=health
        [listener:local]
        address=unix:/run/a.sock
        program=api
        mode=660
        """
      ).spec)
    var http = ListenerSpec(name: "http", address: .tcp(host: "*", port: 48886))
    http.backlog = 4096
    http.program = "api"
    http.fallback = .health
    http.origin = Origin(file: "/conf/supervisord.conf", line: 4)
    var local = ListenerSpec(name: "local", address: .unix(path: "/run/a.sock"))
    local.program = "api"
    local.mode = 0o660
    local.origin = Origin(file: "/conf/supervisord.conf", line: 9)
    #expect(spec.listeners == [http, local])
  }

  @Test(arguments: [
    ("[listener:a]\n", "", "listener a has no address"),
    ("[listener:a]\naddress=x\n", "address", "no port number specified in 'x'"),
    ("[listener:a]\naddress=:1\nprogram=apo\n", "program", "names the unknown program apo"),
    ("[listener:a]\naddress=:1\nprogram=api\nbacklog=0\n", "backlog", "0 is out of range"),
    ("[listener:a]\naddress=:1\nprogram=api\nfallback=heath\n", "fallback", "not a fallback: 'heath'"),
    ("[listener:a b]\naddress=:1\n", "", "Invalid name: 'a b' because of character: ' '"),
  ])
  func wrongListeners(text: String, key: String, message: String) {
    let result = load("[program:api]\ncommand=api\n" + text)
    #expect(result.errors.map(\.key) == [key])
    #expect(result.errors.map(\.message) == [message])
    #expect(result.errors.allSatisfy { $0.line > 3 && $0.section.hasPrefix("listener:") })
  }

  @Test func addressesThatCannotBothBeBound() {
    let pairs: [(String, String, Bool)] = [
      (":80", ":80", true), (":80", ":81", false), (":80", "127.0.0.1:80", true), ("0.0.0.0:80", "127.0.0.1:80", true),
      ("127.0.0.1:80", "127.0.0.2:80", false), ("localhost:80", "127.0.0.1:80", true), ("[::]:80", "[::1]:80", true),
      ("[::1]:80", "127.0.0.1:80", false), ("unix:/a", "/a", true), ("unix:/a", "unix:/b", false),
      ("unix:/a", ":80", false),
    ]
    for (first, second, overlap) in pairs {
      let result = load(
        "[listener:a]\naddress=\(first)\nfallback=health\n[listener:b]\naddress=\(second)\nfallback=health\n")
      #expect(result.errors.map(\.section) == (overlap ? ["listener:b"] : []), "\(first) \(second)")
    }
  }

  @Test func notifyDescriptorsLieBeyondTheListeners() {
    let text =
      "[program:api]\ncommand=api\nready=notify-fd:%\n[listener:a]\naddress=:1\nprogram=api\n[listener:b]\naddress=:2\nprogram=api\n"
    let at = { (number: String) in self.load(text.split(separator: "%").joined(separator: number)).errors }
    #expect(at("4").map(\.key) == ["ready"])
    #expect(at("4").first?.remedy == "write notify-fd:5")
    #expect(at("5") == [])
  }

  @Test func namesAreUnique() {
    let groups = load("[program:a]\ncommand=a\n[program:b]\ncommand=b\n[group:a]\nprograms=b\n").errors
    #expect(groups.map(\.message) == ["there are two groups named a: [group:a] of line 6 is the other"])
    let processes = load(
      "[program:a]\ncommand=a\nprocess_name=x\n[program:b]\ncommand=b\nprocess_name=x\n[group:g]\nprograms=a,b\n"
    ).errors
    #expect(processes.map(\.message) == ["there are two processes named g:x: [program:a] has the other"])
    #expect(
      load("[listener:a]\naddress=:1\nfallback=health\n[listener: a]\naddress=:2\nfallback=health\n").errors.count == 1)
  }

  @Test func processesAreOrderedByGroupAndPriority() throws {
    let spec = try #require(
      load(
        """
        [program:z]
        command=z
        priority=1
        [program:b]
        command=b
        priority=9
        [program:a]
        command=a
        priority=20
        [program:w]
        command=w
        numprocs=11
        process_name=w%(process_num)d
        priority=1
        [group:g]
        programs=a,b
        priority=5
        """
      ).spec)
    #expect(spec.programs.prefix(4).map(\.namespec) == ["w:w0", "w:w1", "w:w10", "w:w2"])
    #expect(spec.programs.suffix(3).map(\.namespec) == ["z", "g:b", "g:a"])
    #expect(spec.programs.suffix(2).map(\.groupPriority) == [5, 5])
    #expect(spec.programs.prefix(4).map(\.number) == [0, 1, 10, 2])
    #expect(spec.programs.prefix(4).allSatisfy { $0.program == "w" && $0.group == "w" })
  }
}
