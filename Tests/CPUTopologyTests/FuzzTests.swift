// Machines that nobody builds: whatever the files say, nothing traps, the classes are a partition of the CPUs online,
// and every request gets CPUs on which it may run.

import CPUTopology
import ControlProtocol
import Testing

@Suite struct FuzzTests {
  private static let trees: [MachineTree] = MachineTree.all.compactMap { try? MachineTree(named: $0) }

  /// A real machine with some files gone, some exchanged, some garbage.
  @Test func brokenMachinesFuzz() {
    for seed in FuzzSeeds(250) {
      var generator = SeededGenerator(seed: seed)
      var tree = generator.pick(Self.trees)
      let names = tree.files.keys.sorted()
      for _ in 0..<generator.below(1 + names.count / 3) {
        let name = generator.pick(names)
        switch generator.below(4) {
        case 0: tree.files[name] = nil
        case 1: tree.files[name] = tree.files[generator.pick(names)]
        case 2: tree.files[name] = Array("\(generator.set(below: 40))\n".utf8)
        default: tree.files[name] = generator.bytes(most: 60)
        }
      }
      check(tree.machine, &generator, "seed \(seed)")
    }
  }

  /// Every file has some content.
  @Test func machinesOfGarbageFuzz() {
    for seed in FuzzSeeds(250) {
      var generator = SeededGenerator(seed: seed)
      let online = generator.set(below: generator.pick([3, 70, 300]))
      let salt = generator.next()
      let files = MachineFiles { name, most in
        if name == "sys/devices/system/cpu/online", !online.isEmpty { return Array("\(online)\n".utf8) }
        var generator = SeededGenerator(seed: name.utf8.reduce(salt) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 })
        switch generator.below(6) {
        case 0: return nil
        case 1: return Array("\(generator.set(below: 300))\n".utf8)
        case 2: return Array("\(generator.next() >> UInt64(generator.below(64)))\n".utf8)
        case 3: return Array("\(generator.below(12))".utf8)
        default: return Array(generator.bytes(most: 200).prefix(most))
        }
      }
      let affinity: CPUSet? = generator.chance(30) ? nil : generator.set(below: 300)
      var machine = Machine(files: files, affinity: { affinity })
      if generator.chance(50) {
        machine.coreKinds = { cpus in
          var kinds: [Int: CoreKind] = [:]
          for cpu in cpus { kinds[cpu] = cpu % 3 == 0 ? .core : .atom }
          return kinds
        }
      }
      check(machine, &generator, "seed \(seed)")
    }
  }

  private func check(_ machine: Machine, _ generator: inout SeededGenerator, _ comment: Comment) {
    var overrides = ClassOverrides()
    if generator.chance(40) {
      let cpus = generator.set(below: 30)
      overrides.performance = cpus
      if generator.chance(50) { overrides.lowPower = generator.set(below: 30).subtracting(cpus) }
    }
    let topology = machine.topology(overrides: overrides)
    let classes = topology.classes
    let parts = CoreClass.allCases.map { classes[$0] } + [classes.unclassified]
    #expect(parts.reduce(CPUSet()) { $0.union($1) } == topology.online, comment)
    #expect(parts.reduce(0) { $0 + $1.count } == topology.online.count, comment)
    #expect(topology.cpus.map(\.id) == Array(topology.online), comment)
    #expect(topology.cores.reduce(CPUSet()) { $0.union($1) } == topology.online, comment)
    #expect(topology.cores.reduce(0) { $0 + $1.count } == topology.online.count, comment)
    #expect(topology.allowed.isSubset(of: topology.online), comment)
    #expect(topology.allowed.isEmpty == topology.online.isEmpty, comment)
    for cache in topology.caches { #expect(!cache.cpus.isEmpty && cache.cpus.isSubset(of: topology.online), comment) }

    let requests: [CPURequest] =
      [.any, .cpus(generator.set(below: 40)), .classes([])] + CoreClass.allCases.map { .classes([$0]) }
    for request in requests {
      for onePerCore in [false, true] {
        let placement = topology.placement(request, onePerCore: onePerCore)
        #expect(placement.cpus.isSubset(of: topology.allowed), comment)
        #expect(placement.cpus.isEmpty == topology.online.isEmpty, comment)
        if let coreClass = placement.coreClass {
          #expect(placement.cpus.isSubset(of: classes[coreClass]), comment)
        } else if case .classes = request {
          #expect(placement.reasons.last == .anything, comment)
        }
      }
    }

    var writer = JSONWriter()
    topology.write(to: &writer)
    #expect((try? JSONValue(parsing: writer.bytes)) != nil, comment)
    for line in topology.lines() {
      #expect(line.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F }, comment)
    }
    #expect(machine.fingerprint() == machine.fingerprint(), comment)
  }
}
