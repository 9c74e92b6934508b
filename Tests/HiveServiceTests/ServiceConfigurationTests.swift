import Foundation
import Testing

@testable import HiveServiceCore

@Suite struct ServiceConfigurationTests {
  private func conninfo(_ environment: [String: String]) throws -> String {
    try ServiceConfiguration(environment: ["HIVE_ROLE": "genie"].merging(environment) { $1 }).conninfo
  }

  @Test func defaultsFollowTheRole() throws {
    let genie = try ServiceConfiguration(environment: ["HIVE_ROLE": "genie"])
    #expect(
      genie.port == 48886 && genie.poolSize == 5 && genie.poolOverflow == 10 && genie.drainTimeout == .seconds(1.2))
    #expect(genie.conninfo == "host='/run/hivesup' port='5432' user='hive' dbname='hive_genie'")
    let agent = try ServiceConfiguration(environment: [
      "HIVE_ROLE": "agent", "HIVE_RUN_DIR": "/it's", "HIVE_PG_PORT": "6000",
    ])
    #expect(agent.port == 38886)
    #expect(agent.conninfo == #"host='/it\'s' port='6000' user='agent' dbname='hive_agent'"#)
  }

  /// The drain, the answers to what is cancelled at its end, and closing (half a second at most) end before PID 1 loses its patience.
  @Test(arguments: ["genie", "agent"]) func theDrainEndsBeforeTheStopPlanDoes(_ role: String) throws {
    let directory = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    let path = directory.appendingPathComponent("../../etc/\(role)/hivesup.conf").standardizedFileURL.path
    let text = try String(contentsOfFile: path, encoding: .utf8)
    let section = try #require(
      text.split(separator: "[program:hive-service]").last?.split(separator: "[program:").first)
    let line = try #require(section.split(separator: "\n").first { $0.hasPrefix("stopwaitsecs=") })
    let wait = try #require(Double(line.dropFirst("stopwaitsecs=".count)))
    let drain = try ServiceConfiguration(environment: ["HIVE_ROLE": role]).drainTimeout
    #expect(drain + .milliseconds(700) <= .seconds(wait))
  }

  @Test func takesURLsEvenWithADriverInThem() throws {
    #expect(try conninfo(["HIVE_DATABASE_URL": "postgresql://u:p@h/d"]) == "postgresql://u:p@h/d")
    #expect(
      try conninfo(["HIVE_DATABASE_URL": "postgresql+psycopg://hive:p+w@localhost:5432/hive_genie"])
        == "postgresql://hive:p+w@localhost:5432/hive_genie")
    #expect(try conninfo(["HIVE_DATABASE_URL": "host=/run user=a+b"]) == "host=/run user=a+b")
    #expect(try conninfo(["PGHOST": "/run"]) == "")
  }

  @Test func poolsWherePgbouncerIsOnAndTheDatabaseIsTheContainersOwn() throws {
    func configuration(_ environment: [String: String]) throws -> ServiceConfiguration {
      try ServiceConfiguration(environment: ["HIVE_ROLE": "agent", "HIVE_PG_PORT": "6000"].merging(environment) { $1 })
    }
    for word in ["true", "1", "Yes", "on"] {
      let pooled = try configuration(["HIVE_PGBOUNCER": word])
      #expect(pooled.isPooled && pooled.poolOptions.connect.sessionSettings.isEmpty)
      #expect(pooled.conninfo == "host='/run/hivesup' port='6432' user='agent' dbname='hive_agent'")
    }
    for word in ["false", "0", "no", "off", ""] {
      let direct = try configuration(["HIVE_PGBOUNCER": word])
      #expect(!direct.isPooled && direct.poolOptions.connect.sessionSettings.count == 2)
      #expect(direct.conninfo.contains("port='6000'"))
    }
    let elsewhere = try configuration(["HIVE_PGBOUNCER": "true", "HIVE_DATABASE_URL": "postgresql://h/d"])
    #expect(!elsewhere.isPooled && elsewhere.conninfo == "postgresql://h/d")
    #expect(throws: InvalidEnvironment.self) { try configuration(["HIVE_PGBOUNCER": "perhaps"]) }
  }

  @Test(arguments: [
    (["HIVE_PG_PORT": "x"], "HIVE_PG_PORT=x is not a number"), (["HIVE_PG_PORT": "0"], "HIVE_PG_PORT=0 is not"),
    (["PGHOST": "db", "PGPORT": "pg"], "PGPORT=pg is not a number"),
    (["HIVE_DATABASE_URL": "postgresql://u:horse@db/x", "PGPORT": "70000"], "PGPORT=70000 is not a number"),
    (["HIVE_DATABASE_URL": "postgresql://u:1/horse@db/x", "PGPORT": "70000"], "HIVE_DATABASE_URL is not as libpq"),
  ])
  func aPortIsBlamedByItsName(_ extra: [String: String], _ problem: String) {
    let error = #expect(throws: InvalidEnvironment.self) {
      try ServiceConfiguration(environment: ["HIVE_ROLE": "genie"].merging(extra) { $1 })
    }
    #expect(error?.problems.count == 1 && error?.description.hasPrefix(problem) == true, "\(error?.description ?? "")")
    #expect(error?.description.contains("horse") == false)
  }

  @Test func aPortThatIsNotUsedIsNotLookedAt() throws {
    for extra in [
      ["PGPORT": "x"], ["HIVE_PG_PORT": "x", "PGHOST": "db"], ["HIVE_PG_PORT": "x", "HIVE_PGBOUNCER": "1"],
    ] {
      _ = try ServiceConfiguration(environment: ["HIVE_ROLE": "genie"].merging(extra) { $1 })
    }
  }

  @Test func aDrainThatIsLongerThanTheStopPlanIsWarnedOf() throws {
    func warning(_ seconds: String, _ extra: [String: String] = ["HIVESUP_SOCKET": "/x"]) throws -> String? {
      try ServiceConfiguration(
        environment: ["HIVE_ROLE": "genie", "HIVE_DRAIN_SECONDS": seconds].merging(extra) { $1 }
      ).drainWarning
    }
    for seconds in ["", "0.1", "1.2", "1.3"] { #expect(try warning(seconds) == nil, "\(seconds)") }
    #expect(try warning("1.4")?.contains("HIVE_DRAIN_SECONDS=1.4 needs stopwaitsecs=2.1 for hive-service") == true)
    #expect(try warning("20")?.contains("HIVE_DRAIN_SECONDS=20 needs stopwaitsecs=20.7") == true)
    #expect(try warning("20", [:]) == nil)
    let named = try warning("5", ["HIVESUP_SOCKET": "/x", "SUPERVISOR_PROCESS_NAME": "api"])
    #expect(named?.contains("stopwaitsecs=5.7 for api ") == true)
  }

  @Test func reportsEveryProblemAtOnce() {
    let error = #expect(throws: InvalidEnvironment.self) {
      try ServiceConfiguration(environment: [
        "HIVE_ROLE": "king", "HIVE_PORT": "70000", "HIVE_POOL_SIZE": "0", "HIVE_DRAIN_SECONDS": "soon",
        "HIVE_LOG_LEVEL": "loud", "HIVE_LOG_FORMAT": "xml",
      ])
    }
    #expect(error?.problems.count == 6)
    #expect(error?.problems.first == "HIVE_ROLE=king is not one of genie, agent")
    let missing = #expect(throws: InvalidEnvironment.self) { try ServiceConfiguration(environment: [:]) }
    #expect(missing?.problems == ["HIVE_ROLE is not set: it must be one of genie, agent"])
  }
}
