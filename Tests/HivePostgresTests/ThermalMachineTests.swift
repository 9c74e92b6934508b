import Glibc
import Testing

@testable import HivePostgresCore

private let start = ContinuousClock.now

/// Feeds a machine a temperature every two seconds.
private struct Curve {
  var machine: ThermalMachine
  var time = 0
  var changes: [(second: Int, to: ThermalState)] = []

  init(_ thresholds: ThermalThresholds = ThermalThresholds()) { machine = ThermalMachine(thresholds: thresholds) }

  mutating func feed(_ samples: [ThermalSample]) {
    for sample in samples {
      if let change = machine.take(sample, at: start + .seconds(time)) { changes.append((time, change.to)) }
      time += 2
    }
  }

  mutating func feed(_ celsius: Double, times: Int = 1) {
    feed(Array(repeating: .celsius(celsius, sensor: "x"), count: times))
  }
}

@Suite struct ThermalMachineTests {
  @Test func warmsUpAndCoolsDownStepByStep() {
    var curve = Curve()
    curve.feed(60, times: 5)
    curve.feed(81)
    #expect(curve.machine.state == .normal)
    curve.feed(81)
    #expect(curve.machine.state == .warning)
    curve.feed(85)
    #expect(curve.machine.state == .critical)
    curve.feed(81.9, times: 4)
    #expect(curve.machine.state == .critical)
    curve.feed(81.9)
    #expect(curve.machine.state == .warning)
    curve.feed(74.9, times: 14)
    #expect(curve.machine.state == .warning)
    curve.feed(74.9)
    #expect(curve.machine.state == .normal)
    #expect(curve.machine.transitions == 4 && curve.changes.map(\.to) == [.warning, .critical, .warning, .normal])
  }

  @Test func criticalComesAtOnceFromAnyState() {
    var curve = Curve()
    curve.feed(90)
    #expect(curve.machine.state == .critical && curve.machine.transitions == 1)
  }

  @Test(arguments: [(79.9, 80.1), (84.9, 85.1), (74.9, 75.1), (81.9, 82.1)])
  func flappingChangesAtMostOnceADwell(_ pair: (Double, Double)) {
    for begin in [60.0, 83, 90] {
      var curve = Curve()
      curve.feed(begin, times: 3)
      for _ in 0..<500 {
        curve.feed(pair.0)
        curve.feed(pair.1)
      }
      for (earlier, later) in zip(curve.changes, curve.changes.dropFirst()) where later.to != .critical {
        #expect(later.second - earlier.second >= 10, "\(curve.changes)")
      }
      // Around one threshold there is one answer, not one for each sample.
      #expect(curve.changes.count <= 3, "\(pair) from \(begin): \(curve.changes)")
    }
  }

  @Test func aLostSensorKeepsTheBrakes() {
    var curve = Curve()
    curve.feed(90)
    curve.feed(Array(repeating: .lost("EIO"), count: ThermalThresholds.lostSamples))
    #expect(curve.machine.knowledge == .known)
    curve.feed([.lost("EIO")])
    #expect(curve.machine.knowledge == .unknown && curve.machine.state == .critical)
    curve.feed(Array(repeating: .lost("EIO"), count: 1000))
    #expect(curve.machine.state == .critical && curve.machine.celsius == 90)
    // It comes back cool: not believed before it has been so for a while.
    curve.feed(50, times: 4)
    #expect(curve.machine.state == .critical && curve.machine.knowledge == .known)
    curve.feed(50)
    #expect(curve.machine.state == .warning)
  }

  @Test func theRestMayRaiseTheStateAndNotLowerIt() {
    var curve = Curve()
    curve.feed(90)
    curve.feed(Array(repeating: .atLeast(45, sensor: "b", lost: "a"), count: 1000))
    #expect(curve.machine.state == .critical && curve.machine.knowledge == .unknown && curve.machine.celsius == 45)
    // Back: from here on it counts.
    curve.feed(45, times: 5)
    #expect(curve.machine.state == .warning && curve.machine.knowledge == .known)
    curve.feed(45, times: 14)
    curve.feed([.atLeast(45, sensor: "b", lost: "a")])
    curve.feed(45, times: 14)
    #expect(curve.machine.state == .warning)
    curve.feed(45)
    #expect(curve.machine.state == .normal)
    curve.feed(45, times: 5)
    curve.feed(Array(repeating: .atLeast(82, sensor: "b", lost: "a"), count: 2))
    #expect(curve.machine.state == .warning && curve.machine.knowledge == .known)
    curve.feed([.atLeast(86, sensor: "b", lost: "a")])
    #expect(curve.machine.state == .critical)
  }

  @Test func aLostSampleBreaksARow() {
    var curve = Curve()
    curve.feed(81)
    curve.feed([.lost("EIO")])
    curve.feed(81)
    #expect(curve.machine.state == .normal)
  }

  @Test func noSensorsAreNoError() {
    var curve = Curve()
    curve.feed(Array(repeating: .absent, count: 100))
    #expect(curve.machine.knowledge == .unavailable && curve.machine.state == .normal && curve.changes.isEmpty)
  }

  @Test func randomCurvesKeepTheRules() {
    var random = Seeded(seed: 4711)
    for _ in 0..<200 {
      var curve = Curve()
      var celsius = 60.0
      var last = ThermalState.normal
      for _ in 0..<300 {
        celsius += Double(Int.random(in: -40...40, using: &random)) / 10
        celsius = max(20, min(celsius, 110))
        let isPartial = Int.random(in: 0..<10, using: &random) == 0
        if Int.random(in: 0..<20, using: &random) == 0 {
          curve.feed([.lost("x")])
        } else if isPartial {
          curve.feed([.atLeast(celsius, sensor: "x", lost: "y")])
        } else {
          curve.feed(celsius)
        }
        let state = curve.machine.state
        if isPartial { #expect(state >= last) }
        // Down one step at a time; never normal at or above the warning threshold for two samples; critical at once.
        #expect(last.level - state.level <= 1)
        if celsius >= 85, curve.machine.celsius == celsius { #expect(state == .critical) }
        last = state
      }
      for (earlier, later) in zip(curve.changes, curve.changes.dropFirst()) where later.to != .critical {
        #expect(later.second - earlier.second >= 10)
      }
    }
  }

  @Test func thresholdsComeFromTheEnvironmentAndMustMakeSense() throws {
    let given = try ThermalThresholds(
      environment: ["THERMAL_THRESHOLD_WARNING": "70", "THERMAL_THRESHOLD_CRITICAL": "75.5"])
    #expect(given.warning == 70 && given.critical == 75.5)
    #expect(try ThermalThresholds(environment: ["THERMAL_THRESHOLD_WARNING": ""]) == ThermalThresholds())
    for wrong in [
      ["THERMAL_THRESHOLD_WARNING": "90"], ["THERMAL_THRESHOLD_CRITICAL": "80"], ["THERMAL_THRESHOLD_WARNING": "hot"],
      ["THERMAL_THRESHOLD_CRITICAL": "1000"], ["THERMAL_HYSTERESIS_WARNING": "-1"],
      ["THERMAL_THRESHOLD_WARNING": "nan"],
    ] {
      #expect(throws: Failure.self, "\(wrong)") { try ThermalThresholds(environment: wrong) }
    }
  }
}
