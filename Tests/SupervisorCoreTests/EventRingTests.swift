import Testing

@testable import SupervisorCore

struct EventRingTests {
  private func record(_ text: String) -> EventRecord {
    EventRecord(
      seq: 0, moment: moment(0), program: nil, namespec: "", from: nil, to: nil, pid: 0, tries: 0, cause: .text(text))
  }

  @Test func itKeepsTheLastOnes() {
    for capacity in [-1, 0, 1, 2, 3, 7] {
      var ring = EventRing(capacity: capacity)
      let kept = max(1, capacity)
      #expect(ring.records().isEmpty && ring.newest == 0 && ring.oldest == 0)
      for number in 1...20 {
        #expect(ring.append(record("\(number)")).seq == UInt64(number))
        let expected = Array(max(1, number - kept + 1)...number)
        #expect(ring.records().map(\.cause) == expected.map { .text("\($0)") })
        #expect(ring.oldest == UInt64(expected[0]) && ring.newest == UInt64(number) && ring.count == expected.count)
        for after in 0...22 {
          #expect(ring.records(after: UInt64(after)).map(\.seq) == expected.filter { $0 > after }.map { UInt64($0) })
          #expect(
            ring.records(after: UInt64(after), limit: 2).map(\.seq)
              == expected.filter { $0 > after }.suffix(2).map { UInt64($0) })
        }
      }
      #expect(ring.records(after: .max).isEmpty && ring.records(limit: 0).isEmpty)
    }
  }

  @Test func aNewCapacityKeepsTheNewest() {
    for (before, after) in [(5, 3), (3, 5), (4, 4), (5, 1)] {
      var ring = EventRing(capacity: before)
      for number in 1...12 { _ = ring.append(record("\(number)")) }
      ring.resize(to: after)
      for number in 13...30 {
        _ = ring.append(record("\(number)"))
        let count = min(after, min(before, after) + number - 12)
        #expect(ring.records().map(\.seq) == (number - count + 1...number).map { UInt64($0) })
      }
    }
  }

  @Test func aFullRingWithACapacityOfAnHourTakesNoMoreThanThat() {
    let world = World(
      configuration([
        program("x") {
          $0.startsecs = 0; $0.autorestart = .always
        }
      ]) { $0.eventCapacity = 100 }
    ) { _, _ in Behaviour(life: .milliseconds(1)) }
    world.send(.boot)
    world.run(.seconds(3600))
    #expect(world.core.events.count == 100)
    #expect(world.core.events.newest > 200)
  }

  @Test func intervalsReadWell() {
    let cases: [(Interval, String)] = [
      (.seconds(9), "9 s"), (.seconds(0.25), "250 ms"), (.milliseconds(40), "40 ms"), (.seconds(1.5), "1.5 s"),
      (.seconds(12.34), "12.34 s"),
      (.zero, "0 s"), (.milliseconds(1001), "1.001 s"), (Interval(nanoseconds: 10), "0 ms"), (.seconds(3600), "3600 s"),
    ]
    for (interval, text) in cases { #expect(interval.text == text) }
  }

  @Test func signalsHaveTheirNames() {
    #expect(
      [1, 2, 9, 15, 18, 31, 34, 35, 64, 0, 65, -1].map { signalName($0) } == [
        "SIGHUP", "SIGINT", "SIGKILL", "SIGTERM", "SIGCONT", "SIGSYS", "SIGRTMIN", "SIGRTMIN+1", "SIGRTMIN+30",
        "signal 0", "signal 65",
        "signal -1",
      ])
  }
}

struct TimerHeapTests {
  @Test func whatGoesInComesOutInOrder() {
    var random = RandomNumbers(seed: 9)
    for count in [0, 1, 2, 3, 100, 1000] {
      var heap = TimerHeap()
      var entries: [TimerEntry] = []
      for number in 0..<count {
        let entry = TimerEntry(
          instant: Instant(nanoseconds: random.next() % 50), program: ProgramID(UInt32(number)), kind: .stop)
        entries.append(entry)
        heap.push(entry)
      }
      heap.sweep { $0.program.number % 3 != 0 }
      let expected = entries.filter { $0.program.number % 3 != 0 }
        .sorted { $0.instant != $1.instant ? $0.instant < $1.instant : $0.program < $1.program }
      var out: [TimerEntry] = []
      while let entry = heap.popFirst() { out.append(entry) }
      #expect(out == expected)
    }
  }

  @Test func timersThatAreTakenBackDoNotPileUp() {
    let watchdog = CheckSpec(probe: .notify, interval: .seconds(1000), timeout: .zero, failures: 1)
    // The other program's timer is earlier than all that is taken back, so that these do not come to the top.
    let world = World(
      configuration([program("x") { $0.liveness = watchdog }, program("early") { $0.startsecs = 500 }]))
    world.send(.boot)
    world.run(.seconds(2))
    let start = world.instant
    let run = RunID(program: world.id("x"), run: 1)
    for _ in 0..<10_000 {
      world.run(.milliseconds(1))
      world.send(.notification(run, .watchdog))
    }
    #expect(world.core.heap.count < 200)
    #expect(world.core.nextDeadline == start + .seconds(498))
    world.run(.seconds(600))
    #expect(world.core.nextDeadline == start + .seconds(1010))
  }
}
