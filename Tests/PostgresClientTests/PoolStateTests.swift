import Testing

@testable import PostgresClient

private let start = ContinuousClock.now

private func makeState(size: Int = 2, overflow: Int = 1, patience: Duration = .seconds(1)) -> PoolState {
  PoolState(
    limits: PoolState.Limits(
      size: size, overflow: overflow, patience: patience, firstRetryDelay: .milliseconds(20),
      maximumRetryDelay: .milliseconds(100)))
}

private let refused = PostgresError(.connectionFailed, "refused")

@Suite struct PoolStateTests {
  @Test func connectsOncePerCallerUpToSizeAndOverflow() {
    var state = makeState()
    for waiter in 1...3 as ClosedRange<UInt64> {
      let (acquisition, actions) = state.acquire(waiter, at: start)
      #expect(acquisition == .wait)
      #expect(actions == [.connect(after: .zero)])
    }
    let (acquisition, actions) = state.acquire(4, at: start)
    #expect(acquisition == .wait)
    #expect(actions.isEmpty)
    #expect(state.total == 3)
  }

  @Test func servesCallersInOrderOfArrival() {
    var state = makeState(size: 1, overflow: 0)
    for waiter in 1...3 as ClosedRange<UInt64> { _ = state.acquire(waiter, at: start) }
    let first = state.connected(100)
    #expect(first == [.hand(100, to: 1)])
    let second = state.release(100, reusable: true)
    #expect(second == [.hand(100, to: 2)])
    let gone = state.abandon(3)
    #expect(gone)
    let third = state.release(100, reusable: true)
    #expect(third == [])
    #expect(state.idle == [100])
  }

  @Test func closesIdleConnectionsBeyondSize() {
    var state = makeState(size: 1, overflow: 2)
    for waiter in 1...3 as ClosedRange<UInt64> { _ = state.acquire(waiter, at: start) }
    for connection in 11...13 as ClosedRange<UInt64> { _ = state.connected(connection) }
    let kept = state.release(11, reusable: true)
    #expect(kept == [])
    let closed = state.release(12, reusable: true)
    #expect(closed == [.close(12)])
    let closedToo = state.release(13, reusable: true)
    #expect(closedToo == [.close(13)])
    #expect(state.total == 1)
  }

  @Test func replacesABrokenConnectionWhileCallersWait() {
    var state = makeState(size: 1, overflow: 0)
    _ = state.acquire(1, at: start)
    _ = state.connected(10)
    _ = state.acquire(2, at: start)
    let replaced = state.release(10, reusable: false)
    #expect(replaced == [.close(10), .connect(after: .zero)])
    let served = state.connected(11)
    #expect(served == [.hand(11, to: 2)])
  }

  @Test func callersRideThroughAShortOutage() {
    var state = makeState()
    _ = state.acquire(1, at: start)
    let refusal = state.connectFailed(refused, at: start)
    #expect(refusal == [.connect(after: .milliseconds(20))])
    let again = state.connectFailed(refused, at: start + .milliseconds(20))
    #expect(again == [.connect(after: .milliseconds(40))])
    let recovered = state.connected(7)
    #expect(recovered == [.hand(7, to: 1)])
    #expect(state.outage == nil)
  }

  @Test func aLongOutageAnswersAtOnceAndRetriesWithoutCallers() {
    var state = makeState()
    _ = state.acquire(1, at: start)
    var now = start
    var failed: [PoolState.Action] = []
    var delays: [Duration] = []
    for _ in 0..<14 {
      for action in state.connectFailed(refused, at: now) {
        if case .connect(let delay) = action {
          delays.append(delay)
          now += delay
        } else {
          failed.append(action)
        }
      }
    }
    #expect(failed == [.fail(1, refused)])
    #expect(delays.prefix(4) == [.milliseconds(20), .milliseconds(40), .milliseconds(80), .milliseconds(100)])
    #expect(delays.count == 14)
    let during = state.acquire(2, at: now + .seconds(1)).0
    #expect(during == .fail(refused))
    let after = state.connected(7)
    #expect(after == [])
    let lease = state.acquire(3, at: now + .seconds(1)).0
    #expect(lease == .lease(7))
  }

  @Test func aWrongPasswordIsNotWaitedFor() {
    var state = makeState()
    let wrong = PostgresError(.connectionFailed, "password authentication failed", sqlState: "28P01")
    _ = state.acquire(1, at: start)
    let wrongPassword = state.connectFailed(wrong, at: start)
    #expect(wrongPassword == [.fail(1, wrong), .connect(after: .milliseconds(20))])
  }

