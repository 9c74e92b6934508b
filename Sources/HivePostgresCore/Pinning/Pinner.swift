// Puts each process of the server on the CPUs of its role. Inheritance does most of it: a backend has the postmaster's mask from birth
// on. What else the postmaster starts is found in its list of children, a quarter of a second later at most.

import CPUTopology
import ControlProtocol
import Glibc

/// Keeps the server's processes where the plan wants them.
struct Pinner {
  /// How often the list of children is read.
  static let interval = Duration.milliseconds(250)
  /// How often just after the postmaster's start, when it starts most of what it ever does.
  static let firstInterval = Duration.milliseconds(20)
  private static let firstLooks = 10

  private struct Process {
    /// Clock ticks since boot at its start; nil until a check has read it.
    var start: UInt64?
    /// nil: a child that still has the postmaster's title, or a program that is none of the server's.
    var role: ServerRole?
    var isPending = false
    /// errno of the last attempt to move it.
    var refusal: Int32 = 0
  }

  private let settings: PinSettings
  private let console: Console
  private let machine: Machine
  private let environment: [String: String]
  private let kernel: PinKernel
  /// The postmaster and its children, for looks between two checks at a server that has just come.
  private let find: () -> (postmaster: ProcessInfo, children: [ProcessInfo])?
  private let record: PinRecord.Store
  /// Whether a monitor before this one had placed the server has been looked at, where this one does not.
  private var hasLetGo = false

  private var fingerprint: TopologyFingerprint?
  private var topology: Topology?
  private var state = ThermalState.normal
  private(set) var plan: PinPlan?
  private var postmaster: ProcessIdentity?
  /// What is recorded of it.
  private var recorded: PinRecord?
  private var postmasterTitle = ""
  private var postmasterRefusal: Int32 = 0
  private var monitorRefusal: Int32 = 0
  private var list: [UInt8] = []
  private var processes: [pid_t: Process] = [:]
  private var pending = 0
  /// How often in a row the kernel has had a process on other CPUs just after it was told. It may be somebody else who is at work just
  /// then; after some attempts it is the kernel's own will, and it is not told again before the next check.
  private var misses: [pid_t: Int] = [:]
  private static let mostMisses = 4
  private var looksLeft = 0
  private var said: Set<String> = []
  private var saidErrors: Set<Int32> = []

  init(
    settings: PinSettings, environment: [String: String], machine: Machine, kernel: PinKernel, console: Console,
    record: PinRecord.Store = .none, find: @escaping () -> (postmaster: ProcessInfo, children: [ProcessInfo])?
  ) {
    self.settings = settings
    self.environment = environment
    self.machine = machine
    self.kernel = kernel
    self.console = console
    self.record = record
    self.find = find
  }

  /// For this machine. What is allowed here is what the supervisor may use: this process, and the server, may have been given less than
  /// that by the supervisor, or by a pinner before this one.
  static func live(
    settings: PinSettings, environment: [String: String], dataDirectory: String, runDirectory: String,
    console: Console
  ) -> Pinner {
    let own = Affinity.current()
    let supervisor = getppid()
    // A supervisor that has moved itself says where it was started: its own affinity does not tell any more what is allowed.
    let home = environment[HomeCPUs.variable].flatMap { HomeCPUs(text: $0) }
    var machine = Machine.live
    machine.affinity = { [supervisor] in
      guard environment["HIVESUP_SOCKET"].map({ !$0.isEmpty }) ?? false, getppid() == supervisor, supervisor > 0 else {
        return own
      }
      if let home { return home.allowed() ?? own }
      return Affinity.current(of: supervisor) ?? own
    }
    return Pinner(
      settings: settings, environment: environment, machine: machine, kernel: .live(), console: console,
      record: .file(in: runDirectory), find: { StoppedProcesses.server(of: dataDirectory) })
  }

  /// How long until the next `poll`; nil while nothing is pinned.
  var interval: Duration? { plan == nil ? nil : looksLeft > 0 ? Pinner.firstInterval : Pinner.interval }

  // MARK: With every check

