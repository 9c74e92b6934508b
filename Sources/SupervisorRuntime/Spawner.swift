// Starting programs. Everything that can fail for a reason that people can mend - no such command, user, directory - fails with a
// sentence that says so; everything that the child needs is made here, and spawn.c only makes system calls.

import CHiveSys
import CPUTopology
import Glibc
import SupervisorCore

/// A descriptor of ours that the child gets under another number.
public struct ChildDescriptor: Equatable, Sendable {
  /// Our descriptor; it stays open here.
  public var source: Int32
  /// The child's.
  public var target: Int32

  /// `source` as the child's `target`.
  public init(_ source: Int32, as target: Int32) {
    self.source = source
    self.target = target
  }
}

/// What one start needs beyond the program's own spec.
public struct SpawnRequest: Sendable {
  /// What to execute.
  public var execution: ExecutionSpec
  /// Variables of this start (`LISTEN_FDS`, `NOTIFY_SOCKET`, …); they win over all others.
  public var environment: [EnvironmentEntry] = []
  /// Variables whose value is to be the child's own pid (`LISTEN_PID`, `WATCHDOG_PID`).
  public var pidVariables: [String] = []
  /// Its descriptors, in any order. 0, 1 and 2 are /dev/null unless they are listed; everything else is closed.
  public var descriptors: [ChildDescriptor] = []
  /// Marks the process and all that will descend from it as one run's.
  public var tag: RunTag?
  /// A directory descriptor of the cgroup v2 to be born in; ignored where the kernel cannot.
  public var cgroup: Int32?

  /// The CPUs that it may run on; nil: those of the supervisor.
  public var cpus: CPUSet?
  /// How the kernel schedules it; nil: as the supervisor.
  public var policy: SchedulingPolicy?

  /// A start of this.
  public init(_ execution: ExecutionSpec) { self.execution = execution }
}

/// A child that exists.
public struct SpawnedChild: Sendable {
  /// Its process id.
  public var pid: Int32
  /// Its pidfd, close-on-exec, which the receiver owns; nil on kernels before 5.3, or with no descriptor to spare.
  public var pidfd: Int32?
  /// Whether it was born in the request's cgroup.
  public var inCgroup: Bool
  /// Only where the kernel is emulated: whether it could execute its command is not known yet, and `Spawner.conclude` will tell
  /// when this descriptor is readable. nil: it has been executed.
  public var pending: PendingStart?
  /// What the kernel refused and it runs without. With `pending` this is known later.
  public var refused: [RefusedSetting] = []
}

/// A start whose outcome is not known yet.
public struct PendingStart: Sendable {
  /// Readable when the outcome is known; `Spawner.conclude` closes it.
  public var descriptor: Int32
  let context: FailureContext
  let wishes: SettingWishes
}

/// What was asked for, in the configuration's words.
struct SettingWishes: Sendable {
  var cpus: String
  var execution: ExecutionSpec
  var policy: SchedulingPolicy?

  init(_ request: SpawnRequest) {
    cpus = request.cpus?.list ?? ""
    execution = request.execution
    policy = request.policy
  }

  func text(_ setting: RefusedSetting.Setting) -> String {
    switch setting {
    case .cpus: cpus
    case .nice: execution.nice.map(String.init) ?? ""
    case .policy: policy?.text ?? ""
    case .ioPriority: execution.ionice?.text ?? ""
    case .memoryPolicy: execution.memoryPolicy?.text ?? ""
    }
  }
}

/// What came of a start.
public enum SpawnOutcome: Sendable {
  /// It runs.
  case spawned(SpawnedChild)
  /// It does not. A `pid` that is not nil existed for a moment and must be reaped as one that never became a program.
  case failed(SpawnFailure, pid: Int32?)
}

/// What the messages of a failed start speak of.
struct FailureContext: Sendable {
  var execution: ExecutionSpec
  var file: String
  var userName: String
  var uid: UInt32?
  var limits: [ResourceLimit]
}

/// What children get where their spec says nothing: the supervisor's own attributes from before it changed them for itself.
public struct InheritedAttributes: Equatable, Sendable {
  /// nice(2) value.
  public var nice: Int?
  /// /proc/self/oom_score_adj.
  public var oomScoreAdjust: Int?
  /// Resource limits.
  public var limits: [ResourceLimit] = []

  /// Nothing: children get what the supervisor has.
  public init() {}
}

