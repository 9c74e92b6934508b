// The files in etc/: the product's own configurations load without a word.

import SupervisorCore
import Testing

@testable import SupervisorConfig

@Suite("etc/")
struct OwnConfigurationTests {
  @Test(arguments: ["genie", "agent"])
  func loadsWithoutAWord(name: String) throws {
    var world = VirtualWorld()
    let bytes = try Fixtures.bytes(Fixtures.repository + "/etc/\(name)/hivesup.conf")
    world.files["/conf/supervisord.conf"] = bytes
    world.directories.insert("/run")
    world.users.append(UserRecord(name: "postgres", userID: 999, groupID: 999, home: "/"))
    for part in String(decoding: bytes, as: UTF8.self).split(separator: "%(ENV_").dropFirst() {
      let variable = String(part.prefix { $0 != ")" })
      world.environment.append(
        (variable, variable.hasSuffix("PORT") ? "5432" : variable.hasSuffix("USER") ? "postgres" : "/run/x"))
    }
    let result = world.load()
    #expect(result.diagnostics == [])
    let spec = try #require(result.spec)
    #expect(spec.container == name)
    #expect(spec.shutdownTimeout == .seconds(9))
    #expect(spec.programs.map(\.name).contains("postgresql"))
  }
}