  /// Looks at the machine, the heat and every process. `server` is what /proc shows.
  mutating func look(_ server: (postmaster: ProcessInfo, children: [ProcessInfo])?, state: ThermalState) {
    self.state = state
    replan()
    guard plan != nil else {
      if let server { letGo(server) }
      return
    }
    misses = [:]
    pinSelf()
    guard let server else {
      forget()
      return
    }
    if server.postmaster.identity != postmaster { meet(server.postmaster.identity) }
    for child in server.children {
      // A number that was given to another process since.
      if let start = processes[child.identity.pid]?.start, start != child.identity.start {
        processes[child.identity.pid] = nil
      }
    }
    // Whatever changed, and whoever changed it: what the plan says holds.
    pinPostmaster()
    list = kernel.children(server.postmaster.identity.pid) ?? []
    update(list.isEmpty ? server.children.map(\.identity.pid) : Pinner.numbers(list))
    for child in server.children { processes[child.identity.pid]?.start = child.identity.start }
    for pid in processes.keys { pin(pid) }
  }

  private mutating func replan() {
    lookAtMachine()
    guard let topology, plan != nil || settings.isOn(topology) else { return }
    let plan = PinPlan(settings, topology, state)
    let isChanged = plan != self.plan
    self.plan = plan
    guard isChanged else { return }
    console.info(plan.summary)
    remember()
  }

  private mutating func lookAtMachine() {
    let seen = machine.fingerprint()
    guard seen != fingerprint else { return }
    if let fingerprint {
      console.info("the machine has changed: \(seen.changes(since: fingerprint).joined(separator: "; "))")
    }
    fingerprint = seen
    do throws(ClassOverrideError) {
      topology = try machine.topology(environment: { environment[$0] })
    } catch {
      for message in error.messages {
        say(warning: "\(message); the cores' classes are what was detected")
      }
      topology = machine.topology()
    }
  }

  /// Notes where the plan places the server, before it is placed there.
  private mutating func remember() {
    guard let plan, var now = recorded else { return }
    now.placed = plan.placements
    guard now != recorded else { return }
    recorded = now
    record.write(now)
  }

  /// Nothing is to be placed: what a monitor before this one has done to this server is taken back, once. What has other CPUs than it was
  /// given then has been placed by somebody else since, and stays.
  private mutating func letGo(_ server: (postmaster: ProcessInfo, children: [ProcessInfo])) {
    guard !hasLetGo else { return }
    hasLetGo = true
    let postmaster = server.postmaster.identity
    guard let before = record.read(), before.postmaster == postmaster else { return }
    let children = kernel.children(postmaster.pid).map(Pinner.numbers) ?? server.children.map(\.identity.pid)
    // The postmaster first: those that are born from now on need nothing more.
    let found = ([postmaster.pid] + children).compactMap { pid -> (pid: pid_t, now: CPUSet, then: CPUSet?)? in
      guard let now = kernel.mask(pid) else { return nil }
      // What is none of the server's roles, or not yet, has what it was born with: the postmaster's.
      let role = pid == postmaster.pid ? nil : kernel.title(pid).flatMap { ServerRole(title: $0) }
      return (pid, now, before.placed[role.map { PinGroup($0) } ?? .backends])
    }
    guard let first = found.first, first.pid == postmaster.pid else { return }
    // All in one place where roles had several: the whole tree has been moved, though some of it to where it was.
    let isMoved = Set(found.map(\.now)).count == 1 && Set(found.map(\.then)).count > 1
    guard first.now == first.then, !isMoved else {
      record.write(nil)
      console.info("cores by role: off; the server has been placed anew since, on CPU \(first.now): it stays there")
      return
    }
    var isRefused = false
    var others = 0
    for process in found {
      // What was born since the last monitor has ended is still where the postmaster is.
      guard process.now == process.then || process.now == first.now else {
        if process.now != before.cpus { others += 1 }
        continue
      }
      let name = process.pid == postmaster.pid ? "postmaster" : "process \(process.pid)"
      // A cpuset that has none of these CPUs any more is where the process is now.
      if set(before.cpus, process.pid, name, mayLack: true) != 0 { isRefused = true }
    }
    guard !isRefused else { return }
    record.write(nil)
    let rest = others == 0 ? "" : "; \(others) of them that somebody else has placed stay where they are"
    console.info("cores by role: off; the server's processes run on CPU \(before.cpus) again, as at its start\(rest)")
  }

  // MARK: In between

