import CHiveSys
import CPUTopology
import Glibc
import SupervisorCore
import Testing

@testable import SupervisorRuntime

@Suite("Doctor", .serialized)
struct DoctorTests {
  private func report(_ prefix: [String] = []) throws -> [String: String] {
    let lines = try fixture("doctor", prefix: prefix)
    #expect(lines.last == "fit true")
    var findings: [String: String] = [:]
    for line in lines.dropLast() {
      let words = line.split(separator: " ", maxSplits: 1)
      findings[String(words[0])] = String(words[1])
    }
    return findings
  }

  @Test("The machine of the tests has what they rely on")
  func here() throws {
    let findings = try report()
    for feature in [
      "clone", "vfork", "clone-pidfd", "pidfd-open", "pidfd-send-signal", "signalfd", "proc", "run-tag", "dev-null",
    ] {
      #expect(findings[feature]?.hasPrefix("true") == true, "\(feature): \(findings[feature] ?? "not asked")")
    }
    #expect(findings["pid-1"]?.hasPrefix("false") == true)
    #expect(findings["core-classes"] != nil && findings["core-class-overrides"] != nil)
  }

  /// What a doctor says of a machine with these files, of which the process may use some CPUs.
  private func cores(
    _ files: [String: String], allowed: CPUSet, _ environment: [String: String] = [:]
  ) -> [String: DoctorFinding] {
    var doctor = Doctor()
    doctor.machine = Machine(
      files: MachineFiles { name, most in files[name].map { Array(Array($0.utf8).prefix(most)) } },
      affinity: { allowed })
    doctor.environment = { environment[$0] }
    return Dictionary(uniqueKeysWithValues: doctor.coreClasses().map { ($0.feature, $0) })
  }

  private let alike = ["sys/devices/system/cpu/online": "0-1\n", "sys/devices/system/cpu/possible": "0-1\n"]
  private let hybrid = [
    "sys/devices/system/cpu/online": "0-7\n", "sys/devices/system/cpu/possible": "0-7\n",
    "sys/devices/system/cpu/isolated": "7\n", "sys/devices/cpu_core/cpus": "0-3\n",
    "sys/devices/cpu_atom/cpus": "4-6\n", "sys/devices/cpu_lowpower/cpus": "7\n",
  ]

  @Test("The classes are told as they are within what is allowed, and what stands in for an empty one")
  func classes() {
    let plain = cores(alike, allowed: [0, 1])
    #expect(plain["core-classes"]?.detail == "all cores are alike: every class is CPU 0-1")
    #expect(plain["core-classes"]?.available == true && plain["core-class-overrides"]?.importance == .information)

    let narrow = cores(hybrid, allowed: [2, 3, 5, 7])["core-classes"]
    #expect(narrow?.detail == "performance 2-3 of 0-3, efficiency 5 of 4-6, low-power empty, none of 7")
    #expect(narrow?.available == false && narrow?.remedy == "leave CPU 7 to the scheduler (isolcpus=)")
    #expect(narrow?.fallback?.hasPrefix("low-power CPU 7 is isolated; falls to efficiency") == true)
    #expect(narrow?.fallback?.hasSuffix(": CPU 5") == true)

    let wide = cores(hybrid.filter { $0.key != "sys/devices/system/cpu/isolated" }, allowed: [0, 1, 2, 3, 4, 5, 6, 7])
    #expect(wide["core-classes"]?.available == true)
    #expect(wide["core-classes"]?.detail == "performance 0-3, efficiency 4-6, low-power 7")
  }

