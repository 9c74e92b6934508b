// Files of the shapes that people really have (Fixtures/realworld): they load, and mean what their authors meant.

import SupervisorCore
import Testing

@testable import SupervisorConfig

@Suite("Files as they are out there")
struct RealWorldTests {
  private func load(_ name: String) throws -> ConfigurationResult {
    var world = VirtualWorld()
    world.files["/conf/supervisord.conf"] = try Fixtures.bytes("realworld/\(name).conf")
    world.directories.formUnion([
      "/var/log/supervisor", "/var/run", "/run", "/var/log/postgresql", "/etc/supervisor/conf.d",
    ])
    world.users += ["www-data", "postgres"].map { UserRecord(name: $0, userID: 33, groupID: 33, home: "/var/www") }
    world.environment += [("LOGLEVEL", "warn"), ("POSTGRES_PASSWORD", "s%ecret, \u{20AC}")]
    world.files["/etc/supervisor/conf.d/b.conf"] = Array("[program:b]\ncommand=%(here)s/b\n".utf8)
    world.files["/etc/supervisor/conf.d/a.conf"] = Array("[program:a]\ncommand=/bin/a -x\ndirectory=/tmp\n".utf8)
    return world.load()
  }

  @Test func debiansDefault() throws {
    let result = try load("debian-default")
    let spec = try #require(result.spec, "\(result.diagnostics)")
    #expect(spec.log.file == "/var/log/supervisor/supervisord.log")
    #expect(spec.pidfile == "/var/run/supervisord.pid")
    #expect(spec.childLogDirectory == "/var/log/supervisor")
    #expect(spec.programs.map(\.execution.arguments) == [["/bin/a", "-x"], ["/etc/supervisor/conf.d/b"]])
    #expect(spec.programs.map(\.origin.file) == ["/etc/supervisor/conf.d/a.conf", "/etc/supervisor/conf.d/b.conf"])
    #expect(result.warnings.map(\.section) == ["rpcinterface:supervisor"])
  }

  @Test func laravelsWorkers() throws {
    let result = try load("laravel-worker")
    let spec = try #require(result.spec, "\(result.diagnostics)")
    #expect(result.warnings == [])
    #expect(spec.log.file == nil)
    #expect(spec.user == "root")
    #expect(spec.programs.prefix(2).map(\.name) == ["php-fpm", "nginx"])
    #expect(spec.programs[1].execution.arguments == ["nginx", "-g", "daemon off;"])
    let workers = spec.programs.filter { $0.program == "laravel-worker" }
    #expect(workers.map(\.namespec) == (0..<8).map { "laravel-worker:laravel-worker_0\($0)" })
    #expect(
      workers.allSatisfy {
        $0.stopPlan == [StopStep(signal: 15, wait: .seconds(3600))] && $0.stopasgroup && $0.killasgroup
      })
    #expect(workers.allSatisfy { $0.stdout.sink == .file("/var/log/worker.log") && $0.stderr.sink == .discard })
    let scheduler = try #require(spec.programs.first { $0.name == "laravel-scheduler" })
    #expect(scheduler.execution.arguments.count == 3)
    #expect(scheduler.execution.environment.contains(EnvironmentEntry("DB_PASSWORD", "p%ss, w'rd")))
  }

  @Test func aDatabaseWithEverythingInFrontOfIt() throws {
    let result = try load("all-in-one")
    let spec = try #require(result.spec, "\(result.diagnostics)")
    #expect(result.warnings == [])
    #expect(spec.log.level == .warn)
    #expect(spec.programs.map(\.namespec) == ["postgresql", "services:gotrue", "services:kong", "services:postgrest"])
    let postgres = spec.programs[0]
    #expect(postgres.stopPlan == [StopStep(signal: 2, wait: .seconds(10))])
    #expect(postgres.startretries == 1000)
    #expect(postgres.autorestart == .always)
    #expect(postgres.execution.environment.contains(EnvironmentEntry("POSTGRES_PASSWORD", "s%ecret, \u{20AC}")))
    #expect(postgres.execution.environment.contains(EnvironmentEntry("PGDATA", "/var/lib/postgresql/data")))
    #expect(spec.programs[1].exitcodes == [0, 3])
    #expect(
      spec.programs[2].execution.environment.contains(EnvironmentEntry("KONG_PROXY_LISTEN", "0.0.0.0:8000, [::]:8000")))
    #expect(spec.programs[2].execution.umask == 0o027)
    #expect(spec.programs[3].startsecs == 0)
    #expect(
      spec.programs[3].execution.arguments.last?.hasSuffix("exec /opt/postgrest /etc/postgrest/merged.conf") == true)
  }
}