  /// Looks whether the postmaster has new children, and whether somebody else has moved one that is known: the supervisor does so with
  /// the whole tree when its configuration or the machine's CPUs change. When nothing has changed this is a short system call for each.
  mutating func poll() {
    guard plan != nil else { return }
    guard let postmaster else {
      guard let server = find() else { return }
      meet(server.postmaster.identity)
      pinPostmaster()
      update(server.children.map(\.identity.pid))
      return
    }
    looksLeft = max(0, looksLeft - 1)
    guard let now = kernel.children(postmaster.pid) else {
      // Gone, or a kernel that does not tell: then the checks do it all.
      if kernel.mask(postmaster.pid) == nil { forget() }
      return
    }
    comeBack(postmaster.pid)
    guard now != list || pending > 0 else { return }
    list = now
    update(Pinner.numbers(now))
  }

  /// Takes back those that were moved. What the kernel has refused or done by half is tried again with the next check only.
  private mutating func comeBack(_ postmaster: pid_t) {
    guard let plan, isAnyoneMoved(plan, postmaster) else { return }
    // It may be the machine that has changed: then they are where they belong by now.
    replan()
    if postmasterRefusal == 0 { pinPostmaster() }
    if monitorRefusal == 0 { pinSelf() }
    for pid in Array(processes.keys) where processes[pid]?.refusal == 0 { pin(pid) }
    guard let plan = self.plan else { return }
    note(postmaster, .backends, plan)
    note(0, .monitor, plan)
    for (pid, process) in processes { if let role = process.role { note(pid, PinGroup(role), plan) } }
    if misses.contains(where: { processes[$0.key] == nil && $0.key != postmaster && $0.key != 0 }) {
      misses = misses.filter { processes[$0.key] != nil || $0.key == postmaster || $0.key == 0 }
    }
  }

  private mutating func note(_ pid: pid_t, _ group: PinGroup, _ plan: PinPlan) {
    if kernel.isOn(plan[group].placement.cpus, pid) == false {
      misses[pid, default: 0] += 1
    } else {
      misses[pid] = nil
    }
  }

  private func isAnyoneMoved(_ plan: PinPlan, _ postmaster: pid_t) -> Bool {
    if isMoved(postmaster, .backends, postmasterRefusal, plan) || isMoved(0, .monitor, monitorRefusal, plan) {
      return true
    }
    return processes.contains { pid, process in
      process.role.map { isMoved(pid, PinGroup($0), process.refusal, plan) } ?? false
    }
  }

  private func isMoved(_ pid: pid_t, _ group: PinGroup, _ refusal: Int32, _ plan: PinPlan) -> Bool {
    refusal == 0 && misses[pid, default: 0] < Pinner.mostMisses && kernel.isOn(plan[group].placement.cpus, pid) == false
  }

  /// At the end of the monitor: nobody would take back what was done against the heat.
  mutating func release() {
    guard let topology, plan != nil, state != .normal else { return }
    state = .normal
    plan = PinPlan(settings, topology, .normal)
    remember()
    pinPostmaster()
    for pid in processes.keys { pin(pid) }
  }

  // MARK: Processes

  private mutating func meet(_ identity: ProcessIdentity) {
    forget()
    postmaster = identity
    postmasterTitle = kernel.title(identity.pid) ?? ""
    // As it was before anybody moved it; a monitor before this one may know that.
    let before = record.read()
    recorded = before?.postmaster == identity ? before : nil
    if recorded == nil, let cpus = kernel.mask(identity.pid) {
      recorded = PinRecord(postmaster: identity, cpus: cpus)
    }
    remember()
    looksLeft = Pinner.firstLooks
  }

  private mutating func forget() {
    postmaster = nil
    recorded = nil
    postmasterRefusal = 0
    list = []
    processes = [:]
    pending = 0
    misses = [:]
  }

  /// Takes over the list of children: new ones are recognised and moved, those that are gone forgotten.
  private mutating func update(_ numbers: [pid_t]) {
    var left: [pid_t: Process] = [:]
    left.reserveCapacity(numbers.count)
    pending = 0
    for pid in numbers {
      if let known = processes[pid], !known.isPending {
        left[pid] = known
        continue
      }
      // Reading one that is just ending gives nothing.
      guard let title = kernel.title(pid) else { continue }
      var process = processes[pid] ?? Process()
      process.role = ServerRole(title: title)
      // Between its fork and its title a child has the postmaster's; an ending one has none at all.
      process.isPending = process.role == nil && (title.isEmpty || title == postmasterTitle)
      if process.isPending { pending += 1 }
      process.refusal = refusal(process, pid)
      left[pid] = process
    }
    processes = left
  }

  private mutating func pin(_ pid: pid_t) {
    guard var process = processes[pid] else { return }
    process.refusal = refusal(process, pid)
    processes[pid] = process
  }