  @Test("Overrides that name what is not allowed, or cannot be used, are told")
  func overrides() {
    // docker run --cpuset-cpus 1 --env HIVE_CPU_PERFORMANCE=0
    let one = cores(alike, allowed: [1], ["HIVE_CPU_PERFORMANCE": "0"])
    #expect(one["core-classes"]?.available == false)
    #expect(one["core-classes"]?.detail == "performance empty, none of 0, unclassified 1")
    #expect(
      one["core-classes"]?.fallback
        == "performance CPU 0 is not allowed here; no CPU is efficiency; no CPU is low-power; "
        + "falls to any CPU that is allowed: CPU 1")
    #expect(one["core-classes"]?.remedy == "allow CPU 0 (docker run --cpuset-cpus)")
    #expect(
      one["core-class-overrides"]?.detail == "HIVE_CPU_PERFORMANCE names CPU 0, which is not allowed here"
        && one["core-class-overrides"]?.available == false)

    let two = cores(alike, allowed: [1], ["HIVE_CPU_PERFORMANCE": "0", "HIVE_CPU_EFFICIENCY": "1"])["core-classes"]
    #expect(two?.fallback == "performance CPU 0 is not allowed here; falls to efficiency: CPU 1")

    let good = cores(alike, allowed: [0, 1], ["HIVE_CPU_PERFORMANCE": "0,1", "HIVE_CPU_EFFICIENCY": " none "])
    #expect(good["core-class-overrides"]?.detail == "HIVE_CPU_PERFORMANCE=0-1, HIVE_CPU_EFFICIENCY=none")
    #expect(good["core-class-overrides"]?.available == true && good["core-classes"]?.detail == "performance 0-1")

    let wrong = cores(alike, allowed: [0, 1], ["HIVE_CPU_PERFORMANCE": "9", "HIVE_CPU_EFFICIENCY": "x"])
    let text = wrong["core-class-overrides"]?.detail ?? ""
    #expect(text.contains("HIVE_CPU_PERFORMANCE=9") && text.contains("HIVE_CPU_EFFICIENCY='x'"))
    #expect(wrong["core-class-overrides"]?.available == false)
    #expect(wrong["core-classes"]?.detail == "all cores are alike: every class is CPU 0-1")
  }

  @Test("What is refused is named with its reason, with the capability and without")
  func niceCapability() {
    let doctor = Doctor()
    let missing = doctor.niceCapability(false, [("nice", EACCES), ("ionice", 0), ("policy", EPERM)])
    #expect(missing.detail.hasSuffix("refused: nice (Permission denied), policy (Operation not permitted)"))
    #expect(missing.remedy == "docker run --cap-add SYS_NICE" && missing.fallback != nil)
    let present = doctor.niceCapability(true, [("nice", 0)])
    #expect(present.available && present.detail == "CAP_SYS_NICE is there; no priority is refused")
  }

  @Test("Nothing that was tried is left changed")
  func leavesNoTrace() throws {
    #expect(try fixture("doctor-trace") == ["same true"])
  }

  @Test("As PID 1 it says so", .enabled(if: isRoot, "unshare(2) of a pid namespace needs root"))
  func asInit() throws {
    #expect(try report(["unshare", "--fork", "--pid", "--mount-proc"])["pid-1"]?.hasPrefix("true") == true)
  }

  @Test("Without capabilities it names each one that is missing", .enabled(if: isRoot, "only root has some to lose"))
  func withoutCapabilities() throws {
    let findings = try report([
      "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all",
    ])
    let wanted = [
      "change-user": "CAP_SETUID", "nice": "CAP_SYS_NICE", "oom-score-adj": "CAP_SYS_RESOURCE",
      "ionice-realtime": "CAP_SYS_NICE", "affinity-of-others": "SYS_NICE", "sched-policy": "CAP_SYS_NICE",
      "cap-sys-nice": "CAP_SYS_NICE is missing; refused: nice below the supervisor's own (Permission denied)",
    ]
    for (feature, capability) in wanted {
      let text = findings[feature] ?? "not asked"
      #expect(text.hasPrefix("false") && text.contains(capability), "\(feature): \(text)")
    }
    #expect(findings["capabilities"] == "true none")
  }

  @Test("Its JSON is what it says in text, and remedies belong to what is missing only")
  func forms() {
    let report = DoctorReport(findings: [
      DoctorFinding("a", true, .useful, "fine", remedy: "none needed", fallback: "x"),
      DoctorFinding("long-name", false, .useful, "\"quoted\"", remedy: "do this", fallback: "do that"),
    ])
    #expect(
      report.text == """
        ok a          fine
        -- long-name  "quoted"
                      to have it: do this
                      instead: do that
        Everything that is needed is there.

        """)
    #expect(
      report.json
        == #"{"fit":true,"features":[{"feature":"a","available":true,"importance":"useful","detail":"fine","remedy":null,"#
        + #""fallback":null},{"feature":"long-name","available":false,"importance":"useful","detail":"\"quoted\"","#
        + #""remedy":"do this","fallback":"do that"}]}"# + "\n")
    let unfit = DoctorReport(findings: [DoctorFinding("a", false, .required, "gone")])
    #expect(unfit.exitStatus == 1 && unfit.text.hasPrefix("!! a  gone\n"))
    #expect(report.exitStatus == 0)
  }

  @Test("A mounted proc of nobody, or none, is found out")
  func noProc() throws {
    let lines = try fixture("doctor", "/no/such/place")
    #expect(lines.last == "fit false")
    let missing = lines.filter { $0.contains(" false ") }.compactMap { $0.split(separator: " ").first.map(String.init) }
    let wanted: Set = ["proc", "proc-children", "run-tag", "cgroup", "cgroup-per-run", "cgroup-kill", "oom-detection"]
    #expect(Set(missing).isSuperset(of: wanted))
  }

  @Test("Capability sets are told by name")
  func capabilities() {
    #expect(Capabilities.text(0) == "none")
    #expect(Capabilities.text(.max) == "all")
    #expect(Capabilities.text(1 << 23 | 1) == "chown, sys_nice")
    #expect(Capabilities.text(~(1 << 24)) == "all but sys_resource")
    #expect(Capabilities.has("setuid", 1 << 7) && !Capabilities.has("nonsense", .max))
  }
}
