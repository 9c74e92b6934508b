import Testing

@testable import HivePostgresCore

@Suite struct PoolerTests {
  private func settings(_ environment: [String: String]) throws -> Settings {
    try Settings(
      environment: ["HIVE_ROLE": "agent", "HIVE_RUN_DIR": "/run/it's"].merging(environment) { $1 },
      workingDirectory: "/",
      firstStart: false)
  }

  @Test func isOffUnlessSwitchedOn() throws {
    for off in [
      [:], ["HIVE_PGBOUNCER": ""], ["HIVE_PGBOUNCER": "false"],
      ["HIVE_PGBOUNCER": "0", "HIVE_PGBOUNCER_POOL_SIZE": "x"],
    ] {
      #expect(try settings(off).pooler == nil)
    }
    let pooler = try #require(try settings(["HIVE_PGBOUNCER": "true"]).pooler)
    #expect(pooler.size == 10)
  }

  @Test func refusesWhatCannotBeMeant() {
    for (name, value) in [
      ("HIVE_PGBOUNCER", "perhaps"), ("HIVE_PG_PORT", "6432"),
      ("HIVE_PGBOUNCER_POOL_SIZE", "many"), ("HIVE_RUN_DIR", "/run/a\nadmin_users = eve"),
    ] {
      let error = #expect(throws: Failure.self, "\(name)") {
        try settings(["HIVE_PGBOUNCER": "true"].merging([name: value]) { $1 })
      }
      #expect(error?.status == .usage)
    }
  }

  @Test func theFileHasOneDatabaseOneSocketAndNoSecret() throws {
    let settings = try settings([
      "HIVE_PGBOUNCER": "yes", "HIVE_PGBOUNCER_POOL_SIZE": "3", "HIVE_PG_PORT": "5433",
      "HIVE_DB_PASSWORD": "hunter2-hunter2",
    ])
    let lines = Pooler.configuration(try #require(settings.pooler), settings: settings, role: .agent)
      .split(separator: "\n").map(String.init)
    #expect(lines.contains("hive_agent = host='/run/it''s' port='5433' dbname='hive_agent' user='agent'"))
    for line in [
      "listen_addr =", "listen_port = 6432", "unix_socket_dir = /run/it's", "unix_socket_mode = 0700",
      "auth_type = any",
      "pool_mode = transaction", "default_pool_size = 3",
    ] {
      #expect(lines.contains(line), "\(line)")
    }
    #expect(!lines.contains { $0.contains("hunter2") || $0.contains("password") })
  }
}
