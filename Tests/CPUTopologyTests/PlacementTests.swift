import CPUTopology
import Testing

@Suite struct PlacementTests {
  private func machine(_ name: String) throws -> Topology { try MachineTree(named: name).machine.topology() }

  @Test func aClassIsItsCPUsThatAreAllowed() throws {
    let topology = try machine("container-cpuset-v2")
    #expect(
      topology.placement(.classes([.efficiency]))
        == Placement(
          request: .classes([.efficiency]), cpus: [12, 13, 18], coreClass: .efficiency,
          reasons: [.partlyNotAllowed([14, 15, 16, 17, 19])]))
    #expect(try machine("meteor-lake-155h").placement(.classes([.efficiency])).reasons.isEmpty)
  }

  @Test func anEmptyClassFallsToTheNextAndSaysSo() throws {
    let alder = try machine("alder-lake-12700k").placement(.classes([.lowPower]))
    #expect(alder.cpus == CPUSet(16...19) && alder.coreClass == .efficiency)
    #expect(alder.explanation == "no CPU is low-power; falls to efficiency")
    let container = try machine("container-cpuset-v2").placement(.classes([.lowPower, .performance]))
    #expect(container.coreClass == .efficiency)
    #expect(
      container.reasons == [
        .notAllowed(.lowPower, [20, 21]), .notAllowed(.performance, CPUSet(0...11)), .standIn(.efficiency),
        .partlyNotAllowed([14, 15, 16, 17, 19]),
      ])
  }

  /// The order that was asked for counts before the order of the stand-ins.
  @Test func theFirstOfSeveralClassesThatIsThere() throws {
    let alder = try machine("alder-lake-12700k")
    #expect(alder.placement(.classes([.lowPower, .performance])).coreClass == .performance)
    #expect(alder.placement(.classes([.efficiency, .performance])).coreClass == .efficiency)
    let empty = alder.placement(.classes([]))
    #expect(empty.cpus == alder.allowed && empty.reasons == [.anything])
  }

  @Test func onlyUnclassifiedCPUsAreBetterThanNone() throws {
    var tree = try MachineTree(named: "alder-lake-12700k")
    tree.files["sys/devices/cpu_atom/cpus"] = Array("16-17\n".utf8)
    var machine = tree.machine
    machine.affinity = { [18, 19] }
    tree.files["sys/fs/cgroup/cpuset.cpus.effective"] = nil
    machine.files = tree.machine.files
    let placement = machine.topology().placement(.classes([.performance]))
    #expect(placement.cpus == [18, 19] && placement.coreClass == nil && placement.reasons.last == .anything)
  }

  @Test func cpusByNumber() throws {
    let topology = try machine("container-cpuset-v1")
    #expect(topology.placement(.cpus([1, 2])).cpus == [1, 2])
    #expect(topology.placement(.cpus([3, 4])).cpus == [3])
    #expect(topology.placement(.cpus([3, 4])).reasons == [.partlyNotAllowed([4])])
    let none = topology.placement(.cpus([90]))
    #expect(none.cpus == CPUSet(0...3) && none.reasons == [.noneAllowed([90]), .anything])
  }

  @Test func isolatedCPUsAreForThoseWhoNameThem() throws {
    let topology = try machine("alder-lake-isolated")
    #expect(topology.placement(.any).cpus.list == "0-3,8-15")
    #expect(topology.placement(.cpus([4, 5])).cpus == [4, 5])
    #expect(topology.placement(.classes([.efficiency])).reasons.first == .classIsolated(.efficiency, CPUSet(16...19)))
    var machine = try MachineTree(named: "alder-lake-isolated").machine
    machine.affinity = { [4, 5] }
    #expect(machine.topology().placement(.classes([.performance])).cpus == [4, 5])
  }

  @Test func onePerCoreTakesTheLowestThatIsAllowed() throws {
    #expect(
      try machine("meteor-lake-155h").placement(.classes([.performance]), onePerCore: true).cpus == [0, 2, 4, 6, 8, 10])
    #expect(try machine("container-cpuset-v1").placement(.any, onePerCore: true).cpus == [0, 2])
    var siblings = try MachineTree(named: "alder-lake-12700k").machine
    siblings.affinity = { [1, 2, 3] }
    #expect(siblings.topology().placement(.any, onePerCore: true).cpus == [1, 2])
  }
}
