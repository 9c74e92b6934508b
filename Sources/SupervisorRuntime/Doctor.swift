// `hivesup doctor`: which features of the kernel and of the container can be used here, why not, what would allow them, and what is
// done instead. Nothing is believed from version numbers: each feature is tried, in this process, and put back.

import CHiveSys
import CPUTopology
import Glibc
import SupervisorCore

/// Tries everything that the supervisor would like to use. For a process that does nothing else: attributes are changed for a moment.
public struct Doctor {
  /// Where proc is mounted.
  public var proc = "/proc"
  /// Where the cgroup hierarchies are mounted.
  public var cgroups = "/sys/fs/cgroup"
  /// The directory of the control socket.
  public var runDirectory = "/run/hivesup"
  /// The CPUs.
  var machine = Machine.live
  /// A variable's value; nil when it is not set.
  var environment: (String) -> String? = { name in getenv(name).map { String(cString: $0) } }

  /// A doctor for this container.
  public init() {}

  /// Asks everything.
  public func examine() -> DoctorReport {
    DoctorReport(findings: identity() + processes() + control() + resources() + files())
  }

  // MARK: Who and where

  private func identity() -> [DoctorFinding] {
    var name = utsname()
    uname(&name)
    let release = withUnsafeBytes(of: &name.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    let machine = withUnsafeBytes(of: &name.machine) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    let capabilities = hive_effective_capabilities()
    let map = (try? FileBytes.read("\(proc)/self/uid_map", limit: 65536)) ?? []
    let isInitial = map.split(whereSeparator: { $0 == 0x20 || $0 == 0x0A }).map { String(decoding: $0, as: UTF8.self) }
      .elementsEqual(["0", "0", "4294967295"])
    return [
      DoctorFinding("kernel", true, .information, "Linux \(release) on \(machine)"),
      DoctorFinding("user", true, .information, "uid \(geteuid()), gid \(getegid())"),
      DoctorFinding(
        "user-namespace", true, .information,
        isInitial
          ? "ids are the host's, or its first namespace's" : "ids are mapped (user namespace, rootless container)"),
      DoctorFinding("capabilities", true, .information, Capabilities.text(capabilities)),
      DoctorFinding(
        "seccomp", true, .information,
        statusField("Seccomp") == "2"
          ? "a filter may refuse system calls; what follows was tried under it" : "no filter"),
      DoctorFinding(
        "pid-1", getpid() == 1, .information, "this process is \(getpid())",
        remedy: "start hivesup as the container's command, without --init",
        fallback: "it adopts the orphans of its programs as a subreaper; those of others go to PID 1"),
    ]
  }

  // MARK: Processes

  private func processes() -> [DoctorFinding] {
    var hasPidfd: Int32 = 0
    var isShared: Int32 = 0
    let cloneError = hive_probe_clone(&hasPidfd, &isShared)
    let pidfd = hive_pidfd_open(getpid())
    let pidfdError = pidfd < 0 ? errno : 0
    let signalError = pidfd >= 0 && hive_pidfd_signal(pidfd, 0) != 0 ? errno : 0
    if pidfd >= 0 { close(pidfd) }
    let closeRange = hive_probe_close_range(0)
    let closeRangeCloexec = hive_probe_close_range(1)
    let wasSubreaper = hive_is_subreaper()
    let subreaper = hive_set_subreaper(1) == 0 ? 0 : errno
    _ = hive_set_subreaper(wasSubreaper)
    let table = ProcessTable(root: proc)
    return [
      DoctorFinding(
        "clone", cloneError == 0, .required, outcome(cloneError, "children share memory until they execute"),
        remedy: "raise the container's limit of processes (pids.max, RLIMIT_NPROC)"),
      DoctorFinding(
        "vfork", cloneError == 0 && isShared != 0, .useful,
        isShared != 0 ? "starts cost the same at any size" : "CLONE_VM|CLONE_VFORK behaves like fork: an emulator",
        remedy: "run an image of this machine's architecture",
        fallback: "the outcome of a start is read from a pipe later"),
      DoctorFinding(
        "clone-pidfd", hasPidfd != 0, .useful, hasPidfd != 0 ? "the pidfd comes with the child" : "no pidfd from clone",
        remedy: "Linux 5.2", fallback: "pidfd_open"),
      DoctorFinding(
        "pidfd-open", pidfdError == 0, .useful, outcome(pidfdError, "survivors are watched and signalled by pidfd"),
        remedy: "Linux 5.3, and a seccomp profile that knows pidfd_open",
        fallback: "pids, and a short timer while a tree ends"),
      DoctorFinding(
        "pidfd-send-signal", pidfdError == 0 && signalError == 0, .useful,
        outcome(pidfdError != 0 ? pidfdError : signalError, "a recycled pid is never hit"),
        remedy: "Linux 5.1, and a seccomp profile that knows pidfd_send_signal",
        fallback: "kill(2), which is safe for children that we have not reaped"),
      DoctorFinding(
        "close-range", closeRange == 0 && closeRangeCloexec == 0, .useful,
        outcome(closeRange != 0 ? closeRange : closeRangeCloexec, "children get no stray descriptor, in one call"),
        remedy: "Linux 5.11, and a seccomp profile that knows close_range",
        fallback: closeRange == 0 ? "close_range without CLOEXEC" : "\(proc)/self/fd"),
      DoctorFinding(
        "signalfd", tries { signalDescriptor() } == 0, .required,
        outcome(tries { signalDescriptor() }, "signals are events"),
        remedy: "a kernel or sandbox with signalfd(2)"),
      DoctorFinding(
        "subreaper", subreaper == 0 || getpid() == 1, .useful, outcome(subreaper, "orphans of our programs come to us"),
        remedy: "run as PID 1", fallback: "process groups only: what daemonises is lost sight of"),
      DoctorFinding(
        "proc", table.entry(getpid()) != nil, .required,
        table.entry(getpid()) != nil ? "\(proc) shows this pid namespace" : "\(proc) is not this pid namespace's proc",
        remedy: "mount -t proc proc \(proc)"),
      DoctorFinding(
        "proc-children", table.children(of: getpid()) != nil, .useful,
        table.children(of: getpid()) != nil
          ? "children are listed by the kernel" : "there is no \(proc)/PID/task/PID/children",
        remedy: "a kernel with CONFIG_PROC_CHILDREN",
        fallback: "the whole of \(proc) is searched when a tree has survivors"),
      runTag(),
    ]
  }

  private func runTag() -> DoctorFinding {
    var soft: UInt64 = 0
    var hard: UInt64 = 0
    let locks: Int32 = 10  // RLIMIT_LOCKS
    var error = hive_get_limit(locks, &soft, &hard) == 0 ? 0 : errno
    if error == 0 {
      error = hive_set_limit(locks, RunTag.range.lowerBound, hard) == 0 ? 0 : errno
      if error == 0 && ProcessTable(root: proc).tag(getpid()) != RunTag.range.lowerBound { error = ENOSYS }
      _ = hive_set_limit(locks, soft, hard)
    }
    return DoctorFinding(
      "run-tag", error == 0, .useful, outcome(error, "descendants are known by an inherited limit (RLIMIT_LOCKS)"),
      remedy: "no `--ulimit locks=`, and no sandbox that refuses the limit",
      fallback: "process group and descent: a survivor that left its group is known only while its parent lives")
  }

  // MARK: Control groups

  private func control() -> [DoctorFinding] {
    let place = CgroupPlace.detect(root: cgroups, selfCgroup: "\(proc)/self/cgroup")
    var probeError: Int32 = place.unified == nil ? ENOENT : 0
    var hasKill = false
    if let unified = place.unified {
      do throws(SystemError) {
        let probe = try Cgroup(parent: unified, name: "hivesup-doctor-\(getpid())")
        probeError = hive_probe_cgroup(probe.descriptor)
        hasKill = access("\(probe.path)/cgroup.kill", W_OK) == 0
        probe.remove()
      } catch {
        probeError = error.errno
      }
    }
    let counter = OutOfMemoryCounter(place: place)
    return [
      DoctorFinding(
        "cgroup", place.version != .none, .information,
        place.version == .none
          ? "no hierarchy is mounted"
          : "version \(place.version.rawValue)"
            + (place.unified.map { ", ours is \($0)" } ?? ""), remedy: "mount the container's cgroup at \(cgroups)"),
      DoctorFinding(
        "cgroup-per-run", probeError == 0, .useful, outcome(probeError, "a cgroup can be made for each program"),
        remedy: "a delegated, writable cgroup v2 (docker run --cgroupns=private with a writable \(cgroups))",
        fallback: "tag, process group and descent"),
      DoctorFinding(
        "cgroup-kill", hasKill, .useful, hasKill ? "a tree is killed in one write" : "there is no writable cgroup.kill",
        remedy: "a writable cgroup v2 on Linux 5.14", fallback: "every process is signalled until none is left"),
      DoctorFinding(
        "oom-detection", counter.path != nil, .useful,
        counter.path.map { "OOM kills are counted in \($0)" } ?? "no memory controller is visible",
        remedy: "mount the container's cgroup at \(cgroups)", fallback: "an OOM kill is told as SIGKILL"),
    ]
  }

  // MARK: What programs may be given

  private func resources() -> [DoctorFinding] {
    var cpus: Int32 = 0
    let affinity = hive_probe_affinity(&cpus)
    let nice = niceError()
    let realtime = hive_probe_io_priority(1 << 13 | 4)
    let policy = policyError()
    let memory = hive_probe_memory_policy()
    let noNewPrivileges = hive_no_new_privileges()
    let capabilities = hive_effective_capabilities()
    let changesUsers = Capabilities.has("setuid", capabilities) && Capabilities.has("setgid", capabilities)
    let setgroupsDenied = FileBytes.word("\(proc)/self/setgroups") == "deny"
    var soft: UInt64 = 0
    var hard: UInt64 = 0
    _ = hive_get_limit(7, &soft, &hard)
    return [
      DoctorFinding(
        "change-user", changesUsers && !setgroupsDenied, .useful,
        !changesUsers
          ? "CAP_SETUID or CAP_SETGID is missing"
          : setgroupsDenied ? "this user namespace forbids setgroups" : "programs can run as any user",
        remedy: "start as root, with CAP_SETUID and CAP_SETGID",
        fallback: "user_if_root= keeps the supervisor's own user; user= of another one fails"),
      refusable("nice", "nice below the supervisor's own can be set", nice),
      lowering(
        "oom-score-adj", "oom_score_adj below the container's own",
        "CAP_SYS_RESOURCE (docker run --cap-add SYS_RESOURCE)",
        oomScoreError()),
      refusable("ionice-realtime", "ionice=realtime can be set", realtime),
      refusable("sched-policy", "sched_policy=fifo and rr can be set", policy),
      refusable(
        "numa-policy", "numa_policy can be set", memory,
        remedy: "a kernel with CONFIG_NUMA; Docker's seccomp profile allows set_mempolicy with CAP_SYS_NICE"),
      niceCapability(
        Capabilities.has("sys_nice", capabilities),
        [
          ("nice below the supervisor's own", nice), ("ionice=realtime", realtime),
          ("sched_policy=fifo and rr", policy),
          ("numa_policy", memory),
        ]),
    ] + coreClasses() + [
      cpuChanges(),
      DoctorFinding(
        "affinity", affinity == 0, .useful,
        outcome(affinity, "programs can be pinned; this container has \(cpus) CPUs"),
        remedy: "a seccomp profile that allows sched_setaffinity", fallback: "programs run where the kernel likes"),
      DoctorFinding(
        "affinity-of-others", Capabilities.has("sys_nice", capabilities) || changesUsers, .useful,
        Capabilities.has("sys_nice", capabilities)
          ? "running programs of any user can be pinned anew"
          : changesUsers
            ? "running programs are pinned anew as their users" : "CAP_SYS_NICE and CAP_SETUID are missing",
        remedy: "docker run --cap-add SYS_NICE",
        fallback: "only programs of the supervisor's own user, and all at their start"),
      DoctorFinding(
        "no-new-privileges", noNewPrivileges >= 0, .useful,
        noNewPrivileges == 1 ? "already set for the whole container" : "can be set for each program",
        remedy: "Linux 3.5", fallback: "no_new_privileges=true fails"),
      DoctorFinding(
        "open-files", soft >= 1024, .useful,
        "soft limit \(ResourceLimits.text(soft)), hard limit \(ResourceLimits.text(hard))",
        remedy: "docker run --ulimit nofile=4096:65536",
        fallback: "minfds= asks for more up to the hard limit; every program needs about four"),
      acceptQueue(),
    ]
  }

  private func lowering(_ feature: String, _ what: String, _ remedy: String, _ error: Int32) -> DoctorFinding {
    DoctorFinding(
      feature, error == 0, .useful, outcome(error, "\(what) can be set"), remedy: remedy,
      fallback: "programs that ask for it fail to start and say so")
  }

  private func refusable(
    _ feature: String, _ success: String, _ error: Int32,
    remedy: String = "CAP_SYS_NICE (docker run --cap-add SYS_NICE)"
  ) -> DoctorFinding {
    DoctorFinding(
      feature, error == 0, .useful, outcome(error, success), remedy: remedy,
      fallback: "programs that ask for it run without, and hivesup says so")
  }

  private func policyError() -> Int32 {
    var (policy, priority): (Int32, Int32) = (0, 0)
    let error = hive_get_policy(0, &policy, &priority)
    if error != 0 { return error }
    let (fifo, lowest) = SchedulingPolicy.fifo(1).kernelValue
    let outcome = hive_set_policy(0, fifo, lowest)
    _ = hive_set_policy(0, policy, priority)
    return outcome
  }

  private func cpuChanges() -> DoctorFinding {
    let hears = tries { hive_cpu_events_open() } == 0
    let place = CgroupPlace.detect(root: cgroups, selfCgroup: "\(proc)/self/cgroup")
    let watch = hive_file_watch_open()
    defer { if watch >= 0 { close(watch) } }
    let sees = watch >= 0 && place.cpusetFiles.contains { hive_file_watch_add(watch, $0) == 0 }
    let sources = [hears ? "uevents of CPUs" : nil, sees ? "writes to the cpuset" : nil].compactMap { $0 }
    return DoctorFinding(
      "cpu-changes", hears || sees, .useful,
      sources.isEmpty ? "nothing tells when CPUs come and go" : "told by \(sources.joined(separator: " and "))",
      remedy: "a container outside of user namespaces, with its cgroup mounted at \(cgroups)",
      fallback: "CPUs are looked at when a program starts, a report comes or somebody asks")
  }

  private func niceError() -> Int32 {
    let which = __priority_which_t(PRIO_PROCESS.rawValue)
    let own = getpriority(which, 0)
    if setpriority(which, 0, own - 1) != 0 { return errno }
    _ = setpriority(which, 0, own)
    return 0
  }

  private func oomScoreError() -> Int32 {
    let path = "\(proc)/self/oom_score_adj"
    guard let own = FileBytes.word(path).flatMap({ Int($0) }) else { return ENOENT }
    let file = open(path, O_WRONLY | O_CLOEXEC)
    if file < 0 { return errno }
    defer { close(file) }
    let lower = Array("\(max(own - 1, -1000))".utf8)
    if write(file, lower, lower.count) < 0 { return errno }
    let before = Array("\(own)".utf8)
    _ = pwrite(file, before, before.count, 0)
    return own == -1000 ? EINVAL : 0
  }

  private func acceptQueue() -> DoctorFinding {
    let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    defer { if listener >= 0 { close(listener) } }
    var error = listener < 0 || listen(listener, 1) != 0 ? errno : 0
    var length: UInt32 = 0
    var limit: UInt32 = 0
    if error == 0 && hive_accept_queue(listener, &length, &limit) != 0 { error = errno }
    return DoctorFinding(
      "accept-queue", error == 0, .useful, outcome(error, "a program that stops accepting is noticed (TCP_INFO)"),
      remedy: "a kernel or sandbox that answers TCP_INFO for listeners", fallback: "liveness= checks notice it")
  }

  // MARK: Files

  private func files() -> [DoctorFinding] {
    var null = stat()
    let nullIsRight =
      stat("/dev/null", &null) == 0 && null.st_mode & S_IFMT == S_IFCHR && null.st_rdev == 0x103
      && null.st_mode & 0o666 == 0o666
    var shared = statvfs()
    let hasShared = statvfs("/dev/shm", &shared) == 0
    // 0 blocks: a tmpfs without a limit.
    let sharedMebibytes = shared.f_blocks == 0 ? .max : (UInt64(shared.f_blocks) &* UInt64(shared.f_frsize)) >> 20
    let rootIsWritable = access("/", W_OK) == 0
    let parent = runDirectory.split(separator: "/").dropLast().joined(separator: "/")
    let canRun = access(runDirectory, W_OK) == 0 || access(runDirectory, F_OK) != 0 && access("/\(parent)", W_OK) == 0
    return [
      DoctorFinding(
        "dev-null", nullIsRight, .required,
        nullIsRight ? "a device that everybody may use" : "/dev/null is not what it should be",
        remedy: "mknod -m 666 /dev/null c 1 3"),
      DoctorFinding(
        "shared-memory", hasShared && sharedMebibytes >= 128, .useful,
        !hasShared ? "there is no /dev/shm" : "/dev/shm has \(ResourceLimits.text(sharedMebibytes)) MiB",
        remedy: "docker run --shm-size=256m, for PostgreSQL's parallel queries",
        fallback: "dynamic_shared_memory_type = mmap in postgresql.conf"),
      DoctorFinding(
        "writable-root", true, .information,
        rootIsWritable
          ? "the root directory can be written" : "the root directory is read-only: fine, nothing of ours needs it"),
      DoctorFinding(
        "run-directory", canRun, .useful,
        canRun
          ? "\(runDirectory) can be used for the control socket" : "\(runDirectory) can be neither written nor made",
        remedy: "docker run --tmpfs /run, or control_socket= in a directory that can be written",
        fallback: "no control socket: no ctl, no healthcheck; the HTTP port still tells the health"),
    ]
  }

  // MARK: Helpers

  private func outcome(_ error: Int32, _ success: String) -> String { error == 0 ? success : errorText(error) }

  private func tries(_ make: () -> Int32) -> Int32 {
    let descriptor = make()
    if descriptor < 0 { return errno }
    close(descriptor)
    return 0
  }

  private func signalDescriptor() -> Int32 {
    var set = sigset_t()
    sigemptyset(&set)
    sigaddset(&set, SIGTERM)
    return signalfd(-1, &set, Int32(SFD_CLOEXEC))
  }

  private func statusField(_ key: String) -> String? {
    guard let bytes = try? FileBytes.read("\(proc)/self/status", limit: 65536) else { return nil }
    for line in bytes.split(separator: 0x0A) where line.starts(with: Array("\(key):".utf8)) {
      let word = line.dropFirst(key.utf8.count + 1).split(whereSeparator: { $0 == 0x09 || $0 == 0x20 }).first ?? []
      return String(decoding: word, as: UTF8.self)
    }
    return nil
  }
}

/// Capabilities by name (capabilities(7), linux/capability.h).
enum Capabilities {
  /// In the order of their numbers.
  static let names = [
    "chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap",
    "linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner",
    "sys_module",
    "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice", "sys_resource",
    "sys_time",
    "sys_tty_config", "mknod", "lease", "audit_write", "audit_control", "setfcap", "mac_override", "mac_admin",
    "syslog",
    "wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf", "checkpoint_restore",
  ]

  /// Whether a set has a capability.
  static func has(_ name: String, _ set: UInt64) -> Bool {
    guard let number = names.firstIndex(of: name) else { return false }
    return set >> UInt64(number) & 1 == 1
  }

  /// A set for people: all of it, what is in it, or what is missing, whichever is shorter.
  static func text(_ set: UInt64) -> String {
    let present = names.filter { has($0, set) }
    let absent = names.filter { !has($0, set) }
    if present.isEmpty { return "none" }
    if absent.isEmpty { return "all" }
    if absent.count < present.count { return "all but \(absent.joined(separator: ", "))" }
    return present.joined(separator: ", ")
  }
}

/// `hivesupd --doctor`: prints the report; 0 when everything that is required is there, otherwise 1.
public func runDoctor(json: Bool) -> Int32 {
  let report = Doctor().examine()
  let bytes = Array((json ? report.json : report.text).utf8)
  var done = 0
  while done < bytes.count {
    let count = bytes[done...].withUnsafeBytes { write(1, $0.baseAddress, $0.count) }
    if count < 0 && errno == EINTR { continue }
    if count <= 0 { return 1 }
    done += count
  }
  return report.exitStatus
}
