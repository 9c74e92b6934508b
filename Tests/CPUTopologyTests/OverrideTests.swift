import CPUTopology
import Testing

@Suite struct OverrideTests {
  private func overrides(_ variables: [String: String], possible: CPUSet = CPUSet(0...3)) throws -> ClassOverrides {
    try ClassOverrides(possible: possible) { variables[$0] }
  }

  private func messages(_ variables: [String: String]) -> [String] {
    do throws(ClassOverrideError) {
      _ = try ClassOverrides(possible: CPUSet(0...3)) { variables[$0] }
      return []
    } catch {
      return error.messages
    }
  }

  /// What issue 4 measures with: two CPUs alike, one of each class.
  @Test func aMachineOfTwoAlikeBecomesHybrid() throws {
    let machine = try MachineTree(named: "vm-kvm").machine
    let variables = ["HIVE_CPU_PERFORMANCE": "0", "HIVE_CPU_EFFICIENCY": "1"]
    let topology = try machine.topology { variables[$0] }
    #expect(topology.classes == CoreClasses(performance: [0], efficiency: [1]) && topology.basis == .overrides)
    #expect(topology.placement(.classes([.lowPower])).cpus == [1])
    #expect(topology.notes.isEmpty)
  }

  @Test func anOverrideIsTheWholeListOfItsClass() throws {
    let machine = try MachineTree(named: "meteor-lake-155h").machine
    let topology = try machine.topology { $0 == "HIVE_CPU_PERFORMANCE" ? "0,2,4,6,8,10" : nil }
    #expect(topology.classes.performance == [0, 2, 4, 6, 8, 10])
    #expect(topology.classes.unclassified == [1, 3, 5, 7, 9, 11])
    #expect(topology.classes.efficiency == CPUSet(12...19) && topology.classes.lowPower == [20, 21])
    let moved = try machine.topology { $0 == "HIVE_CPU_EFFICIENCY" ? "0-3" : nil }
    #expect(moved.classes.performance == CPUSet(4...11) && moved.classes.efficiency == CPUSet(0...3))
    #expect(moved.classes.unclassified == CPUSet(12...19))
  }

  @Test func emptyIsNotSetAndNoneIsEmpty() throws {
    #expect(try overrides([:]).isEmpty && overrides(["HIVE_CPU_LOW_POWER": " "]).isEmpty)
    let none = try overrides(["HIVE_CPU_LOW_POWER": "none"])
    #expect(none.lowPower == [] && none.performance == nil)
    let topology = try MachineTree(named: "meteor-lake-155h").machine.topology(overrides: none)
    #expect(topology.classes.lowPower.isEmpty && topology.classes.unclassified == [20, 21])
  }

  @Test func everythingWrongIsToldAtOnce() {
    #expect(
      messages(["HIVE_CPU_PERFORMANCE": "0-2", "HIVE_CPU_EFFICIENCY": "2-9", "HIVE_CPU_LOW_POWER": "a\u{1B}b"]) == [
        "cannot use HIVE_CPU_EFFICIENCY=2-9: this machine has no CPU 4-9; its CPUs are 0-3",
        "cannot use HIVE_CPU_EFFICIENCY=2-9: CPU 2 is in HIVE_CPU_PERFORMANCE too; name each CPU once",
        "cannot read HIVE_CPU_LOW_POWER='a?b': expected a number at byte 0; write CPUs as 0-3,8 or 'none'",
      ])
    #expect(messages(["HIVE_CPU_PERFORMANCE": "0-1", "HIVE_CPU_EFFICIENCY": "2"]).isEmpty)
  }

  @Test func aCPUThatIsOfflineMayHaveAClass() throws {
    let machine = try MachineTree(named: "alder-lake-nosmt").machine
    let topology = try machine.topology { $0 == "HIVE_CPU_PERFORMANCE" ? "0-3" : nil }
    #expect(topology.classes.performance == [0, 2])
    #expect(topology.notes.first == .overriddenOffline([1, 3]))
  }
}
