// The files in etc/: the product's own configurations load without a word.

import SupervisorCore
import Testing

@testable import SupervisorConfig

@Suite("etc/")
struct OwnConfigurationTests {
  private func load(_ name: String, optional: String = "false") throws -> SupervisorSpec {
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
          ? "postgres" : ["HIVE_PGBOUNCER", "HIVE_REDIS"].contains(variable) ? optional : "/run/x"
      world.environment.append((variable, value))
    }
    let result = world.load()
    #expect(result.diagnostics == [])
    return try #require(result.spec)
  }

  @Test(arguments: ["genie", "agent"])
  func loadsWithoutAWord(name: String) throws {
    let spec = try load(name)
    #expect(spec.container == name)
    #expect(spec.shutdownTimeout == .seconds(9))
    #expect(spec.programs.map(\.name).contains("postgresql"))
    // The database and the API on the fast cores, what watches on the frugal ones.
    let cpus = Dictionary(uniqueKeysWithValues: spec.programs.map { ($0.name, $0.pinning.cpus) })
    #expect(cpus["postgresql"] == .classes([.performance]) && cpus["hive-service"] == .classes([.performance]))
    #expect(cpus["health-monitor"] == .classes([.lowPower, .efficiency]) && cpus["postgres-init"] == .any)
  }

  /// Nobody's time to stop is cut short because others take theirs, with the optional programs too: the API's drain and the statements
  /// that it cancels, and PostgreSQL's checkpoint, have what the files say.
  @Test(arguments: ["genie", "agent"], ["true", "false"])
  func allStopPlansFitIntoTheDeadlineOneAfterTheOther(name: String, optional: String) throws {
    let spec = try load(name, optional: optional)
    let limit = try #require(spec.shutdownTimeout)
    let budget = limit - shutdownReserve(of: limit)
    func length(_ program: ProgramSpec) -> Interval { program.stopPlan.reduce(.zero) { $0 + $1.wait } }
    // A oneshot is over before what comes after it is up, and what comes before it may be up beside it.
    let services = StartPlan(spec).tiers.map { tier in
      tier.map { spec.programs[$0] }.filter { $0.kind != .oneshot }.map(length).max() ?? .zero
    }
    #expect(services.reduce(.zero, +) <= budget, "\(services.map(\.inSeconds))")
    for (index, tier) in StartPlan(spec).tiers.enumerated() {
      for program in tier.map({ spec.programs[$0] }) where program.kind == .oneshot {
        #expect(services[..<index].reduce(length(program), +) <= budget, "\(program.name)")
      }
    }
    // INT rolls back and writes a checkpoint, QUIT leaves recovery to the next start: research measured 0.57 s for INT under load.
    let postgres = try #require(spec.programs.first { $0.name == "postgresql" })
    #expect(postgres.stopPlan.map(\.signal) == [2, 3])
    #expect(postgres.stopPlan[0].wait >= .seconds(3) && postgres.stopPlan[1].wait >= .milliseconds(500))
  }
}
