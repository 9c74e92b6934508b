// Every error at once, each with its place, and something to do about it.

import Testing

@testable import SupervisorConfig

@Suite("Diagnostics")
struct DiagnosticTests {
  @Test func everyErrorAtOnceInTheOrderOfLines() {
    let result = VirtualWorld(
      """
      [supervisord]
      loglevel=verbose
      nonsense
      [program:a]
      command=a
      autostart=maybe
      stopsignal=NOPE
      umask=9
      [program:b]
      startsecs=x
      [group:g]
      programs=c
      [listener:l]
      address=nowhere
      fallback=health
      """
    ).load()
    #expect(result.spec == nil)
    #expect(result.errors.map(\.line) == [2, 3, 6, 7, 8, 9, 10, 12, 14])
    #expect(
      result.errors.map(\.section)
        == [
          "supervisord", "supervisord", "program:a", "program:a", "program:a", "program:b", "program:b", "group:g",
          "listener:l",
        ])
    #expect(
      result.errors.map(\.key) == [
        "loglevel", "", "autostart", "stopsignal", "umask", "", "startsecs", "programs", "address",
      ])
    #expect(result.errors.allSatisfy { $0.file == "/conf/supervisord.conf" && !$0.remedy.isEmpty })
  }

  @Test func manyProcessesSayItOnce() {
    let result = VirtualWorld(
      "[supervisord]\n[program:a]\ncommand='x\nnumprocs=8\nprocess_name=a%(process_num)d\nstdout_logfile=/no/x\n"
    ).load()
    #expect(result.errors.map(\.key) == ["command", "stdout_logfile"])
  }

  @Test(arguments: [
    ("[program:x]\ncommand=x\nautostrat=true\n", "autostart"), ("[program:x]\ncommand=x\ndepend_on=y\n", "depends_on"),
    ("[program:x]\ncommand=x\nenvironement=A=1\n", "environment"), ("[program:x]\ncommand=x\nfoobarbaz=1\n", nil),
    ("[program:x]\ncommand=x\nlimit_nofiles=1\n", "limit_nofile"), ("[programs:x]\ncommand=x\n", "program:x"),
    ("[program]\ncommand=x\n", "program:NAME"),
    ("[Program:x]\ncommand=x\n", "program:x"), ("[ program:x]\n", "program:x"), ("[supervisorctI]\n", "supervisorctl"),
    ("[whatever]\n", nil),
    ("[listner:x]\n", "listener:x"), ("[group:g]\nprogram=x\n", "programs"),
    ("[supervisorctl]\nserver_url=x\n", "serverurl"),
  ])
  func unknownNamesAreWarnedOf(text: String, suggestion: String?) throws {
    let result = VirtualWorld("[supervisord]\n" + text).load()
    #expect(result.errors == [])
    let warning = try #require(result.warnings.first)
    #expect(result.warnings.count == 1)
    #expect(warning.suggestion == suggestion)
    #expect(warning.message.hasPrefix("unknown "))
    #expect(warning.line >= 2)
  }

  @Test(arguments: [
    ("[unix_http_server]\nfile=/x\n", "cannot serve supervisord's XML-RPC: hivesup does not do that yet"),
    ("[unix_http_server:a]\nfile=/x\n", "cannot serve supervisord's XML-RPC: hivesup does not do that yet"),
    ("[inet_http_server]\nport=9001\n", "cannot serve supervisord's XML-RPC: hivesup does not do that yet"),
    ("[eventlistener:e]\ncommand=x\nevents=TICK_5\n", "cannot run event listeners: hivesup does not do that yet"),
    (
      "[fcgi-program:f]\ncommand=x\nsocket=tcp://localhost:1\n[group:g]\nprograms=f\n",
      "cannot run FastCGI programs: hivesup does not do that yet"
    ),
  ])
  func whatIsMissingIsRefused(text: String, message: String) {
    let result = VirtualWorld("[supervisord]\n" + text).load()
    #expect(result.errors.map(\.message) == [message])
    #expect(result.errors.first?.line == 2)
  }

  @Test func theStandardInterfaceIsAcceptedWithAWarning() {
    let text =
      "[supervisord]\n[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n"
    let result = VirtualWorld(text).load()
    #expect(result.errors == [])
    #expect(result.warnings.map(\.key) == ["supervisor.rpcinterface_factory"])
  }

  @Test func theSupervisorsOwnDoubts() {
    for (lines, key) in [
      ("nodaemon=false", "nodaemon"), ("nodaemon=true\ndirectory=/tmp", "directory"), ("logfile=NONE", "logfile"),
      ("environment=A=b c", "environment"),
    ] {
      let result = VirtualWorld("[supervisord]\n" + lines + "\n").load()
      #expect(result.errors == [])
      #expect(result.warnings.map(\.key) == [key], "\(lines)")
    }
    #expect(VirtualWorld("[supervisord]\nlogfile=syslog\n").load().errors.map(\.key) == ["logfile"])
    #expect(VirtualWorld("[supervisord]\nuser=nosuch\n").load().errors.map(\.message) == ["Invalid user name nosuch"])
    var world = VirtualWorld("[supervisord]\nuser=daemon\n")
    world.effectiveUserID = 65534
    #expect(world.load().errors.map(\.message) == ["Can't drop privilege as nonroot user"])
  }

  @Test func stopPlansThatDoNotFitIntoTheDeadlineAreWarnedOf() throws {
    let programs =
      "[program:a]\ncommand=a\npriority=1\nstop_plan=INT:6,QUIT:2\n[program:b]\ncommand=b\nstopwaitsecs=3\n"
      + "[program:c]\ncommand=c\nstopwaitsecs=2\n[program:d]\ncommand=d\npriority=2\ntype=oneshot\n"
    let result = VirtualWorld("[supervisord]\nshutdown_timeout=9\n" + programs).load()
    let warning = try #require(result.warnings.first)
    #expect(result.errors == [] && result.warnings.count == 1)
    #expect(warning.section == "supervisord" && warning.key == "shutdown_timeout" && warning.line == 2)
    #expect(
      warning.message
        == "8.1 s are for stop plans, which at worst take 3 s (tier 3, b) + 8 s (tier 1, a) = 11 s: every step would be shortened to 73 %, b to SIGTERM 2.209 s; a to SIGINT 4.418 s, SIGQUIT 1.472 s"
    )
    #expect(warning.remedy.hasPrefix("raise it to 12 s "))
    // What it says to be enough is enough, and nothing below.
    for (timeout, warnings) in [("12", 0), ("11.9", 1), ("none", 0), ("0", 0), ("100", 0)] {
      let text = "[supervisord]\nshutdown_timeout=\(timeout)\n" + programs
      #expect(VirtualWorld(text).load().warnings.count == warnings, "\(timeout)")
    }
    for (wait, least) in [(1, "1.2"), (4, "4.5"), (9, "10"), (10, "11")] {
      func load(_ timeout: String) -> [Diagnostic] {
        VirtualWorld("[supervisord]\nshutdown_timeout=\(timeout)\n[program:a]\ncommand=a\nstopwaitsecs=\(wait)\n")
          .load().warnings
      }
      #expect(load("0.5").first?.remedy.hasPrefix("raise it to \(least) s ") == true, "\(wait): \(load("0.5"))")
      #expect(load(least).isEmpty)
    }
  }

  @Test func aCutCommentIsNamedWhereAQuoteStaysOpen() throws {
    let error = try #require(VirtualWorld("[supervisord]\n[program:a]\ncommand=sh -c 'a ; b'\n").load().errors.first)
    #expect(
      error.supervisordText
        == "can't parse command \"sh -c 'a\": No closing quotation in section 'program:a' (file: '/conf/supervisord.conf')"
    )
    #expect(error.remedy.contains("begins a comment, even inside of quotes"))
  }

  @Test func theMainFileMustBeThere() {
    var world = VirtualWorld()
    world.files = [:]
    #expect(world.load().errors.map(\.message) == ["could not find config file /conf/supervisord.conf"])
    world.unreadable = ["/conf/supervisord.conf"]
    #expect(
      world.load().errors.map(\.message) == ["could not read config file /conf/supervisord.conf: Permission denied"])
  }

  @Test func includesThatCannotBeRead() {
    var world = VirtualWorld("[supervisord]\n[include]\nfiles=conf.d/* missing/*\n")
    world.files["/conf/conf.d/a.conf"] = Array("[program:a]\ncommand=a\n[include]\nfiles=x\n".utf8)
    world.files["/conf/conf.d/sub/b.conf"] = []
    world.unreadable = ["/conf/conf.d/secret.conf"]
    let result = world.load()
    #expect(result.errors.map(\.message) == ["cannot read /conf/conf.d/secret.conf: Permission denied"])
    #expect(
      result.warnings.map(\.message)
        == [
          "No file matches via include \"/conf/missing/*\"", "/conf/conf.d/sub is a directory, ignored",
          "ignored: an included file cannot include",
        ])
    #expect(result.diagnostics.last?.file == "/conf/conf.d/a.conf")
    #expect(result.diagnostics.last?.line == 4)
  }

  @Test func theTextForPeople() {
    let diagnostic = Diagnostic(
      severity: .error, file: "/etc/h.conf", line: 7, section: "program:x", key: "stopsignal", message: "no signal",
      remedy: "write one",
      suggestion: "TERM")
    #expect(
      diagnostic.description
        == "/etc/h.conf:7: error: [program:x] stopsignal: no signal\n    did you mean: TERM\n    remedy: write one")
  }

  @Test func editDistances() {
    for (a, b, distance) in [
      ("", "", 0), ("a", "", 1), ("abc", "abc", 0), ("abc", "acb", 1), ("abc", "axc", 1), ("kitten", "sitting", 3),
    ] {
      #expect(editDistance(Array(a.utf8), Array(b.utf8)) == distance)
      #expect(editDistance(Array(b.utf8), Array(a.utf8)) == distance)
    }
    #expect(nearest(to: "xyz", among: ["abc", "def"]) == nil)
    #expect(nearest(to: "comand", among: KnownKeys.keys(of: .program)) == "command")
  }
}
