// [supervisord] environment_defaults=: what variables are that are not set or empty.

import SupervisorCore
import Testing

@testable import SupervisorConfig

@Suite("environment_defaults")
struct EnvironmentDefaultsTests {
  private static let text = """
    [supervisord]
    environment_defaults=PLAIN="not this", EMPTY="from %(here)s", UNSET=a/b
    control_socket=/run/%(ENV_EMPTY)s
    [program:x]
    command=/bin/x %(ENV_PLAIN)s %(ENV_UNSET)s
    autostart=%(ENV_SWITCH)s
    """

  @Test func countWhereAVariableIsNotSetOrEmpty() throws {
    var world = VirtualWorld(Self.text.replacing("UNSET=a/b", with: "UNSET=a/b, SWITCH=false"))
    world.directories.insert("/run")
    let spec = try #require(world.load().spec, "\(world.load().diagnostics)")
    #expect(spec.controlSocket == "/run/from /conf")
    let program = try #require(spec.programs.first)
    #expect(program.execution.arguments == ["/bin/x", "plain", "a/b"] && !program.autostart)
    // Programs get them, too.
    let environment = program.execution.environment
    #expect(environment.filter { $0.name == "EMPTY" }.map(\.value) == ["from /conf"])
    #expect(environment.filter { $0.name == "UNSET" }.map(\.value) == ["a/b"])
    #expect(environment.filter { $0.name == "PLAIN" }.map(\.value) == ["plain"])
    // The last of several equal names is the one that counts.
    world.environment += [("SWITCH", ""), ("SWITCH", "true"), ("UNSET", "x"), ("UNSET", "")]
    let other = try #require(world.load().spec?.programs.first)
    #expect(other.autostart && other.execution.arguments == ["/bin/x", "plain", "a/b"])
  }

  @Test func withoutThemAnEmptyVariableIsAnEmptyText() throws {
    var world = VirtualWorld("[supervisord]\n[program:x]\ncommand=/bin/x\nautostart=%(ENV_EMPTY)s\n")
    let result = world.load()
    #expect(result.spec == nil && result.errors.first?.message.contains("not a valid boolean value: ''") == true)
    world.environment.append(("EMPTY", "false"))
    #expect(world.load().spec?.programs.first?.autostart == false)
  }

  @Test func includeMayUseThemAndHasNoSayInThem() throws {
    var world = VirtualWorld(
      "[supervisord]\nenvironment_defaults=WHERE=more, LEVEL=1\n[include]\nfiles=%(ENV_WHERE)s/*.conf\n")
    world.files["/conf/more/a.conf"] = Array(
      "[supervisord]\nenvironment_defaults=LEVEL=2\n[program:x]\ncommand=/bin/x %(ENV_LEVEL)s\n".utf8)
    let result = world.load()
    #expect(result.spec?.programs.first?.execution.arguments == ["/bin/x", "1"])
    #expect(result.diagnostics.map(\.key) == ["environment_defaults"])
    #expect(result.diagnostics.first?.message == "ignored: it counts in the main file only")
  }

  @Test func theGrammarIsThatOfEnvironmentAndErrorsNameTheKey() {
    for text in ["A", "A=\"x", "A=%(ENV_NOWHERE)s"] {
      let result = VirtualWorld("[supervisord]\nenvironment_defaults=\(text)\n").load()
      #expect(result.spec == nil && result.errors.map(\.key) == ["environment_defaults"], "\(text)")
      #expect(result.errors.first?.line == 2)
    }
  }

  /// The variables that the last stage of a Dockerfile sets.
  static func image(_ role: String) throws -> [(name: String, value: String)] {
    let text = String(decoding: try Fixtures.bytes(Fixtures.repository + "/Dockerfile.\(role)"), as: UTF8.self)
    var variables: [(name: String, value: String)] = []
    for line in text.split(separator: "\n", omittingEmptySubsequences: false)
      .drop(while: { !$0.hasPrefix("ENV ") })
    {
      let parts = line.replacing("ENV ", with: "").drop { $0 == " " }.split(
        separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard parts.count == 2 else { break }
      let value = parts[1].split(separator: " ", omittingEmptySubsequences: false).first ?? ""
      variables.append((String(parts[0]), String(value)))
      if !line.hasSuffix("\\") { break }
    }
    return variables
  }

  /// An empty variable hides the image's own, and the configuration has it again.
  @Test(arguments: ["genie", "agent"])
  func thoseOfTheContainersAreTheImages(role: String) throws {
    let image = try Self.image(role)
    #expect(image.count > 10 && image.contains { $0.name == "HIVESUP_SOCKET" })
    var world = VirtualWorld()
    world.files["/conf/supervisord.conf"] = try Fixtures.bytes(Fixtures.repository + "/etc/\(role)/hivesup.conf")
    for file in ["pgbouncer.conf", "redis.conf"] {
      world.files["/conf/conf.d/\(file)"] = try Fixtures.bytes(Fixtures.repository + "/etc/conf.d/\(file)")
    }
    world.directories.insert("/run/hivesup")
    world.users.append(UserRecord(name: "hive", userID: 1000, groupID: 1000, home: "/"))
    let usual = world.environment
    // PGDATA is empty in the image, and hive-postgres finds PostgreSQL by itself.
    let named = image.filter { !["PGDATA", "HIVE_PG_BINDIR"].contains($0.name) }
    func environments(_ environment: [(String, String)]) throws -> [[String: String]] {
      world.environment = usual + environment
      let result = world.load()
      #expect(result.diagnostics == [])
      return try #require(result.spec).programs.map { program in
        Dictionary(uniqueKeysWithValues: program.execution.environment.map { ($0.name, $0.value) })
          .merging(["command": program.execution.arguments.joined(separator: " ")]) { $1 }
      }
    }
    let asInTheImage = try environments(named.map { ($0.name, $0.name == "HIVE_ETC" ? "/conf" : $0.value) })
    #expect(asInTheImage == (try environments(named.map { ($0.name, "") })))
    #expect(asInTheImage == (try environments([])))
    #expect(image.first { $0.name == "HIVE_ETC" }?.value == "/etc/hivesup")
  }
}
