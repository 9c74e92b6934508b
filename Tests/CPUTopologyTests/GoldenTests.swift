// Every machine drawn, and as JSON, against what was looked at once and found right. HIVE_WRITE_GOLDEN=1 writes them
// anew.

import CPUTopology
import ControlProtocol
import Glibc
import Testing

@Suite struct GoldenTests {
  @Test(arguments: MachineTree.all) func everyMachineIsDrawnAsItWas(name: String) throws {
    let topology = try MachineTree(named: name).machine.topology()
    try compare("\(name).txt", topology.lines().joined(separator: "\n") + "\n")
    var writer = JSONWriter()
    topology.write(to: &writer)
    writer.endLine()
    let members = try #require(try JSONValue(parsing: writer.bytes).members)
    #expect(Set(members.map(\.name)).count == members.count)
    try compare("\(name).json", writer.text)
  }

  /// What is in memory and what is on a disk are read alike.
  @Test(arguments: MachineTree.all) func aDirectoryTellsTheSame(name: String) throws {
    let tree = try MachineTree(named: name)
    try tree.onDisk { root in
      let machine = Machine.files(sysfs: "\(root)/sys", procfs: "\(root)/proc")
      #expect(machine.topology() == tree.machine.topology())
      #expect(machine.fingerprint() == tree.machine.fingerprint())
    }
  }

  @Test func thereIsATreeOfEveryKind() {
    #expect(MachineTree.all.count >= 16)
  }

  private func compare(_ name: String, _ text: String) throws {
    let path = "\(MachineTree.directory)/\(name)"
    if getenv("HIVE_WRITE_GOLDEN") != nil {
      let file = try #require(fopen(path, "w"))
      fputs(text, file)
      fclose(file)
    }
    let golden = try #require(MachineTree.read(path), "no \(name): run with HIVE_WRITE_GOLDEN=1 and look at it")
    #expect(text == golden, "\(name)")
  }
}
