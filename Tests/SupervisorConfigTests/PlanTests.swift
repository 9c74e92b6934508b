// What `hivesup check` prints.

import SupervisorCore
import Testing

@testable import SupervisorConfig

@Suite("The printed plan")
struct PlanTests {
  @Test func everythingThatMattersIsSaid() throws {
    let spec = try #require(
      VirtualWorld(
        """
        [supervisord]
        container=genie
        shutdown_timeout=9
        start_timeout=60
        [program:init]
        command=hive-postgres init
        type=oneshot
        priority=90
        critical=true
        user_if_root=daemon
        [program:db]
        command=/usr/bin/postgres -D "/data dir"
        priority=100
        depends_on=init
        stop_plan=INT:6, QUIT:2
        ready=postgres:/run/pg
        ready_deadline=30
        stdout_logfile=/dev/stdout
        redirect_stderr=true
        [program:api]
        command=api
        priority=200
        depends_on=db:healthy
        stopwaitsecs=3
        backoff=max:10
        liveness=http://127.0.0.1:80/live
        [listener:http]
        address=[::]:48886
        program=api
        fallback=health
        """
      ).load().spec)
    let text = describePlan(spec)
    for line in [
      "genie: 3 programs, 1 listener", "file: /conf/supervisord.conf", "control socket: /run/hivesup/control.sock",
      "init: oneshot, critical", "command: hive-postgres init", "user: daemon where hivesup runs as root",
      "command: /usr/bin/postgres -D '/data dir'", "starts when: init has completed",
      "ready when: postgres answers on /run/pg/.s.PGSQL.5432 (every 5 s, 1 s each, 3 failures), within 30 s",
      "stops by: SIGINT 6 s → SIGQUIT 2 s → SIGKILL", "output: standard output; errors: with the output",
      "starts when: db is healthy",
      "alive while: GET /live on 127.0.0.1:80 succeeds (every 10 s, 1 s each, 3 failures)",
      "restarts: unless it exits with 0; 3 further attempts to start, after 0.1 s growing by 2.0 to 10 s",
      "http: [::]:48886, accepted by api, health while it does not, backlog 1024",
      "start: everything is ready within 60 s, or all is stopped",
      "stop: all within 9 s, of which 0.9 s are kept for what is left at the end: 8.1 s for stop plans",
      "db: SIGINT 4.418 s → SIGQUIT 1.472 s → SIGKILL", "api: SIGTERM 2.209 s → SIGKILL",
    ] {
      #expect(text.split(separator: "\n").contains { $0.hasSuffix(" " + line) || $0 == line }, "\(line)\n\(text)")
    }
    #expect(
      text.contains(
        "3 s (tier 3, api) + 8 s (tier 2, db) = 11 s: 2.9 s too much, so every step would be shortened to 73 %"))
    #expect(!text.contains("(tier 1, init)"), "a oneshot is down when the stopping begins")
  }

  @Test func aBudgetThatFitsSaysWhatIsLeft() throws {
    let spec = try #require(
      VirtualWorld("[supervisord]\nshutdown_timeout=9\n[program:a]\ncommand=a\nstopwaitsecs=4\n").load().spec)
    #expect(describePlan(spec).contains("at worst 4 s (tier 1, a): fits, 4.1 s to spare"))
    let free = try #require(VirtualWorld("[supervisord]\n[program:a]\ncommand=a\nstopwaitsecs=4\n").load().spec)
    #expect(describePlan(free).contains("stop: no deadline for all; at worst 4 s (tier 1, a)"))
    #expect(describePlan(try #require(VirtualWorld("[supervisord]\n").load().spec)).contains("stop: nothing stays up"))
  }

  @Test func intervalsForPeople() {
    for (interval, text) in [
      (Interval.seconds(9), "9 s"), (.milliseconds(100), "0.1 s"), (.milliseconds(1250), "1.25 s"), (.zero, "0 s"),
      (Interval(nanoseconds: 5), "5 ns"),
    ] {
      #expect(seconds(interval) == text)
    }
  }

  @Test func wordsAreQuotedWhereAShellNeedsIt() throws {
    let words = ["a", "a b", "it's", "", "$x", "é", "a\"b"]
    #expect(try shellWords(shellQuoted(words)) == words)
    #expect(shellQuoted(["/bin/cat", "-u", "a=b"]) == "/bin/cat -u a=b")
  }
}
