import CHiveSys
import Glibc
import SupervisorCore

// The sentences for what the kernel refused on the way from clone to exec.
extension FailureContext {
  /// The failure that the child, or the parent in front of it, reported.
  func failure(_ result: hive_spawn_result) -> SpawnFailure {
    let stage = SpawnStage(rawValue: result.stage) ?? .exec
    return SpawnFailure(
      stage: stage, errno: result.error, text: text(stage, result.error, detail: result.detail),
      isShortage: SystemError.isShortage(result.error))
  }

  private func text(_ stage: SpawnStage, _ error: Int32, detail: Int32) -> String {
    switch stage {
    case .command, .prepare: return "cannot start \(file): \(errorText(error))"
    case .pipe:
      return sentence(
        "create the pipe for the start's outcome", error,
        error == EMFILE || error == ENFILE ? "raise minfds, or the container's limit of open files" : nil)
    case .clone:
      return sentence(
        "create a process", error,
        error == EAGAIN ? "the limit of processes is reached (pids.max of the container, or RLIMIT_NPROC)" : nil)
    case .session: return sentence("make a process group", error, nil)
    case .descriptors:
      return sentence(
        "arrange the descriptors", error, error == EMFILE ? "raise limit_nofile of the program, or minfds" : nil)
    case .limits:
      guard detail >= 0, Int(detail) < limits.count else { return sentence("set the resource limits", error, nil) }
      let limit = limits[Int(detail)]
      return sentence(
        "set limit_\(limit.resource)=\(ResourceLimits.text(limit.soft)):\(ResourceLimits.text(limit.hard))", error,
        error == EPERM ? "raising a hard limit needs CAP_SYS_RESOURCE" : nil)
    case .priority: return priorityText(error, detail: detail)
    case .groups:
      return sentence("set the supplementary groups\(ofUser)", error, error == EPERM ? "it needs CAP_SETGID" : nil)
    case .gid: return sentence("set the group\(ofUser)", error, error == EPERM ? "it needs CAP_SETGID" : nil)
    case .uid:
      return sentence(
        "become user \(userName)\(uid.map { " (uid \($0))" } ?? "")", error,
        error == EPERM ? "it needs CAP_SETUID" : error == EINVAL ? "this user namespace does not map the id" : nil)
    case .directory:
      let directory = execution.directory ?? ""
      return sentence("change to directory \(directory)\(error == EACCES ? asUser : "")", error, nil)
    case .noNewPrivileges: return sentence("set no_new_privs", error, nil)
    case .exec:
      return sentence("execute \(file)\(error == EACCES || error == EPERM ? asUser : "")", error, remedy(error))
    case .resources: return sentence("set the resources of the program", error, nil)
    }
  }

  private func priorityText(_ error: Int32, detail: Int32) -> String {
    switch UInt32(bitPattern: detail) {
    case HIVE_SET_OOM_SCORE_ADJUST.rawValue:
      return sentence(
        "set oom_score_adj=\(execution.oomScoreAdjust ?? 0)", error,
        error == EACCES || error == EPERM ? "a value below the container's own needs CAP_SYS_RESOURCE" : nil)
    default: return sentence("set the priority", error, nil)
    }
  }

  /// Why execve(2) refuses a file that is there.
  private func remedy(_ error: Int32) -> String? {
    switch error {
    case ENOENT: "the file is there, but not its interpreter (the #! line) or its dynamic loader"
    case ENOEXEC: "it is neither a program for this machine nor a script that begins with #!"
    case EACCES: "a directory on the way, the file's mode, or a noexec mount forbids it"
    case E2BIG: "arguments and environment are too long"
    case ETXTBSY: "somebody has it open for writing"
    case EAGAIN: "the user's limit of processes is reached (RLIMIT_NPROC)"
    default: nil
    }
  }

  private var ofUser: String { userName.isEmpty ? "" : " of user \(userName)" }

  private var asUser: String { userName.isEmpty ? "" : " as user \(userName)" }

  private func sentence(_ operation: String, _ error: Int32, _ remedy: String?) -> String {
    "cannot \(operation): \(errorText(error))" + (remedy.map { "; \($0)" } ?? "")
  }
}
