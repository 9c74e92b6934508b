// The files in etc/: the product's own configurations load without a word.

import SupervisorCore
import Testing

@testable import SupervisorConfig

@Suite("etc/")
struct OwnConfigurationTests {
  @Test(arguments: ["genie", "agent"])
  func loadsWithoutAWord(name: String) throws {
    var world = VirtualWorld()
    var texts = [try Fixtures.bytes(Fixtures.repository + "/etc/\(name)/hivesup.conf")]
    world.files["/conf/supervisord.conf"] = texts[0]
    for file in ["pgbouncer.conf", "redis.conf"] {
      let bytes = try Fixtures.bytes(Fixtures.repository + "/etc/conf.d/\(file)")
      world.files["/conf/conf.d/\(file)"] = bytes
      texts.append(bytes)
    }
    world.directories.insert("/run")
    world.users.append(UserRecord(name: "postgres", userID: 999, groupID: 999, home: "/"))
    for part in texts.flatMap({ String(decoding: $0, as: UTF8.self).split(separator: "%(ENV_").dropFirst() }) {
      let variable = String(part.prefix { $0 != ")" })
      let value =
        variable.hasSuffix("PORT")
        ? "5432"
        : variable.hasSuffix("USER")
          ? "postgres" : ["HIVE_PGBOUNCER", "HIVE_REDIS"].contains(variable) ? "false" : "/run/x"
      world.environment.append((variable, value))
    }
    let result = world.load()
    #expect(result.diagnostics == [])
    let spec = try #require(result.spec)
    #expect(spec.container == name)
    #expect(spec.shutdownTimeout == .seconds(9))
    #expect(spec.programs.map(\.name).contains("postgresql"))
    // The database and the API on the fast cores, what watches on the frugal ones.
    let cpus = Dictionary(uniqueKeysWithValues: spec.programs.map { ($0.name, $0.pinning.cpus) })
    #expect(cpus["postgresql"] == .classes([.performance]) && cpus["hive-service"] == .classes([.performance]))
    #expect(cpus["health-monitor"] == .classes([.lowPower, .efficiency]) && cpus["postgres-init"] == .any)
  }
}
