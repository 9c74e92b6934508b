// Which source decides, and that every way gives the classes that the machine has.

import CPUTopology
import Testing

@Suite struct DetectionTests {
  private let sources = ["sys/devices/cpu_core/", "sys/devices/cpu_atom/", "sys/devices/cpu_lowpower/"]

  /// The seed's table: P 0,2,4,6,8,10 one per core, E 12-19, LP-E 20-21.
  @Test func theReferenceMachineIsAsItsOwnersSay() throws {
    let topology = try MachineTree(named: "meteor-lake-155h").machine.topology()
    #expect(topology.onePerCore(topology.classes.performance) == [0, 2, 4, 6, 8, 10])
    #expect(topology.classes.efficiency == CPUSet(12...19) && topology.classes.lowPower == [20, 21])
    #expect(topology.basis == .eventSources && topology.lowPowerBasis == .noL3)
  }

  /// Numbers say nothing: the same processor with other firmware.
  @Test func firmwareMayNumberAsItLikes() throws {
    let one = try MachineTree(named: "meteor-lake-155h").machine.topology()
    let other = try MachineTree(named: "meteor-lake-155h-interleaved").machine.topology()
    #expect(other.classes.performance.list == "0-1,10-19")
    for coreClass in CoreClass.allCases { #expect(one.classes[coreClass].count == other.classes[coreClass].count) }
    let turboOff = try MachineTree(named: "meteor-lake-185h").machine.topology()
    #expect(turboOff.onePerCore(turboOff.classes.performance).list == "0-1,3,6,8,10")
  }

  /// Every source alone finds the same classes of the 155H.
  @Test func everySourceFindsTheSameClasses() throws {
    let tree = try MachineTree(named: "meteor-lake-155h")
    let expected = tree.machine.topology().classes

    var elsewhere = tree.without("sys/devices/cpu_core/", "sys/devices/cpu_atom/")
    for name in ["cpu_core", "cpu_atom"] {
      elsewhere.files["sys/bus/event_source/devices/\(name)/cpus"] = tree.files["sys/devices/\(name)/cpus"]
    }
    #expect(elsewhere.machine.topology().classes == expected)

    var withLowPower = tree
    withLowPower.files["sys/devices/cpu_atom/cpus"] = Array("12-19\n".utf8)
    withLowPower.files["sys/devices/cpu_lowpower/cpus"] = Array("20-21\n".utf8)
    #expect(withLowPower.machine.topology().classes == expected)
    #expect(withLowPower.machine.topology().lowPowerBasis == .eventSource)

    var withoutCaches = tree
    withoutCaches.files = tree.files.filter { !$0.key.contains("/cache/") }
    #expect(withoutCaches.machine.topology().classes == expected)
    #expect(withoutCaches.machine.topology().lowPowerBasis == .frequency)

    let withoutSources = tree.without("sys/devices/cpu_core/", "sys/devices/cpu_atom/")
    let byFrequency = withoutSources.machine.topology()
    #expect(byFrequency.classes == expected && byFrequency.basis == .frequency)

    var asked = withoutSources.machine
    asked.coreKinds = { cpus in Dictionary(uniqueKeysWithValues: cpus.map { ($0, $0 < 12 ? .core : .atom) }) }
    #expect(asked.topology().classes == expected)
    #expect(asked.topology().basis == .cpuid && asked.topology().lowPowerBasis == .noL3)

    var capable = withoutSources
    for cpu in 0..<22 {
      let capacity = cpu < 12 ? 1024 - cpu : cpu < 20 ? 700 : 300
      capable.files["sys/devices/system/cpu/cpu\(cpu)/cpu_capacity"] = Array("\(capacity)\n".utf8)
    }
    #expect(capable.machine.topology().classes == expected && capable.machine.topology().basis == .capacity)
  }

  /// Without an L3 and without anything told about caches are two things.
  @Test func anL3OfWhichNothingIsToldIsNotMissing() throws {
    let tree = try MachineTree(named: "alder-lake-12700k")
    let expected = tree.machine.topology().classes
    var noCachesOfTheSmall = tree
    noCachesOfTheSmall.files = tree.files.filter { file in
      !(16...19).contains { file.key.hasPrefix("sys/devices/system/cpu/cpu\($0)/cache/") }
    }
    for cpu in 0..<16 {
      noCachesOfTheSmall.files["sys/devices/system/cpu/cpu\(cpu)/cache/index3/shared_cpu_list"] = Array("0-15\n".utf8)
    }
    #expect(noCachesOfTheSmall.machine.topology().classes == expected)
    var noL3 = tree
    noL3.files = tree.files.filter { !$0.key.contains("/cache/index3/") }
    #expect(noL3.machine.topology().classes == expected)
    #expect(noL3.machine.topology().lowPowerBasis == nil)
  }

  /// Guaranteed frequencies and CPPC stand in where there is no cpufreq.
  @Test func slowerSourcesOfSpeedStandIn() throws {
    var tree = try MachineTree(named: "alder-lake-12700k").without("sys/devices/cpu_core/", "sys/devices/cpu_atom/")
    let expected = CoreClasses(performance: CPUSet(0...15), efficiency: CPUSet(16...19))
    tree.files = tree.files.filter { !$0.key.hasSuffix("cpuinfo_max_freq") }
    #expect(tree.machine.topology().classes == expected)
    tree.files = tree.files.filter { !$0.key.contains("/cpufreq/") }
    #expect(tree.machine.topology().basis == .homogeneous)
    for cpu in 0..<20 {
      tree.files["sys/devices/system/cpu/cpu\(cpu)/acpi_cppc/highest_perf"] = Array(
        "\(cpu < 16 ? 64 + cpu % 4 : 41)\n".utf8)
    }
    #expect(tree.machine.topology().classes == expected)
  }

  /// Hypervisors tell frequencies of 0; a list that does not end within what is read is none.
  @Test func whatCannotBeIsNotTold() throws {
    var tree = try MachineTree(named: "vm-kvm")
    for cpu in 0...1 { tree.files["sys/devices/system/cpu/cpu\(cpu)/cpufreq/cpuinfo_max_freq"] = Array("0\n".utf8) }
    #expect(tree.machine.topology().cpus.map(\.maximumKilohertz) == [nil, nil])
    tree.files["sys/devices/system/cpu/isolated"] = Array(String(repeating: "1,", count: 40_000).utf8)
    #expect(tree.machine.topology().isolated.isEmpty)
    try tree.onDisk { root in
      #expect(Machine.files(sysfs: "\(root)/sys", procfs: nil).topology().isolated.isEmpty)
    }
  }

  @Test func favouredCoresAreNoClass() throws {
    let tree = try MachineTree(named: "amd-epyc-7313-2p")
    for step in [0, 1, 5, 10, 14] {
      var uneven = tree
      for cpu in 0..<32 {
        uneven.files["sys/devices/system/cpu/cpu\(cpu)/cpufreq/cpuinfo_max_freq"] =
          Array("\(3_729_491 * (100 - step) / 100)\n".utf8)
      }
      #expect(!uneven.machine.topology().classes.isHybrid, "\(step) %")
    }
  }

  @Test func aClassThatIsSwitchedOffInTheFirmwareIsEmpty() throws {
    var tree = try MachineTree(named: "alder-lake-12700k").without("sys/devices/cpu_atom/")
    for file in ["online", "present", "possible"] {
      tree.files["sys/devices/system/cpu/\(file)"] = Array("0-15\n".utf8)
    }
    #expect(tree.machine.topology().classes == CoreClasses(performance: CPUSet(0...15)))
    tree.files["sys/devices/cpu_atom/cpus"] = Array("\n".utf8)
    #expect(tree.machine.topology().classes == CoreClasses(performance: CPUSet(0...15)))
    #expect(tree.machine.topology().basis == .eventSources)
  }

  @Test func sourcesThatContradictThemselvesAreNotBelieved() throws {
    var tree = try MachineTree(named: "alder-lake-12700k")
    tree.files["sys/devices/cpu_atom/cpus"] = Array("14-19\n".utf8)
    let topology = tree.machine.topology()
    #expect(topology.basis == .frequency && topology.classes.efficiency == CPUSet(16...19))
    #expect(topology.notes == [.eventSourcesOverlap([14, 15])])
  }

  @Test func whatNoSourceNamesIsUnclassified() throws {
    var tree = try MachineTree(named: "alder-lake-12700k")
    tree.files["sys/devices/cpu_atom/cpus"] = Array("16-17\n".utf8)
    let topology = tree.machine.topology()
    #expect(topology.classes.unclassified == [18, 19] && topology.notes == [.unclassified([18, 19])])
    #expect(topology.placement(.any).cpus.contains(18))
    #expect(!topology.placement(.classes([.efficiency])).cpus.contains(18))
  }

  /// CPUID can be asked only where the process may run.
  @Test func cpuidOfANarrowCPUSetLeavesTheRestOpen() throws {
    var machine = try MachineTree(named: "container-cpuset-v2")
      .without("sys/devices/cpu_core/", "sys/devices/cpu_atom/").machine
    machine.coreKinds = { cpus in Dictionary(uniqueKeysWithValues: cpus.map { ($0, CoreKind.atom) }) }
    let topology = machine.topology()
    #expect(topology.classes.efficiency.list == "12-13,18")
    #expect(topology.classes.unclassified.list == "0-11,14-17,19-21")
  }

  @Test func aHiddenSysfsLeavesWhatIsAllowed() {
    let blind = Machine(files: MachineFiles { _, _ in nil }, affinity: { [1, 3] })
    let topology = blind.topology()
    #expect(topology.online == [1, 3] && topology.allowed == [1, 3] && topology.notes == [.onlineUnknown])
    #expect(topology.basis == .homogeneous && topology.placement(.classes([.lowPower])).cpus == [1, 3])
    let nothing = Machine(files: MachineFiles { _, _ in nil }, affinity: { nil }).topology()
    #expect(nothing.online.isEmpty && nothing.placement(.any).cpus.isEmpty && !nothing.lines().isEmpty)
  }

  /// The machine that runs the tests: whatever it is, what is found is true of it.
  @Test func thisMachine() throws {
    let topology = Machine.live.topology()
    let allowed = try #require(Affinity.current())
    #expect(topology.allowed.isSubset(of: allowed) && !topology.allowed.isEmpty)
    #expect(topology.cpus.map(\.id) == Array(topology.online))
    #expect(Affinity.current() == allowed)
    #expect(Machine.live.fingerprint() == Machine.live.fingerprint())
  }

  @Test func aThreadGoesWhereItIsSentAndBack() throws {
    let before = try #require(Affinity.current())
    defer { _ = Affinity.set(before) }
    for cpu in before {
      #expect(Affinity.set([cpu]) == 0)
      #expect(Affinity.current() == [cpu])
    }
    #expect(Affinity.set([]) != 0)
    #expect(Affinity.set([8191]) != 0)
    #expect(Affinity.current(of: -1) == nil)
  }
}