  @Test func aFullServerIsNoOutageWhileOthersAreServed() {
    var state = makeState()
    let full = PostgresError(.connectionFailed, "sorry, too many clients already", sqlState: "53300")
    _ = state.acquire(1, at: start)
    _ = state.connected(10)
    _ = state.acquire(2, at: start)
    let retry = state.connectFailed(full, at: start + .seconds(5))
    #expect(retry == [.connect(after: .milliseconds(20))])
    #expect(state.outage == nil)
    let served = state.release(10, reusable: true)
    #expect(served == [.hand(10, to: 2)])
  }

  @Test func closingFailsTheQueueAndTakesBackTheRest() {
    var state = makeState(size: 1, overflow: 0)
    _ = state.acquire(1, at: start)
    _ = state.connected(10)
    _ = state.acquire(2, at: start)
    let closing = state.close()
    #expect(closing == [.fail(2, PoolState.closedError)])
    let late = state.acquire(3, at: start).0
    #expect(late == .fail(PoolState.closedError))
    let last = state.release(10, reusable: true)
    #expect(last == [.close(10)])
    #expect(state.total == 0)
  }

  /// Tens of thousands of random events; what must hold after each.
  @Test(arguments: 1...20 as ClosedRange<UInt64>) func randomWalkKeepsItsInvariants(seed: UInt64) {
    var random = SplitMix64(state: seed)
    var state = makeState(size: Int.random(in: 1...3, using: &random), overflow: Int.random(in: 0...3, using: &random))
    var now = start
    var nextID: UInt64 = 0
    var queued: Set<UInt64> = []
    var held: Set<UInt64> = []
    var open: Set<UInt64> = []
    var attempts = 0

    func apply(_ actions: [PoolState.Action]) {
      for action in actions {
        switch action {
        case .hand(let connection, let waiter):
          let (wasQueued, isNew) = (queued.remove(waiter) != nil, held.insert(connection).inserted)
          #expect(wasQueued && isNew && open.contains(connection))
        case .fail(let waiter, _):
          let wasQueued = queued.remove(waiter) != nil
          #expect(wasQueued)
        case .connect: attempts += 1
        case .close(let connection):
          let wasOpen = open.remove(connection) != nil
          #expect(wasOpen)
          held.remove(connection)
        }
      }
    }

    for _ in 0..<3000 {
      now += .milliseconds(Int.random(in: 0...300, using: &random))
      nextID += 1
      switch Int.random(in: 0..<10, using: &random) {
      case 0..<4:
        let (acquisition, actions) = state.acquire(nextID, at: now)
        switch acquisition {
        case .lease(let connection):
          let isNew = held.insert(connection).inserted
          #expect(isNew && open.contains(connection))
        case .wait: queued.insert(nextID)
        case .fail(let error): #expect(state.outage?.lastError == error)
        }
        apply(actions)
      case 4..<6:
        if let connection = held.randomElement(using: &random) {
          held.remove(connection)
          apply(state.release(connection, reusable: Bool.random(using: &random)))
        }
      case 6..<8:
        if attempts > 0 {
          attempts -= 1
          open.insert(nextID)
          apply(state.connected(nextID))
        }
      case 8:
        if attempts > 0 {
          attempts -= 1
          let sqlState = [nil, "57P03", "53300", "28P01"].randomElement(using: &random) ?? nil
          apply(state.connectFailed(PostgresError(.connectionFailed, "x", sqlState: sqlState), at: now))
        }
      default:
        if let waiter = queued.randomElement(using: &random) {
          let wasQueued = state.abandon(waiter)
          #expect(wasQueued)
          queued.remove(waiter)
        }
      }
      #expect(state.connecting == attempts)
      #expect(state.leased == held)
      #expect(Set(state.idle).union(held) == open)
      #expect(Set(state.waiters) == queued)
      #expect(state.total <= state.limits.total)
      #expect(state.idle.count <= state.limits.size)
      #expect(state.idle.isEmpty || state.waiters.isEmpty)
      // Nobody waits without a reason: something is being opened, or everything is in use.
      #expect(state.waiters.isEmpty || state.connecting > 0 || state.total == state.limits.total)
      // An outage is always being worked on.
      #expect(state.outage == nil || state.connecting > 0)
    }
  }
}

/// Steele, Lea, Flood: "Fast splittable pseudorandom number generators" (2014).
private struct SplitMix64: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