/// Starts programs.
public final class Spawner {
  /// The user database.
  public var users: UserDatabase
  /// What children get where their spec says nothing.
  public var inherited = InheritedAttributes()
  /// Kernel features to do without; tests force the fallbacks with it.
  public var without: KernelFeatures = []
  /// Test seams: errnos with which pipe2(2) and clone(2) are refused; 0 asks the kernel.
  var pipeError: Int32 = 0
  var cloneError: Int32 = 0
  /// Test seam: the settings that the kernel seems to refuse, and with which errno.
  public var refusing: [RefusedSetting.Setting: Int32] = [:]

  /// The signals that children set back to the default: those that were something else when this was made (nohup), and those that
  /// may become it later: SIGPIPE, which `Signals` ignores, and the two that glibc catches when the first thread is made. One system call
  /// for each of the 62 signals instead took a fifth of a start's time.
  private let signals: UInt64
  private static let stackBytes = 64 * 1024
  private let null: Int32
  private let stack: UnsafeMutableRawPointer
  /// The pipe over which children tell failures, once there is one that can stay.
  private let pipe: UnsafeMutableBufferPointer<Int32>
  private var arena = SpawnArena()
  /// What pending starts have told so far, by their descriptor: refusals come before the outcome.
  private var told: [Int32: hive_spawn_result] = [:]

  /// Opens /dev/null and maps the children's stack.
  public init(users: UserDatabase = UserDatabase()) throws(SystemError) {
    self.users = users
    signals = hive_changed_signals() | [SIGPIPE, 32, 33].reduce(0) { $0 | 1 << UInt64($1 &- 1) }
    null = open("/dev/null", O_RDWR | O_CLOEXEC)
    if null < 0 { throw SystemError("open /dev/null", errno: errno) }
    guard let stack = hive_stack_map(Spawner.stackBytes) else {
      let reason = errno
      close(null)
      throw SystemError("map a stack for children", errno: reason)
    }
    self.stack = stack
    pipe = .allocate(capacity: 2)
    pipe.initialize(repeating: -1)
  }

  deinit {
    close(null)
    for end in pipe where end >= 0 { close(end) }
    pipe.deallocate()
    hive_stack_unmap(stack, Spawner.stackBytes)
  }

  /// Starts a program. The loop stands still until it has been executed, which takes about 50 µs however large the supervisor is, and
  /// longer where starts follow each other and the processors are busy with the programs already started (docs/benchmarks.md).
  public func start(_ request: SpawnRequest) -> SpawnOutcome {
    do {
      return try prepareAndSpawn(request)
    } catch {
      return .failed(error, pid: nil)
    }
  }

  /// How a start ended that was pending: nil when it is still unknown, otherwise executed (and without what) or failed; then it is over and its
  /// descriptor closed (stop watching it first).
  public func conclude(_ pending: PendingStart) -> Result<[RefusedSetting], SpawnFailure>? {
    var result = told[pending.descriptor] ?? hive_spawn_result()
    let outcome = hive_spawn_status(pending.descriptor, &result)
    told[pending.descriptor] = outcome == 0 ? result : nil
    if outcome == 0 { return nil }
    close(pending.descriptor)
    return outcome > 0 ? .success(result.refused(pending.wishes.text)) : .failure(pending.context.failure(result))
  }

