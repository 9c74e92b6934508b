import CHiveSys
import Glibc
import SupervisorCore
import Testing

@testable import SupervisorRuntime

@Suite("Spawner: why a start fails")
struct SpawnFailureTests {
  @Test("supervisord's words for commands that cannot be found or run")
  func commands() throws {
    let directory = try ScratchDirectory.shared()
    let plain = try directory.file("plain", "#!/bin/sh\n")
    let cases: [([String], Int32, String)] = [
      ([], ENOENT, "command is empty"),
      ([""], ENOENT, "command is empty"),
      (["/no/such/file"], ENOENT, "can't find command '/no/such/file'"),
      (["no-such-word"], ENOENT, "can't find command 'no-such-word'"),
      ([directory.path], EISDIR, "command at '\(directory.path)' is a directory"),
      ([plain], EACCES, "command at '\(plain)' is not executable"),
    ]
    for (arguments, errno, text) in cases {
      var spec = ExecutionSpec(arguments: arguments)
      spec.environment = [EnvironmentEntry("PATH", "/usr/bin:/bin")]
      #expect(try failure(spec) == SpawnFailure(stage: .command, errno: errno, text: text, isShortage: false))
    }
  }

  @Test("What execve refuses says why: no interpreter, wrong format, too long")
  func exec() throws {
    let directory = try ScratchDirectory.shared()
    let noInterpreter = try directory.file("a", "#!/no/such/interpreter\n", mode: 0o755)
    let noFormat = try directory.file("b", "not a program\n", mode: 0o755)
    let cases: [(String, Int32, String)] = [
      (
        noInterpreter, ENOENT,
        "No such file or directory; the file is there, but not its interpreter (the #! line) or its dynamic loader"
      ),
      (
        noFormat, ENOEXEC,
        "Exec format error; it is neither a program for this machine nor a script that begins with #!"
      ),
    ]
    for (file, errno, text) in cases {
      let failed = try failure(ExecutionSpec(arguments: [file]))
      #expect(
        failed
          == SpawnFailure(
            stage: .exec, errno: errno, text: "cannot execute \(file): \(text)", isShortage: false))
    }
    var tooLong = ExecutionSpec(arguments: ["/bin/true"])
    tooLong.environment = [EnvironmentEntry("X", String(repeating: "x", count: 200_000))]
    #expect(try failure(tooLong).errno == E2BIG)
  }

  @Test("A directory that is missing, or no directory")
  func directory() throws {
    var spec = shell("true")
    spec.directory = "/no/such/directory"
    #expect(
      try failure(spec)
        == SpawnFailure(
          stage: .directory, errno: ENOENT,
          text: "cannot change to directory /no/such/directory: No such file or directory",
          isShortage: false))
    spec.directory = "/etc/passwd"
    #expect(try failure(spec).text == "cannot change to directory /etc/passwd: Not a directory")
  }

  @Test("The limit that is refused is named")
  func limits() throws {
    var spec = shell("true")
    spec.limits = [
      ResourceLimit(resource: "core", soft: 0, hard: 0), ResourceLimit(resource: "nofile", soft: 20, hard: 10),
    ]
    let failed = try failure(spec)
    #expect(failed.stage == .limits && failed.errno == EINVAL)
    #expect(failed.text == "cannot set limit_nofile=20:10: Invalid argument")
    spec.limits = [ResourceLimit(resource: "nonsense", soft: 1, hard: 1)]
    #expect(
      try failure(spec).text.hasPrefix("cannot set the limit nonsense: there is no such resource; there are cpu, fsize")
    )
    #expect(ResourceLimits.number(of: "locks") == nil)
  }

  @Test("A user or group that does not exist")
  func users() throws {
    let directory = try ScratchDirectory.shared()
    let spawner = try Spawner(
      users: UserDatabase(passwdPath: "\(directory.path)/none", groupPath: "\(directory.path)/no"))
    var request = SpawnRequest(shell("true"))
    request.execution.user = "nosuchuser"
    let failed = try failure(request, with: spawner)
    #expect(failed.stage == .prepare)
    #expect(
      failed.text
        == "cannot find user nosuchuser in \(directory.path)/none: create it in the image, or give a numeric id")
    if isRoot {
      request.execution.user = nil
      request.execution.groups = ["nosuchgroup"]
      #expect(
        try failure(request, with: spawner).text.hasPrefix("cannot find group nosuchgroup in \(directory.path)/no"))
    }
  }

  @Test("Without root's rights only one's own user will do")
  func otherUser() throws {
    let directory = try ScratchDirectory.shared()
    let users = UserDatabase(
      passwdPath: try directory.file("passwd", "me:x:1000:1000::/home/me:\nyou:x:1001:1001::/:\n"))
    var spec = ExecutionSpec(arguments: ["x"])
    spec.user = "you"
    do {
      _ = try ChildIdentity.resolve(spec, users: users, effectiveUser: 1000)
      Issue.record("uid 1000 became uid 1001")
    } catch {
      #expect(error.stage == .uid && error.errno == EPERM)
      #expect(
        error.text == "cannot become user you: the supervisor runs as uid 1000, and only root can change users; "
          + "start it as root, or write user_if_root= instead of user=")
    }
    spec.user = "me"
    #expect(
      try ChildIdentity.resolve(spec, users: users, effectiveUser: 1000)
        == ChildIdentity(name: "me", uid: nil, gid: nil, groups: nil, home: "/home/me"))
    spec.user = nil
    spec.userIfRoot = "you"
    #expect(try ChildIdentity.resolve(spec, users: users, effectiveUser: 1000) == .own)
  }

  @Test("What root resolves: a number without an entry keeps none of the supervisor's groups")
  func resolvedByRoot() throws {
    let directory = try ScratchDirectory.shared()
    let users = UserDatabase(
      passwdPath: try directory.file("passwd", "me:x:1000:1001::/home/me:\n"),
      groupPath: try directory.file("group", "a:x:7:me\n"))
    var spec = ExecutionSpec(arguments: ["x"])
    for (name, expected) in [
      ("me", ChildIdentity(name: "me", uid: 1000, gid: 1001, groups: [1001, 7], home: "/home/me")),
      ("1000", ChildIdentity(name: "me", uid: 1000, gid: 1001, groups: [1001, 7], home: "/home/me")),
      ("7777", ChildIdentity(name: "7777", uid: 7777, gid: 7777, groups: [], home: "/")),
    ] {
      spec.user = name
      #expect(try ChildIdentity.resolve(spec, users: users, effectiveUser: 0) == expected)
    }
    for wrong in ["4294967295", "99999999999", "-1", "1000x", ""] {
      spec.user = wrong
      #expect(throws: SpawnFailure.self, "\(wrong)") { try ChildIdentity.resolve(spec, users: users, effectiveUser: 0) }
    }
  }

  @Test("A NUL byte in any text is refused instead of cutting it")
  func nulBytes() throws {
    var specs: [ExecutionSpec] = []
    var spec = shell("true")
    spec.arguments.append("a\0b")
    specs.append(spec)
    spec = shell("true")
    spec.environment.append(EnvironmentEntry("A", "b\0c"))
    specs.append(spec)
    spec = shell("true")
    spec.directory = "/tmp\0/x"
    specs.append(spec)
    for spec in specs {
      let failed = try failure(spec)
      #expect(failed.stage == .prepare && failed.text.hasSuffix("contains a NUL byte"))
    }
  }

  @Test("Two things on one descriptor are refused")
  func descriptorConflict() throws {
    var request = SpawnRequest(shell("true"))
    request.descriptors = [ChildDescriptor(1, as: 3), ChildDescriptor(2, as: 3)]
    let failed = try failure(request, with: Spawner())
    #expect(failed.stage == .descriptors && failed.text.hasPrefix("cannot give the program two things as descriptor 3"))
  }

  @Test("A descriptor that is not open is refused in the child, with its stage")
  func closedDescriptor() throws {
    var request = SpawnRequest(shell("true"))
    request.descriptors = [ChildDescriptor(1_000_000, as: 3)]
    #expect(
      try failure(request, with: Spawner())
        == SpawnFailure(
          stage: .descriptors, errno: EBADF, text: "cannot arrange the descriptors: Bad file descriptor",
          isShortage: false))
  }

  @Test("Every shortage at pipe and clone is one that may pass, and leaves nothing behind")
  func shortages() throws {
    let spawner = try Spawner()
    for (error, remedy) in [(EMFILE, "; raise minfds"), (ENFILE, "; raise minfds"), (ENOMEM, "")] {
      spawner.pipeError = error
      let failed = try failure(SpawnRequest(shell("true")), with: spawner)
      #expect(failed.stage == .pipe && failed.errno == error && failed.isShortage)
      #expect(failed.text.hasPrefix("cannot create the pipe for the start's outcome: \(errorText(error))\(remedy)"))
    }
    spawner.pipeError = 0
    for (error, remedy) in [(EAGAIN, "; the limit of processes"), (ENOMEM, "")] {
      spawner.cloneError = error
      let failed = try failure(SpawnRequest(shell("true")), with: spawner)
      #expect(failed.stage == .clone && failed.errno == error && failed.isShortage)
      #expect(failed.text.hasPrefix("cannot create a process: \(errorText(error))\(remedy)"))
    }
    spawner.cloneError = 0
    #expect(try run(SpawnRequest(shell("echo again")), with: spawner).output == "again\n")
  }

  @Test("oom_score_adj that may not be lowered, and users that may not be changed to, name the capability")
  func capabilities() throws {
    let context = FailureContext(
      execution: {
        var spec = ExecutionSpec(arguments: ["x"])
        spec.oomScoreAdjust = -900
        return spec
      }(), file: "/x", userName: "hive", uid: 4242, limits: [])
    func text(_ stage: SpawnStage, _ error: Int32, _ detail: UInt32 = 0) -> String {
      var result = hive_spawn_result()
      result.stage = stage.rawValue
      result.error = error
      result.detail = Int32(detail)
      return context.failure(result).text
    }
    #expect(
      text(.priority, EACCES, HIVE_SET_OOM_SCORE_ADJUST.rawValue)
        == "cannot set oom_score_adj=-900: Permission denied; a value below the container's own needs CAP_SYS_RESOURCE")
    #expect(
      text(.groups, EPERM)
        == "cannot set the supplementary groups of user hive: Operation not permitted; it needs CAP_SETGID")
    #expect(text(.gid, EPERM) == "cannot set the group of user hive: Operation not permitted; it needs CAP_SETGID")
    #expect(text(.uid, EPERM) == "cannot become user hive (uid 4242): Operation not permitted; it needs CAP_SETUID")
    #expect(text(.exec, EACCES).hasPrefix("cannot execute /x as user hive: Permission denied; "))
    for stage in SpawnStage.allCases {
      for error in [EPERM, EINVAL, ENOMEM] { #expect(text(stage, error).contains(errorText(error)), "\(stage)") }
    }
  }
}
