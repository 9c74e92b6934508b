import CPUTopology
import Testing

@Suite struct CPUSetTests {
  /// Lists as the kernel writes them, each with its mask.
  @Test func listsAndMasksOfTheKernel() throws {
    let cases: [(list: String, mask: String, cpus: [Int])] = [
      ("", "0", []), ("0", "1", [0]), ("0-1", "3", [0, 1]), ("0-3,8", "10f", [0, 1, 2, 3, 8]),
      ("31-32", "1,80000000", [31, 32]), ("0-39", "ff,ffffffff", Array(0..<40)),
      ("63-64", "1,80000000,00000000", [63, 64]),
      ("0,2,4,6", "55", [0, 2, 4, 6]), ("8191", "80000000," + repeated("00000000", 255), [8191]),
    ]
    for (list, mask, cpus) in cases {
      let set = CPUSet(cpus)
      #expect(set.list == list)
      #expect(set.mask == mask)
      #expect(try CPUSet(list: list) == set)
      #expect(try CPUSet(list: list + "\n") == set)
      #expect(try CPUSet(mask: mask + "\n") == set)
      #expect(Array(set) == cpus)
      #expect(set.first == cpus.first && set.last == cpus.last && set.count == cpus.count)
    }
  }

  private func repeated(_ text: String, _ count: Int) -> String {
    Array(repeating: text, count: count).joined(separator: ",")
  }

  /// What the kernel accepts and never writes.
  @Test func listsOfPeople() throws {
    #expect(try CPUSet(list: " 0, 2 ,4-5 ").list == "0,2,4-5")
    #expect(try CPUSet(list: "3,1,2,2").list == "1-3")
    #expect(try CPUSet(list: "0-15:2/4").list == "0-1,4-5,8-9,12-13")
    #expect(try CPUSet(list: "0-6:1/2").list == "0,2,4,6")
    #expect(try CPUSet(list: "4-9:3/3").list == "4-9")
    #expect(try CPUSet(list: "0-4:1/99999999999999999999").list == "0")
    #expect(try CPUSet(mask: "0000000f").list == "0-3")
    #expect(try CPUSet(mask: "F,0").list == "32-35")
  }

  @Test func whatIsNoListIsRefusedWithItsPlace() {
    let cases: [(String, Int, String)] = [
      ("x", 0, "expected a number"), ("0-", 2, "expected a number"), ("-3", 0, "expected a number"),
      ("5-3", 0, "the range 5-3 goes down"), ("0-3x", 3, "expected a comma"), ("1,8192", 2, "a CPU beyond 8191"),
      ("0-99999999999999999999", 2, "a CPU beyond 8191"), ("0-3:0/2", 4, "0 of every 2 is no group"),
      ("0-3:3/2", 4, "3 of every 2 is no group"), ("0-3:1", 5, "expected '/' and the size of a group"),
      ("0-3:1/0", 4, "1 of every 0 is no group"), ("0.5", 1, "expected a comma"), ("0x3", 1, "expected a comma"),
    ]
    for (text, offset, reason) in cases {
      #expect(throws: CPUSetError(offset: offset, reason: reason), "\(text)") { try CPUSet(list: text) }
    }
    for text in ["", ",", "1,", ",1", "123456789", "0x1", "g", "1,,2"] {
      #expect(throws: CPUSetError.self, "\(text)") { try CPUSet(mask: text) }
    }
    let far = "1" + String(repeating: ",00000000", count: 256)
    #expect(throws: CPUSetError.self) { try CPUSet(mask: far) }
    #expect(throws: Never.self) { try CPUSet(mask: "0" + far.dropFirst()) }
  }

  /// Against Swift's own sets, on sets of every shape.
  @Test func operationsAreThoseOfSets() throws {
    for seed in FuzzSeeds(400) {
      var generator = SeededGenerator(seed: seed)
      let limit = generator.pick([4, 64, 65, 200, CPUSet.capacity])
      let (a, b) = (generator.set(below: limit), generator.set(below: limit))
      let (x, y) = (Set(a), Set(b))
      #expect(Set(a.union(b)) == x.union(y), "seed \(seed)")
      #expect(Set(a.intersection(b)) == x.intersection(y), "seed \(seed)")
      #expect(Set(a.subtracting(b)) == x.subtracting(y), "seed \(seed)")
      #expect(a.isSubset(of: b) == x.isSubset(of: y) && a.isDisjoint(with: b) == x.isDisjoint(with: y), "seed \(seed)")
      #expect((a == b) == (x == y) && a.count == x.count && a.isEmpty == x.isEmpty, "seed \(seed)")
      #expect(a.first == x.min() && a.last == x.max() && Array(a) == x.sorted(), "seed \(seed)")
      #expect(try CPUSet(list: a.list) == a && CPUSet(mask: a.mask) == a, "seed \(seed)")
      #expect(CPUSet(words: a.words) == a && CPUSet(x) == a, "seed \(seed)")
      var one = CPUSet(x)
      let cpu = generator.below(limit)
      #expect(a.contains(cpu) == x.contains(cpu), "seed \(seed)")
      one.remove(cpu)
      #expect(Set(one) == x.subtracting([cpu]), "seed \(seed)")
      one.insert(cpu)
      #expect(Set(one) == x.union([cpu]), "seed \(seed)")
    }
  }

  @Test func whatNoSetCanHoldIsLeftOut() {
    var set = CPUSet([-1, 3, CPUSet.capacity, Int.max, Int.min])
    #expect(set.list == "3")
    #expect(!set.insert(-1) && !set.insert(CPUSet.capacity))
    set.remove(-7)
    set.remove(Int.max)
    set.insert(Int.min...1)
    set.insert(8190...Int.max)
    #expect(set.list == "0-1,3,8190-8191")
    #expect(!set.contains(-1) && !set.contains(Int.max))
    #expect(CPUSet(words: repeatElement(UInt64.max, count: 1000)).count == CPUSet.capacity)
  }

  @Test func garbageIsRefusedOrReadButNeverTrapsFuzz() {
    for seed in FuzzSeeds(3000) {
      var generator = SeededGenerator(seed: seed)
      let bytes = generator.bytes(most: 40)
      if let set = try? CPUSet(list: bytes) { #expect((try? CPUSet(list: set.list)) == set, "seed \(seed)") }
      if let set = try? CPUSet(mask: bytes) { #expect((try? CPUSet(mask: set.mask)) == set, "seed \(seed)") }
    }
  }
}