  private func prepareAndSpawn(_ request: SpawnRequest) throws(SpawnFailure) -> SpawnOutcome {
    let spec = request.execution
    let identity = try ChildIdentity.resolve(spec, users: users, effectiveUser: geteuid())
    let environment = try ChildEnvironment(spec, identity: identity)
    guard let word = spec.arguments.first else {
      throw SpawnFailure(stage: .command, errno: ENOENT, text: "command is empty", isShortage: false)
    }
    let path = request.environment.last { $0.name == "PATH" }?.value ?? environment.value(of: "PATH")
    let file = try CommandSearch.file(of: word, path: path, directory: spec.directory)
    var descriptors = try descriptors(of: request)
    let limits = try limits(of: spec)
    let groups = identity.groups ?? []

    arena.reset()
    let text = try fillArena(request, environment: environment, file: file)
    let vectors = arena.finishVectors()
    var slots = text.pidSlots.map { Optional(arena.string(at: $0)) }

    var plan = hive_spawn_plan()
    plan.file = UnsafePointer(arena.string(at: text.file))
    plan.arguments = UnsafePointer(vectors + text.arguments)
    plan.environment = UnsafePointer(vectors + text.environment)
    if let directory = text.directory { plan.directory = UnsafePointer(arena.string(at: directory)) }
    set(identity, spec, request, in: &plan)
    plan.descriptor_count = UInt32(clamping: descriptors.count)
    plan.pid_slot_count = UInt32(clamping: slots.count)
    plan.limit_count = UInt32(clamping: limits.count)
    plan.group_count = UInt32(clamping: groups.count)

    let cpus = request.cpus?.words ?? []
    let nodes = spec.memoryPolicy?.nodes.words ?? []
    plan.cpu_words = UInt32(clamping: cpus.count)
    plan.node_words = UInt32(clamping: nodes.count)

    var result = hive_spawn_result()
    let error = descriptors.withUnsafeMutableBufferPointer { descriptors in
      slots.withUnsafeMutableBufferPointer { slots in
        limits.withUnsafeBufferPointer { limits in
          groups.withUnsafeBufferPointer { groups in
            cpus.withUnsafeBufferPointer { cpus in
              nodes.withUnsafeBufferPointer { nodes in
                plan.descriptors = descriptors.baseAddress
                plan.pid_slots = slots.baseAddress.map { UnsafePointer($0) }
                plan.limits = limits.baseAddress
                plan.groups = groups.baseAddress
                plan.cpus = cpus.baseAddress
                plan.nodes = nodes.baseAddress
                return hive_spawn(&plan, &result)
              }
            }
          }
        }
      }
    }

    let wishes = SettingWishes(request)
    if error == 0 && result.stage == 0 && result.status < 0 {
      return .spawned(child(result, wishes, pending: nil))
    }
    let context = FailureContext(
      execution: spec, file: file, userName: identity.name, uid: identity.uid, limits: spec.limits)
    if error == 0 && result.stage == 0 {
      told[result.status] = result
      return .spawned(
        child(result, wishes, pending: PendingStart(descriptor: result.status, context: context, wishes: wishes)))
    }
    if result.pidfd >= 0 { close(result.pidfd) }
    return .failed(context.failure(result), pid: result.pid > 0 ? result.pid : nil)
  }

  private func child(_ result: hive_spawn_result, _ wishes: SettingWishes, pending: PendingStart?) -> SpawnedChild {
    SpawnedChild(
      pid: result.pid, pidfd: result.pidfd >= 0 ? result.pidfd : nil, inCgroup: result.in_cgroup != 0, pending: pending,
      refused: pending == nil ? result.refused(wishes.text) : [])
  }

  // MARK: What the child needs

  private struct ArenaOffsets {
    var file: Int
    var arguments: Int
    var environment: Int
    var directory: Int?
    var pidSlots: [Int]
  }

  private func fillArena(
    _ request: SpawnRequest, environment: ChildEnvironment, file: String
  ) throws(SpawnFailure) -> ArenaOffsets {
    let spec = request.execution
    guard let fileOffset = arena.add(file) else { throw nulFailure("the command") }
    let arguments = arena.nextVector
    for argument in spec.arguments {
      guard let offset = arena.add(argument) else { throw nulFailure("an argument") }
      arena.point(to: offset)
    }
    arena.endVector()

    let variables = arena.nextVector
    var slots: [Int] = []
    // The runtime's own are a handful: compared one by one, no dictionary of all variables is made for them.
    let added = request.environment
    for entry in environment.entries where !added.contains(where: { $0.name == entry.name }) {
      try add(entry, unlessIn: request.pidVariables)
    }
    for (index, entry) in added.enumerated() where !added[(index + 1)...].contains(where: { $0.name == entry.name }) {
      try add(entry, unlessIn: request.pidVariables)
    }
    for name in request.pidVariables {
      guard let place = arena.addPidSlot(name) else { throw nulFailure("a variable's name") }
      arena.point(to: place.entry)
      slots.append(place.slot)
    }
    arena.endVector()

    var directory: Int?
    if let path = spec.directory {
      guard let offset = arena.add(path) else { throw nulFailure("the directory") }
      directory = offset
    }
    return ArenaOffsets(
      file: fileOffset, arguments: arguments, environment: variables, directory: directory, pidSlots: slots)
  }

  private func add(_ entry: EnvironmentEntry, unlessIn pidVariables: [String]) throws(SpawnFailure) {
    if pidVariables.contains(entry.name) { return }
    guard let offset = arena.add(entry.name, "=", entry.value) else {
      throw nulFailure("the environment variable \(entry.name)")
    }
    arena.point(to: offset)
  }