  /// Moves a process where its role belongs; returns errno.
  private mutating func refusal(_ process: Process, _ pid: pid_t) -> Int32 {
    guard let role = process.role, let plan else { return 0 }
    return set(plan[PinGroup(role)].placement.cpus, pid, role.rawValue)
  }

  /// Before its children: those that are born from now on need nothing more.
  private mutating func pinPostmaster() {
    guard let plan, let postmaster else { return }
    postmasterRefusal = set(plan[.backends].placement.cpus, postmaster.pid, "postmaster")
  }

  private mutating func pinSelf() {
    guard let plan else { return }
    monitorRefusal = set(plan[.monitor].placement.cpus, 0, "hive-postgres monitor")
  }

  /// Returns errno. With `mayLack` it is no error that the server's cpuset has none of the CPUs.
  private mutating func set(_ cpus: CPUSet, _ pid: pid_t, _ name: String, mayLack: Bool = false) -> Int32 {
    guard !cpus.isEmpty, kernel.isOn(cpus, pid) == false else { return 0 }
    var error = kernel.setMask(cpus, pid)
    if error == ESRCH || (mayLack && error == EINVAL) { return 0 }
    if error == 0 {
      for thread in kernel.otherThreads(pid == 0 ? getpid() : pid) {
        let one = kernel.setMask(cpus, thread)
        if one != 0, one != ESRCH, !(mayLack && one == EINVAL) { error = one }
      }
    }
    // Once for each cause: what holds for one process holds for hundreds.
    if error != 0, saidErrors.insert(error).inserted {
      console.warning(
        "cannot run the \(name) on CPU \(cpus): \(Failure.describe(error)); it stays where it is; \(Pinner.remedy(error))"
      )
    }
    return error
  }

  private mutating func say(warning text: String) {
    if said.insert(text).inserted { console.warning(text) }
  }

  /// What would allow what the kernel does not.
  private static func remedy(_ error: Int32) -> String {
    switch error {
    case EPERM:
      "run the monitor as the server's user, or with CAP_SYS_NICE; a seccomp profile has to allow sched_setaffinity"
    case EINVAL: "the server's cpuset has none of these CPUs: allow them (docker run --cpuset-cpus), or ask for others"
    default: "give HIVE_PG_PIN=off to go without"
    }
  }

  /// The process numbers of a list of children.
  private static func numbers(_ bytes: [UInt8]) -> [pid_t] {
    var numbers: [pid_t] = []
    var number: pid_t = 0
    for byte in bytes {
      if byte >= 0x30, byte <= 0x39 {
        number = number &* 10 &+ pid_t(byte &- 0x30)
      } else if number > 0 {
        numbers.append(number)
        number = 0
      }
    }
    if number > 0 { numbers.append(number) }
    return numbers
  }
}

// MARK: The report

extension Pinner {
  /// Where everything runs, as the kernel has it; nil while nothing is pinned.
  func document() -> ServerPinningDocument? {
    guard let plan else { return nil }
    var roles: [ServerPinningDocument.Role] = PinGroup.allCases.map { group in
      let entry = plan[group]
      return ServerPinningDocument.Role(
        name: group.rawValue, requested: entry.wish.text, cpus: entry.placement.cpus.list, isMoved: entry.isMoved,
        explanation: entry.explanation)
    }
    var refusals: [Int32: Int] = [:]
    func count(_ group: PinGroup, _ pid: pid_t, _ refusal: Int32) {
      guard let isThere = kernel.isOn(plan[group].placement.cpus, pid),
        let index = PinGroup.allCases.firstIndex(of: group)
      else { return }
      roles[index].processes += 1
      if !isThere { roles[index].elsewhere += 1 }
      if refusal != 0 { refusals[refusal, default: 0] += 1 }
    }
    count(.monitor, 0, monitorRefusal)
    if let postmaster { count(.backends, postmaster.pid, postmasterRefusal) }
    for (pid, process) in processes {
      guard let role = process.role else { continue }
      count(PinGroup(role), pid, process.refusal)
    }
    return ServerPinningDocument(
      profile: plan.profile.rawValue, roles: roles.filter { $0.processes > 0 },
      refused: refusals.sorted { $0.key < $1.key }.map { error, processes in
        ServerPinningDocument.Refusal(
          processes: processes, message: "the kernel does not move them: \(Failure.describe(error))",
          remedy: Pinner.remedy(error))
      })
  }
}
