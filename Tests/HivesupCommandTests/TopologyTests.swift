import ControlProtocol
@preconcurrency import Glibc
import Testing

@testable import HivesupCommand

@Suite struct TopologyTests {
  /// A directory with a /sys and a /proc of a machine with two big and two small cores, for the body.
  private func withMachine<T>(_ body: (_ root: String) throws -> T) throws -> T {
    var template = Array("/tmp/hivesup-topology.XXXXXX".utf8CString)
    let root = String(cString: try #require(mkdtemp(&template)))
    var made = [root]
    defer { for path in made.reversed() { remove(path) } }
    let files = [
      "sys/devices/system/cpu/online": "0-3\n", "sys/devices/cpu_core/cpus": "0-1\n",
      "sys/devices/cpu_atom/cpus": "2-3\n", "proc/self/status": "Cpus_allowed_list:\t1-3\n",
      "proc/cpuinfo": "model name\t: Toy 4\n",
    ]
    for (name, content) in files {
      var directory = root
      for part in name.split(separator: "/").dropLast() {
        directory += "/\(part)"
        if mkdir(directory, 0o755) == 0 { made.append(directory) }
      }
      let file = try #require(fopen("\(root)/\(name)", "w"))
      made.append("\(root)/\(name)")
      fputs(content, file)
      fclose(file)
    }
    return try body(root)
  }

  @Test func anotherMachineIsDrawn() throws {
    try withMachine { root in
      let drawn = hivesup(["topology", "--sysfs", "\(root)/sys", "--procfs", "\(root)/proc"])
      #expect(drawn.status == 0 && drawn.errors.isEmpty)
      #expect(
        drawn.output == """
          Toy 4
          online   0-3: 4 CPUs, 4 cores, 1 package
          allowed  1-3, by affinity
          classes  by the kernel's event sources for hybrid processors

          CLASS        CPUS  CORES  MAX GHZ  BASE GHZ  L2  L3
          performance  0-1   2      -        -         -   -
          efficiency   2-3   2      -        -         -   -

          REQUEST      RUNS ON  WHY
          any          1-3
          performance  1        CPU 0 is not allowed here
          efficiency   2-3
          low-power    2-3      no CPU is low-power; falls to efficiency

          """)
      let alone = hivesup(["topology", "--json", "--sysfs", "\(root)/sys"])
      let document = try JSONValue(parsing: Array(alone.output.utf8.dropLast()))
      #expect(document["allowed"]?.string == "0-3" && document["programs"] == .null)
    }
  }

  @Test func overridesCountAndWrongOnesAreAllTold() throws {
    try withMachine { root in
      let words = ["topology", "--json", "--sysfs", "\(root)/sys"]
      let moved = hivesup(words, environment: ["HIVE_CPU_LOW_POWER": "3"])
      #expect(moved.output.contains(#"{"class":"low-power","cpus":"3","allowed":"3""#), "\(moved)")
      let wrong = hivesup(words, environment: ["HIVE_CPU_LOW_POWER": "9", "HIVE_CPU_EFFICIENCY": "x"])
      #expect(wrong.status == 2 && wrong.output.isEmpty)
      #expect(wrong.errors.contains("HIVE_CPU_LOW_POWER=9: this machine has no CPU 9; its CPUs are 0-3"), "\(wrong)")
      #expect(wrong.errors.contains("cannot read HIVE_CPU_EFFICIENCY='x'"), "\(wrong)")
    }
  }

  @Test func whatIsNoMachineIsRefused() {
    let none = hivesup(["topology", "--sysfs", "/nonexistent"])
    #expect(none.status == 2 && none.errors.contains("cannot read /nonexistent as a /sys"), "\(none)")
    for words in [["--procfs", "/proc"], ["--sysfs", "/sys", "--socket", "/s"], ["extra"]] {
      #expect(hivesup(["topology"] + words).status == 2, "\(words)")
    }
  }

  /// This machine, with nobody to ask: no socket is at the default path's place.
  @Test func thisMachineNeedsNoDaemon() throws {
    let result = hivesup(["topology", "--json"], environment: ["HIVESUP_SOCKET": "/nonexistent/control.sock"])
    #expect(result.status == 0 && result.errors.isEmpty, "\(result)")
    let document = try JSONValue(parsing: Array(result.output.utf8.dropLast()))
    #expect(document["allowed"]?.string?.isEmpty == false && document["programs"] == .null)
  }

  private static let status = """
    {"programs":[
      {"name":"postgresql","state":"RUNNING","state_code":20,"since":"2026-11-20T10:00:00Z","pid":12,
       "pinning":{"requested":"low-power","cpus":"0","explanation":"no CPU is low-power\\u001b"}},
      {"name":"api","state":"STOPPED","state_code":0,"since":"2026-11-20T10:00:00Z"}]}
    """

  private func answer(_ daemon: FakeDaemon, _ words: [String], named: Bool) -> CommandResult {
    defer { daemon.stop() }
    return named
      ? hivesup(["topology", "--socket", daemon.path] + words)
      : hivesup(["topology"] + words, environment: ["HIVESUP_SOCKET": daemon.path])
  }

  private func daemon(_ json: String) -> FakeDaemon {
    FakeDaemon { _ in
      var bytes: [UInt8] = []
      HTTPResponse.json(Array(json.utf8)).write(to: &bytes)
      return .answer(bytes)
    }
  }

  @Test func theDaemonsProgramsAreShown() throws {
    let drawn = answer(daemon(Self.status), [], named: false)
    let table = """

      PROGRAM     PID  REQUEST    RUNS ON  WHY
      postgresql  12   low-power  0        no CPU is low-power?
      api         -    any        -

      """
    #expect(drawn.output.hasSuffix(table), "\(drawn)")
    let document = try JSONValue(
      parsing: Array(answer(daemon(Self.status), ["--json"], named: true).output.utf8.dropLast()))
    #expect(document["programs"]?.array?.first?["cpus"]?.string == "0")
    #expect(document["programs"]?.array?.first?["requested"]?.string == "low-power")
  }

  @Test func theDaemonItselfIsShownWhereItHasCPUsOfItsOwn() {
    let status = """
      {"pid":1,"pinning":{"requested":"low-power","cpus":"0","explanation":"no CPU is low-power"},"programs":[
        {"name":"api","state":"STOPPED","state_code":0,"since":"2026-11-20T10:00:00Z"}]}
      """
    let table = """

      PROGRAM   PID  REQUEST    RUNS ON  WHY
      hivesupd  1    low-power  0        no CPU is low-power
      api       -    any        -

      """
    let drawn = answer(daemon(status), [], named: true)
    #expect(drawn.output.hasSuffix(table), "\(drawn)")
    let unmoved = answer(
      daemon(status.replacing(#""requested":"low-power""#, with: #""requested":null"#)), [], named: true)
    #expect(!unmoved.output.contains("hivesupd"), "\(unmoved)")
  }

  /// A daemon that was named must answer; one that happens to be there need not.
  @Test func aDaemonThatMakesNoSenseHidesNothing() {
    let found = answer(daemon("[]"), [], named: false)
    #expect(
      found.status == 0 && found.output.contains("REQUEST") && found.errors.contains("cannot understand"), "\(found)")
    let named = answer(daemon("[]"), [], named: true)
    #expect(named.status == 1 && named.output.isEmpty && named.errors.contains("cannot understand"), "\(named)")
    #expect(hivesup(["topology", "--socket", "/nonexistent/s"]).status == 4)
  }
}
