import Testing

@testable import SupervisorCore

/// Programs that run by the clock.
struct ScheduleTests {
  private func scheduled(_ text: String, _ change: (inout ProgramSpec) -> Void = { _ in }) throws -> ProgramSpec {
    let cron = try CronExpression(text)
    return program("backup") {
      $0.kind = .scheduled(Schedule(expression: text, zoneName: "UTC", cron: cron, zone: .utc))
      change(&$0)
    }
  }

  private func world(_ spec: ProgramSpec, _ behave: @escaping (String, UInt32) -> Behaviour) -> World {
    let world = World(configuration([spec]), behave)
    // A round hour, so that the tests can be read.
    let wall = Int64(world.instant.nanoseconds) + world.wallOffset
    world.wallOffset += 3_600_000_000_000 - wall % 3_600_000_000_000
    world.send(.boot)
    return world
  }

  private func minutes(_ world: World, since start: Instant) -> [Double] {
    world.spawns("backup").map { ($0 - start).inSeconds / 60 }
  }

  @Test func itRunsAtItsTimes() throws {
    let world = world(try scheduled("*/20 * * * *")) { _, _ in Behaviour(life: .seconds(60)) }
    let start = world.instant
    #expect(world.state("backup") == .stopped)
    #expect(world.snapshot("backup")?.nextRun == WallTime(nanoseconds: world.now.wall.nanoseconds + 1_200_000_000_000))
    #expect(world.core.health(at: world.now).status == .healthy)
    world.run(.seconds(7200))
    #expect(minutes(world, since: start) == [20, 40, 60, 80, 100, 120])
    #expect(world.core.health(at: world.now).started.passed)
  }

  @Test func aTimeThatComesDuringARunIsSkipped() throws {
    let world = world(try scheduled("*/10 * * * *")) { _, _ in Behaviour(life: .seconds(25 * 60)) }
    let start = world.instant
    world.run(.seconds(7200))
    #expect(minutes(world, since: start) == [10, 40, 70, 100])
    #expect(world.has("skipped a scheduled run of backup: the one before is still going"))
  }

  @Test func aFailedRunIsNotRepeatedAndDoesNotHarmTheVerdict() throws {
    let world = world(try scheduled("0 * * * *")) { _, _ in Behaviour(life: .seconds(60), status: .exited(2)) }
    world.run(.seconds(3600 + 1800))
    #expect(world.spawns("backup").count == 1)
    #expect(world.state("backup") == .exited)
    let health = world.core.health(at: world.now)
    #expect(health.status == .healthy)
    #expect(health.reasons == ["backup failed in its last scheduled run (exit status 2); see its log"])
    world.run(.seconds(3600))
    #expect(world.spawns("backup").count == 2)
  }

  @Test func aFATALOneRunsAgainAtItsNextTime() throws {
    let world = world(try scheduled("0 * * * *") { $0.startretries = 1 }) { _, run in
      run <= 2 ? Behaviour(spawn: .refused(notFound)) : Behaviour(life: .seconds(1))
    }
    world.run(.seconds(3700))
    #expect(world.state("backup") == .fatal)
    world.run(.seconds(3600))
    #expect(world.state("backup") == .exited)
    #expect(world.snapshot("backup")?.isCompleted == true)
  }

  @Test func theDeadlineIsLookedAtEveryHourAtTheLatest() throws {
    let world = world(try scheduled("0 0 1 1 *")) { _, _ in Behaviour() }
    #expect(world.core.nextDeadline == world.instant + .seconds(3600))
  }

  @Test func theClockMayBeSet() throws {
    let world = world(try scheduled("30 * * * *")) { _, _ in Behaviour(life: .seconds(1)) }
    let start = world.instant
    world.run(.seconds(600))
    // 20 minutes forward: due 10 minutes later.
    world.wallOffset += 1_200_000_000_000
    world.send(.timeReached)
    world.run(.seconds(1200))
    #expect(minutes(world, since: start) == [10], "10:30 was jumped over by nobody: it comes at once")
    // 25 minutes back: 10:30 comes again, and has run.
    world.wallOffset -= 1_500_000_000_000
    world.send(.timeReached)
    world.run(.seconds(1800))
    #expect(minutes(world, since: start).count == 1)
    world.run(.seconds(3600))
    #expect(minutes(world, since: start).count == 2)
  }

  @Test func aTimeThatAForwardJumpSkippedIsMadeUpForOnce() throws {
    let world = world(try scheduled("*/10 * * * *")) { _, _ in Behaviour(life: .seconds(1)) }
    world.run(.seconds(60))
    world.wallOffset += 4 * 3_600_000_000_000
    world.send(.timeReached)
    world.run(.seconds(1))
    #expect(world.spawns("backup").count == 1)
  }

  @Test func withoutAutostartOnlyAPersonStartsIt() throws {
    let world = world(try scheduled("* * * * *") { $0.autostart = false }) { _, _ in Behaviour(life: .seconds(1)) }
    #expect(world.core.nextDeadline == nil)
    world.run(.seconds(600))
    #expect(world.spawns("backup").isEmpty)
    let request = world.request(.start(target: "backup", wait: true))
    world.run(.seconds(5))
    #expect(world.answers[request] == .processes([ProcessResult(name: "backup", group: "backup")]))
  }

  @Test func aRunIsStoppedByAPersonAndTheScheduleGoesOn() throws {
    let world = world(try scheduled("0 * * * *")) { _, _ in Behaviour() }
    world.run(.seconds(3601))
    #expect(world.state("backup") == .running)
    world.request(.stop(target: "backup", wait: true, now: false))
    world.run(.seconds(1))
    #expect(world.state("backup") == .stopped)
    world.run(.seconds(3600))
    #expect(world.spawns("backup").count == 2)
  }
}
