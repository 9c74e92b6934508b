import CLibPQ
import Glibc
import Synchronization

/// The thread that owns one libpq connection.
///
/// libpq's calls must not run at the same time on one connection, some of them block (name resolution, `PQcancel`) and
/// some burn milliseconds (SCRAM), so a connection gets a thread instead of a place on an event loop. Jobs run in the
/// order of their submission. The thread ends after `retire`, or when nobody holds the `WorkerThread` any more.
final class WorkerThread: Sendable {
  typealias Job = @Sendable () -> Void

  private let queue: JobQueue

  /// Starts the thread. Throws when the system has no thread or descriptor left.
  init() throws {
    let queue = JobQueue(wake: try WakeDescriptor())
    self.queue = queue
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    pthread_attr_setstacksize(&attributes, 512 * 1024)
    var thread = pthread_t()
    let argument = Unmanaged.passRetained(queue)
    let code = pthread_create(
      &thread, &attributes,
      { argument in
        guard let argument else { return nil }
        Unmanaged<JobQueue>.fromOpaque(argument).takeRetainedValue().run()
        return nil
      }, argument.toOpaque())
    guard code == 0 else {
      argument.release()
      throw PostgresError(
        .connectionFailed, "cannot start a thread: \(String(cString: strerror(code)))",
        hint: "raise the limit on processes (pids.max, RLIMIT_NPROC) or lower the pool size")
    }
  }

  deinit { queue.retire(after: nil) }

  /// Wakes a job that waits for a socket, so that it looks at its cancellation.
  func interrupt() { queue.wake.signal() }

  /// Runs `job` after those before it. False when the thread has been retired: the job will not run.
  func submit(_ job: @escaping Job) -> Bool { queue.append(job) }

  /// Runs what was submitted, then `last`, then ends. Later jobs are refused.
  func retire(after last: Job?) { queue.retire(after: last) }

  /// Returns when the thread has run its last job, which is some time after `retire`.
  func ended() async { await queue.ended() }

  /// The descriptor that `interrupt` makes readable, for the job that is running.
  var wake: WakeDescriptor { queue.wake }
}

private final class JobQueue: Sendable {
  private struct State {
    var jobs: [WorkerThread.Job] = []
    var isRetired = false
    var hasEnded = false
    var waiters: [CheckedContinuation<Void, Never>] = []
  }

  private enum Step {
    case run(WorkerThread.Job)
    case wait
    case end
  }

  let wake: WakeDescriptor
  private let state = Mutex(State())

  init(wake: WakeDescriptor) { self.wake = wake }

  func append(_ job: @escaping WorkerThread.Job) -> Bool {
    let accepted = state.withLock { state in
      guard !state.isRetired else { return false }
      state.jobs.append(job)
      return true
    }
    if accepted { wake.signal() }
    return accepted
  }

  func retire(after last: WorkerThread.Job?) {
    state.withLock { state in
      guard !state.isRetired else { return }
      state.isRetired = true
      if let last { state.jobs.append(last) }
    }
    wake.signal()
  }

  func ended() async {
    await withCheckedContinuation { continuation in
      let hasEnded = state.withLock { state in
        if !state.hasEnded { state.waiters.append(continuation) }
        return state.hasEnded
      }
      if hasEnded { continuation.resume() }
    }
  }

  func run() {
    while true {
      let step: Step = state.withLock { state in
        if !state.jobs.isEmpty { return .run(state.jobs.removeFirst()) }
        return state.isRetired ? .end : .wait
      }
      switch step {
      case .run(let job): job()
      case .wait: wake.wait()
      case .end:
        let waiters = state.withLock { state in
          state.hasEnded = true
          defer { state.waiters.removeAll() }
          return state.waiters
        }
        return waiters.forEach { $0.resume() }
      }
    }
  }
}

/// An eventfd: readable after `signal`, until it is drained.
final class WakeDescriptor: Sendable {
  let descriptor: Int32

  init() throws {
    descriptor = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
    guard descriptor >= 0 else {
      throw PostgresError(
        .connectionFailed, "cannot create an eventfd: \(String(cString: strerror(errno)))",
        hint: "raise RLIMIT_NOFILE or lower the pool size")
    }
  }

  deinit { close(descriptor) }

  func signal() {
    var one: UInt64 = 1
    while write(descriptor, &one, MemoryLayout<UInt64>.size) < 0, errno == EINTR {}
  }

  func drain() {
    var count: UInt64 = 0
    while read(descriptor, &count, MemoryLayout<UInt64>.size) < 0, errno == EINTR {}
  }

  /// Blocks until a signal, and consumes it.
  func wait() {
    var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    while Glibc.poll(&poll, 1, -1) < 0, errno == EINTR {}
    drain()
  }
}
