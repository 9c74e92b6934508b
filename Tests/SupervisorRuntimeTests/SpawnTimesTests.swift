import SupervisorCore
import Testing

@testable import SupervisorRuntime

@Suite("Times of starts")
struct SpawnTimesTests {
  @Test("there are no quantiles before the first start")
  func nothingYet() {
    let times = SpawnTimes()
    #expect(times.count == 0 && times.total == .zero)
    for percent in [1, 50, 90, 100] { #expect(times.quantile(percent: percent) == nil) }
  }

  @Test("a quantile is the least time that so many percent did not exceed, in whatever order they came")
  func quantiles() {
    for order in [Array(1...10), (1...10).reversed(), [3, 1, 10, 2, 9, 4, 8, 5, 7, 6]] {
      var times = SpawnTimes()
      for time in order { times.add(Interval(nanoseconds: Int64(time))) }
      let wanted = [1: 1, 10: 1, 11: 2, 50: 5, 51: 6, 90: 9, 91: 10, 100: 10]
      for (percent, nanoseconds) in wanted {
        #expect(times.quantile(percent: percent)?.nanoseconds == Int64(nanoseconds), "\(percent)")
      }
      for percent in [-1, 0, 101] { #expect(times.quantile(percent: percent) == nil) }
      #expect(times.count == 10 && times.total.nanoseconds == 55)
    }
  }

  @Test("the quantiles forget all but the last starts, the sum and the count nothing")
  func ring() {
    var times = SpawnTimes()
    times.add(.seconds(1))
    for _ in 1..<SpawnTimes.kept { times.add(Interval(nanoseconds: 10)) }
    #expect(times.quantile(percent: 100) == .seconds(1))
    times.add(Interval(nanoseconds: 20))
    #expect(times.quantile(percent: 100)?.nanoseconds == 20)
    #expect(times.quantile(percent: 99)?.nanoseconds == 10)
    #expect(times.count == UInt64(SpawnTimes.kept) + 1)
    #expect(times.total.nanoseconds == 1_000_000_000 + Int64(SpawnTimes.kept - 1) * 10 + 20)
  }

  @Test("times beyond 32 bits of nanoseconds, and a clock that seems to go back, do no harm")
  func extremes() {
    var times = SpawnTimes()
    times.add(.seconds(3600))
    times.add(Interval(nanoseconds: -5))
    #expect(times.quantile(percent: 100)?.nanoseconds == Int64(UInt32.max))
    #expect(times.quantile(percent: 50) == .zero)
    for _ in 0..<3 { times.add(Interval(nanoseconds: .max)) }
    #expect(times.total.nanoseconds == .max)
  }
}
