import CHiveSys
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
