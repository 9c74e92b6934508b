import Testing

@testable import PostgresClient

struct TargetTests {
  @Test(arguments: [
    ("postgresql://hive:x@genie-postgres:5432/hive_genie", "genie-postgres:5432"),
    ("postgresql://hive:p%40ss@db/x?sslmode=require", "db:5432"), ("postgresql://[::1]:6000/x", "[::1]:6000"),
    ("postgresql://a:1,b:2/x", "a:1,b:2"), ("host='/run/x y' port=5433 user=hive", "/run/x y:5433"),
    ("host=a,b port=7", "a:7,b:7"), ("hostaddr=10.0.0.1", "10.0.0.1:5432"), ("service=main", "service main"),
    ("", "the local socket:5432"), ("host=@abstract user=hive", "@abstract:5432"),
    ("postgresql://hive:x@%40abstract/db", "@abstract:5432"),
    ("postgresql://hive@/db?host=@abstract", "@abstract:5432"), ("postgresql://hive:x@db:6000/my%40db", "db:6000"),
    ("host=db password=a@b/c dbname=my@db", "db:5432"),
  ])
  func tellsWhereAndNothingElse(_ conninfo: String, _ place: String) {
    #expect(PostgresTarget(conninfo: conninfo, environment: [:])?.description == place)
  }

  @Test func whatTheConninfoLeavesOutComesFromTheEnvironment() {
    let environment = ["PGHOST": "db", "PGPORT": "6000", "PGPASSWORD": "secret"]
    #expect(PostgresTarget(conninfo: "", environment: environment)?.description == "db:6000")
    #expect(PostgresTarget(conninfo: "host=x", environment: environment)?.description == "x:6000")
    #expect(
      PostgresTarget(conninfo: "", environment: ["PGSERVICE": "main", "PGHOST": ""])?.description == "service main")
  }

  @Test(arguments: [
    "postgresql://hive:a/b@host/x", "postgresql://hive:1/b@host/x", "host=x port=y", "postgresql://hive:a@b@host/x",
    "nonsense", "postgresql://[::1/x", "postgresql://hive:a@@b@host/x", "postgres://hi/ve:b@host/x",
    "postgresql://hive:@b@/x", "postgresql://hive:correct@horse/battery@db/x", "postgresql://hive:x@db:6000/my@db",
    "postgresql://db/my@db",
  ])
  func whatCannotBeReadIsNil(_ conninfo: String) {
    #expect(PostgresTarget(conninfo: conninfo, environment: [:]) == nil)
  }
}
