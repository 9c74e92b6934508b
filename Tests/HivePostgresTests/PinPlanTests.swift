// Titles, settings and plans: what is pure of the pinning.

import CPUTopology
import ControlProtocol
import Glibc
import Testing

@testable import HivePostgresCore

/// The machines of Tests/CPUTopologyTests/Trees, as their drawings in JSON have them.
enum Machines {
  static let names: [String] = {
    ((try? FileSystem.list(directory)) ?? []).filter { $0.hasSuffix(".json") }.map { String($0.dropLast(5)) }
  }()

  private static var directory: String {
    var here = Path.parent(Path.absolute(#filePath, from: ProcessEnvironment.workingDirectory))
    here = ProcessTable.realPath(here) ?? here
    return Path.join(Path.parent(here), "CPUTopologyTests/Trees")
  }

  static func topology(_ name: String) throws -> Topology {
    let json = try JSONValue(parsing: try #require(try FileSystem.read(Path.join(directory, "\(name).json"))))
    func list(_ value: JSONValue?) throws -> CPUSet { try CPUSet(list: value?.string ?? "") }
    var topology = Topology(online: try list(json["online"]))
    topology.isolated = try list(json["isolated"])
    topology.allowance.affinity = try list(json["allowed"])
    var classes = CoreClasses(unclassified: try list(json["unclassified"]))
    for one in json["classes"]?.array ?? [] {
      let coreClass = try #require(one["class"]?.string.flatMap(CoreClass.init(rawValue:)))
      classes[coreClass] = try list(one["cpus"])
    }
    topology.classes = classes
    for one in json["cpus"]?.array ?? [] {
      let number = try #require(one["cpu"]?.int.flatMap { Int(exactly: $0) })
      let index = try #require(topology.cpus.firstIndex { $0.id == number })
      topology.cpus[index].siblings = try list(one["siblings"])
    }
    return topology
  }
}

@Suite struct ServerRoleTests {
  /// Titles of PostgreSQL 13 to 18, without "postgres: ".
  static let titles: [(String, ServerRole)] = [
    ("checkpointer ", .checkpointer), ("checkpointer performing shutdown checkpoint", .checkpointer),
    ("background writer ", .backgroundWriter), ("walwriter ", .walWriter),
    ("autovacuum launcher ", .autovacuumLauncher), ("autovacuum worker hive_genie", .autovacuumWorker),
    ("autovacuum worker ", .autovacuumWorker), ("autovacuum worker [local]", .autovacuumWorker),
    ("logical replication launcher ", .logicalLauncher),
    ("logical replication worker for subscription 16394 ", .logicalWorker),
    ("logical replication apply worker for subscription 16394 ", .logicalWorker),
    ("logical replication parallel apply worker for subscription 16394 ", .logicalWorker),
    ("logical replication tablesync worker for subscription 16394 sync 16385 ", .logicalWorker),
    ("slotsync worker ", .slotSynchroniser),
    ("archiver ", .archiver), ("archiver last was 000000010000000000000001", .archiver),
    ("archiver archiving 000000010000000000000002", .archiver),
    ("startup recovering 000000010000000000000003", .startup),
    ("startup waiting for 000000010000000000000004", .startup),
    ("logger ", .logger), ("stats collector ", .statisticsCollector), ("walsummarizer ", .walSummarizer),
    ("io worker 0", .ioWorker), ("io worker 12", .ioWorker),
    ("walreceiver streaming 0/3000148", .walReceiver),
    ("walsender replica 10.0.0.7(51234) streaming 0/3000148", .walSender),
    ("walsender hive hive_genie [local] idle", .walSender),
    ("walsender hive [local] sending backup \"pg_basebackup base backup\"", .walSender),
    ("parallel worker for PID 11048 ", .parallelWorker),
    ("hive hive_genie [local] SELECT", .backend), ("hive hive_genie [local] idle in transaction", .backend),
    ("hive hive_genie 127.0.0.1(54321) authentication", .backend), ("hive hive_genie ::1(54321) INSERT", .backend),
    ("hive hive_genie db.example(54321) VACUUM", .backend),
    // Names that are chosen to be mistaken.
    ("autovacuum worker [local] idle", .backend), ("walwriter walwriter [local] SELECT", .backend),
    ("x: checkpointer postgres [local] idle", .backend), ("archiver last 10.0.0.1(1) idle", .backend),
    ("TimescaleDB Background Worker Launcher ", .other), ("pg_cron launcher ", .other), ("vector [local]", .other),
  ]

  @Test(arguments: ["", "main: ", "a: b: ", "[local]: ", "walwriter's: "])
  func isReadFromTheTitle(cluster: String) {
    for (text, role) in Self.titles {
      for title in ["postgres: \(cluster)\(text)", "postgres: \(cluster)\(text)   "] {
        #expect(ServerRole(title: title) == role, "\(title)")
      }
    }
  }

  @Test(arguments: [
    "", "postgres", "/usr/lib/postgresql/16/bin/postgres -D /v/pgdata", "/x/postgres: checkpointer", "postgres:",
    "postgres: ", "sh -c cp %p /backup",
  ])
  func isNotKnownBeforeTheTitleIs(title: String) { #expect(ServerRole(title: title) == nil) }

  @Test func anyBytesAreReadWithoutATrap() {
    var state: UInt64 = 7
    let alphabet = Array("postgres: [local](1) walsender io ".unicodeScalars)
    for _ in 0..<20_000 {
      var title = "postgres: "
      for _ in 0..<Int.random(in: 0...24) {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        title.unicodeScalars.append(alphabet[Int(state >> 33) % alphabet.count])
      }
      _ = ServerRole(title: title)
    }
  }
}

@Suite struct PinSettingsTests {
  @Test func readsEveryRoleAndPlace() throws {
    var environment = [
      "HIVE_PG_PIN": "off", "HIVE_PG_PIN_SMT": "one-per-core", "HIVE_PG_PINS": "x", "HIVE_PG_PIN_LOGGER": "",
    ]
    environment["HIVE_PG_PIN_BACKENDS"] = "performance"
    environment["HIVE_PG_PIN_WALWRITER"] = "8"
    environment["HIVE_PG_PIN_AUTOVACUUM"] = "low-power, efficiency"
    environment["HIVE_PG_PIN_CHECKPOINTER"] = "0-3,8"
    environment["HIVE_PG_PIN_ARCHIVER"] = "any"
    environment["HIVE_PG_PIN_STARTUP"] = "backends"
    let settings = try PinSettings(environment: environment)
    #expect(settings.profile == .off && settings.onePerCore)
    #expect(
      settings.overrides == [
        .backends: .classes([.performance]), .walWriter: .cpus([8]), .autovacuum: .classes([.lowPower, .efficiency]),
        .checkpointer: .cpus([0, 1, 2, 3, 8]), .archiver: .any, .startup: .asBackends,
      ])
    #expect(try PinSettings(environment: [:]) == PinSettings())
    for group in PinGroup.allCases {
      #expect(try PinSettings(environment: [group.variable: "1"]).overrides == [group: .cpus([1])])
    }
  }

  @Test(arguments: [
    ("HIVE_PG_PIN", "on", "there is no such profile; give one of off, by-class, meteor-lake"),
    ("HIVE_PG_PIN_SMT", "2", "neither all nor one-per-core"),
    ("HIVE_PG_PIN_BACKEND", "0", "there is no such role; the roles are BACKENDS"),
    ("HIVE_PG_PIN_BACKENDS", "fast", "neither a core class nor a list of CPUs; give for example performance"),
    ("HIVE_PG_PIN_BACKENDS", "backends", "neither a core class"),
    ("HIVE_PG_PIN_WALWRITER", "performance,8", "neither a core class"),
    ("HIVE_PG_PIN_WALWRITER", "8-", "expected a number at byte 2; write CPUs as 0-3,8"),
    ("HIVE_PG_PIN_WALWRITER", "9999", "a CPU beyond 8191"),
    ("HIVE_PG_PIN_WALWRITER", ",", "neither a core class"),
  ])
  func refusesWhatCannotBeMeant(name: String, value: String, message: String) {
    let failure = #expect(throws: Failure.self) { try PinSettings(environment: [name: value]) }
    #expect(failure?.description.contains(message) == true, "\(String(describing: failure))")
    #expect(failure?.message.hasPrefix("cannot use \(name)") == true)
  }
}

@Suite struct PinPlanTests {
  private func settings(_ profile: PinProfile?, _ overrides: [PinGroup: PinWish] = [:]) -> PinSettings {
    var settings = PinSettings()
    settings.profile = profile
    settings.overrides = overrides
    return settings
  }

  private func cpus(_ plan: PinPlan, _ group: PinGroup) -> String { plan[group].placement.cpus.list }

  /// Seed 000's table, row by row.
  @Test(arguments: [
    ("meteor-lake-155h", ["0,2,4,6", "8", "10", "12-15", "16", "20"]),
    // Other numbers on the same cores.
    ("meteor-lake-155h-interleaved", ["0,10,12,14", "16", "18", "2-5", "6", "20"]),
    // Siblings are 0+5, 1+2, 3+4: the table's numbers are six cores here as well.
    ("meteor-lake-185h", ["0,2,4,6", "8", "10", "12-15", "16", "20"]),
    // Without SMT every number is a core.
    ("arrow-lake-255h", ["0-3", "4", "5", "6-9", "10", "14"]),
  ])
  func meteorLakeIsTheTable(machine: String, rows: [String]) throws {
    let topology = try Machines.topology(machine)
    let plan = PinPlan(settings(.meteorLake), topology, .normal)
    let primary: [PinGroup] = [.backends, .parallelWorkers, .logicalWorkers, .startup, .ioWorkers, .others]
    let groups: [[PinGroup]] = [
      primary, [.walWriter, .replication], [.backgroundWriter, .checkpointer], [.autovacuum, .archiver],
      [.logicalLauncher, .logger], [.monitor],
    ]
    #expect(Set(groups.joined()) == Set(PinGroup.allCases))
    for (row, groups) in zip(rows, groups) {
      for group in groups { #expect(cpus(plan, group) == row, "\(group)") }
    }
    // One thread of each core, and of the row's class.
    for group in PinGroup.allCases {
      let one = plan[group].placement.cpus
      #expect(topology.onePerCore(one).count == one.count)
      #expect(Set(one.compactMap { topology.classes.of($0) }).count == 1)
      #expect(plan[group].explanation.isEmpty)
    }
  }

  /// In .env as in the shell: whatever the programs read of cores and heat, both compose files hand on, and the page of variables has.
  @Test(arguments: ["genie", "agent"]) func theComposeFilesHandEveryVariableOn(_ role: String) throws {
    let compose = try #require(try FileSystem.readText(Path.join(Sandbox.etc(role), "compose.yaml")))
    let root = Path.parent(Path.parent(Sandbox.etc(role)))
    let page = try #require(try FileSystem.readText(Path.join(root, "docs/environment.md")))
    let names =
      PinGroup.allCases.map(\.variable) + [
        PinSettings.variable, PinSettings.variable + "_SMT", "THERMAL_THRESHOLD_WARNING", "THERMAL_THRESHOLD_CRITICAL",
        "THERMAL_HYSTERESIS_WARNING", "THERMAL_HYSTERESIS_CRITICAL", "HIVE_HOT_REQUESTS",
      ]
    for name in names {
      #expect(compose.contains("\n      \(name): ${\(name):-}\n"), "\(name)")
      #expect(page.contains("`\(name)`"), "\(name)")
    }
    // As it is then when nothing is set: every one of them empty.
    let empty = Dictionary(uniqueKeysWithValues: names.map { ($0, "") })
    #expect(try PinSettings(environment: empty) == PinSettings())
    #expect(try ThermalThresholds(environment: empty) == ThermalThresholds())
  }

  /// docs/cpu-classes.md says what the code does: every group has a row, with what both profiles ask for.
  @Test func theDocumentedTableIsThePlans() throws {
    let root = Path.parent(Path.parent(Sandbox.etc("genie")))
    let text = try #require(try FileSystem.readText(Path.join(root, "docs/cpu-classes.md")))
    let topology = try Machines.topology("meteor-lake-155h")
    let byClass = PinPlan(settings(.byClass), topology, .normal)
    let table = PinPlan(settings(.meteorLake), topology, .normal)
    let rows = text.split(separator: "\n").map { $0.split(separator: "|").map { $0.filter { $0 != "`" && $0 != " " } } }
    for group in PinGroup.allCases {
      let row = rows.first { $0.count == 4 && $0[1] == group.variable }
      #expect(row?[2] == byClass[group].wish.text && row?[3] == table[group].wish.text, "\(group)")
    }
  }

  @Test func meteorLakeOnAnotherMachineIsByClass() throws {
    for name in ["alder-lake-12700k", "lunar-lake-258v", "rk3588", "vm-kvm", "amd-epyc-7313-2p"] {
      let topology = try Machines.topology(name)
      let table = PinPlan(settings(.meteorLake), topology, .normal)
      let byClass = PinPlan(settings(.byClass), topology, .normal)
      for group in PinGroup.allCases {
        #expect(table[group].placement.cpus == byClass[group].placement.cpus, "\(name) \(group)")
      }
    }
  }

  /// A seat that is not allowed here falls to its class, and says so.
  @Test func aSeatThatIsTakenFallsToItsClass() throws {
    var topology = try Machines.topology("meteor-lake-155h")
    topology.allowance.affinity = try CPUSet(list: "0-3,13,17")
    let plan = PinPlan(settings(.meteorLake), topology, .normal)
    #expect(cpus(plan, .backends) == "0,2" && cpus(plan, .autovacuum) == "13")
    #expect(cpus(plan, .walWriter) == "0-3" && cpus(plan, .logger) == "13,17" && cpus(plan, .monitor) == "13,17")
    #expect(plan[.walWriter].explanation.contains("CPU 8 is not there or not allowed here"))
  }

  @Test func byClassOnEveryMachine() throws {
    #expect(Machines.names.count >= 16)
    for name in Machines.names {
      let topology = try Machines.topology(name)
      for state in ThermalState.allCases {
        let plan = PinPlan(settings(.byClass), topology, state)
        for group in PinGroup.allCases {
          let placement = plan[group].placement
          #expect(!placement.cpus.isEmpty && placement.cpus.isSubset(of: topology.allowed), "\(name) \(group)")
          if !topology.classes.isHybrid { #expect(placement.cpus == topology.schedulable && !plan[group].isMoved) }
        }
        #expect(plan[.others].placement.cpus == plan[.backends].placement.cpus)
      }
    }
    let plan = PinPlan(settings(.byClass), try Machines.topology("rk3588"), .normal)
    #expect(cpus(plan, .backends) == "4-7" && cpus(plan, .autovacuum) == "0-3" && cpus(plan, .monitor) == "0-3")
  }

  @Test func theMachineDecidesWhatHoldsWithoutAProfile() throws {
    let hybrid = try Machines.topology("alder-lake-12700k")
    let plain = try Machines.topology("vm-kvm")
    #expect(settings(nil).profile(on: hybrid) == .byClass && settings(nil).isOn(hybrid))
    #expect(settings(nil).profile(on: plain) == .off && !settings(nil).isOn(plain))
    #expect(!settings(.off).isOn(hybrid))
    #expect(settings(nil, [.walWriter: .cpus([1])]).isOn(plain))
    // One override alone leaves all others where they may be.
    let plan = PinPlan(settings(nil, [.walWriter: .cpus([1])]), plain, .critical)
    #expect(cpus(plan, .walWriter) == "1" && cpus(plan, .backends) == plain.allowed.list)
  }

  @Test func overridesStandAboveTheProfile() throws {
    let topology = try Machines.topology("meteor-lake-155h")
    var wanted = settings(
      .meteorLake, [.backends: .classes([.efficiency]), .walWriter: .cpus([20, 21]), .others: .any])
    var plan = PinPlan(wanted, topology, .normal)
    #expect(cpus(plan, .backends) == "12-19" && cpus(plan, .walWriter) == "20-21" && cpus(plan, .others) == "0-21")
    #expect(cpus(plan, .checkpointer) == "10")
    wanted = settings(.byClass)
    wanted.onePerCore = true
    plan = PinPlan(wanted, topology, .normal)
    #expect(cpus(plan, .backends) == "0,2,4,6,8,10" && cpus(plan, .autovacuum) == "12-19")
  }

  @Test func heatMovesStepByStep() throws {
    let topology = try Machines.topology("meteor-lake-155h")
    let wanted = settings(.byClass, [.autovacuum: .classes([.performance]), .parallelWorkers: .any])
    let normal = PinPlan(wanted, topology, .normal)
    #expect(cpus(normal, .autovacuum) == "0-11" && cpus(normal, .backends) == "0-11")
    let warning = PinPlan(wanted, topology, .warning)
    #expect(cpus(warning, .autovacuum) == "12-19" && warning[.autovacuum].isMoved)
    #expect(cpus(warning, .backends) == "0-11" && !warning[.backends].isMoved)
    let critical = PinPlan(wanted, topology, .critical)
    for group in [PinGroup.backends, .others, .logicalWorkers, .ioWorkers, .autovacuum, .archiver] {
      #expect(cpus(critical, group) == "12-19", "\(group)")
    }
    // Those that everybody waits for stay, and so does what was to run anywhere.
    for group in [PinGroup.walWriter, .replication, .checkpointer, .backgroundWriter, .startup] {
      #expect(cpus(critical, group) == "0-11" && !critical[group].isMoved, "\(group)")
    }
    #expect(cpus(critical, .parallelWorkers) == "0-21")
    // What is on efficient cores already stays on those it has.
    let table = PinPlan(settings(.meteorLake), topology, .critical)
    #expect(cpus(table, .autovacuum) == "12-15" && !table[.autovacuum].isMoved && cpus(table, .backends) == "12-19")
    #expect(PinPlan(wanted, topology, .normal) == normal)
    // No efficient core may be used: nothing moves.
    var narrow = topology
    narrow.allowance.affinity = [0, 1, 2]
    #expect(cpus(PinPlan(wanted, narrow, .critical), .backends) == "0-2")
    #expect(!PinPlan(wanted, narrow, .critical)[.backends].isMoved)
  }
}