  private func nulFailure(_ subject: String) -> SpawnFailure {
    SpawnFailure(
      stage: .prepare, errno: EINVAL, text: "cannot start the program: \(subject) contains a NUL byte",
      isShortage: false)
  }

  /// 0, 1 and 2 in any case, then what was asked for, by target.
  private func descriptors(of request: SpawnRequest) throws(SpawnFailure) -> [hive_descriptor] {
    var list = request.descriptors
    for target in Int32(0)...2 where !list.contains(where: { $0.target == target }) {
      list.append(ChildDescriptor(null, as: target))
    }
    list.sort { $0.target < $1.target }
    for (one, other) in zip(list, list.dropFirst()) where one.target == other.target {
      throw SpawnFailure(
        stage: .descriptors, errno: EINVAL,
        text: "cannot give the program two things as descriptor \(one.target): a listener and a notification "
          + "descriptor have the same number; choose another one for ready=notify-fd:",
        isShortage: false)
    }
    return list.map { hive_descriptor(source: $0.source, target: $0.target, scratch: -1) }
  }

  private func limits(of spec: ExecutionSpec) throws(SpawnFailure) -> [hive_limit] {
    var list: [hive_limit] = []
    let defaults = inherited.limits.filter { one in !spec.limits.contains { $0.resource == one.resource } }
    // The spec's first, so that their indexes are the spec's.
    for limit in spec.limits + defaults {
      guard let number = ResourceLimits.number(of: limit.resource) else {
        throw SpawnFailure(
          stage: .limits, errno: EINVAL,
          text: "cannot set the limit \(limit.resource): there is no such resource; there are "
            + ResourceLimits.names.joined(separator: ", "),
          isShortage: false)
      }
      list.append(hive_limit(resource: number, soft: limit.soft, hard: limit.hard))
    }
    return list
  }

  private func set(
    _ identity: ChildIdentity, _ spec: ExecutionSpec, _ request: SpawnRequest, in plan: inout hive_spawn_plan
  ) {
    var flags = hive_spawn_set(rawValue: 0)
    func mark(_ flag: hive_spawn_set) { flags = hive_spawn_set(rawValue: flags.rawValue | flag.rawValue) }
    if let umask = spec.umask {
      plan.mask = umask
      mark(HIVE_SET_UMASK)
    }
    if identity.groups != nil { mark(HIVE_SET_GROUPS) }
    if let gid = identity.gid {
      plan.gid = gid
      mark(HIVE_SET_GID)
    }
    if let uid = identity.uid {
      plan.uid = uid
      mark(HIVE_SET_UID)
    }
    if let nice = spec.nice ?? inherited.nice {
      plan.nice = Int32(clamping: nice)
      mark(HIVE_SET_NICE)
    }
    if let priority = spec.ionice {
      plan.io_priority = priority.kernelValue
      mark(HIVE_SET_IO_PRIORITY)
    }
    if let adjust = spec.oomScoreAdjust ?? inherited.oomScoreAdjust {
      plan.oom_score_adjust = Int32(clamping: adjust)
      mark(HIVE_SET_OOM_SCORE_ADJUST)
    }
    if request.cpus?.isEmpty == false { mark(HIVE_SET_AFFINITY) }
    if let policy = request.policy {
      (plan.policy, plan.policy_priority) = policy.kernelValue
      mark(HIVE_SET_POLICY)
    }
    if let memory = spec.memoryPolicy {
      plan.memory_policy = memory.kernelValue
      mark(HIVE_SET_MEMORY_POLICY)
    }
    if spec.noNewPrivileges { mark(HIVE_SET_NO_NEW_PRIVILEGES) }
    if let tag = request.tag {
      plan.tag = tag.value
      mark(HIVE_SET_TAG)
    }
    plan.set = flags.rawValue
    plan.without = without.rawValue
    plan.signals = signals
    plan.cgroup = request.cgroup ?? -1
    plan.pipe = pipe.baseAddress
    plan.pipe_error = pipeError
    plan.clone_error = cloneError
    for (setting, error) in refusing {
      plan.refuse |= setting.flag.rawValue
      plan.refuse_error = error
    }
    plan.stack = stack
    plan.stack_bytes = Spawner.stackBytes
  }
}
