// From words to the command lines of docker and compose.

import ArgumentParser
import Testing

@testable import HiveCommand

@Suite("Command lines") struct CommandLineTests {
  static let files = ["/p/etc/genie/compose.yaml", "/p/etc/genie/compose.production.yaml"]

  static func project(
    _ tool: ComposeTool, files: [String] = files, environmentFile: String? = nil, name: String? = nil
  ) -> ComposeProject {
    ComposeProject(tool: tool, role: .genie, files: files, environmentFile: environmentFile, name: name)
  }

  @Test("both kinds of compose get the same words after their own") func bothTools() {
    let common = ["--file", Self.files[0], "--file", Self.files[1], "--ansi", "never"]
    for (tool, program, first) in [
      (ComposeTool.plugin, "docker", ["compose"]), (.standalone(version: "1.29.2"), "docker-compose", []),
      (.standalone(version: "2.27.0"), "docker-compose", []),
    ] as [(ComposeTool, String, [String])] {
      let project = Self.project(tool)
      let expected: [(Invocation, [String])] = [
        (project.up(build: false), ["up", "--detach", "genie"]),
        (project.up(build: true), ["up", "--detach", "--build", "genie"]),
        (project.pull(), ["pull", "genie"]),
        (project.down(volumes: false), ["down"]),
        (project.down(volumes: true), ["down", "--volumes"]),
        (project.restart(), ["restart", "genie"]),
        (project.volumes(), ["config", "--volumes"]),
      ]
      for (invocation, words) in expected {
        #expect(invocation == Invocation(program, first + common + words))
      }
    }
  }

  @Test("stopped containers are listed by each kind of compose") func stoppedContainers() {
    for (tool, words) in [
      (ComposeTool.plugin, ["ps", "--all", "--quiet", "genie"]),
      (.standalone(version: "1.29.2"), ["ps", "--quiet", "genie"]),
      (.standalone(version: "2.27.0"), ["ps", "--all", "--quiet", "genie"]),
    ] as [(ComposeTool, [String])] {
      #expect(Self.project(tool).containers().arguments.suffix(words.count) == words[...])
    }
  }

  @Test("an environment file and a project name are passed on") func projectOptions() {
    let project = Self.project(.plugin, files: ["c.yaml"], environmentFile: "prod.env", name: "blue")
    #expect(
      project.restart().arguments == [
        "compose", "--file", "c.yaml", "--env-file", "prod.env", "--project-name", "blue", "--ansi", "never", "restart",
        "genie",
      ])
  }

  @Test("questions to the supervisor go through docker exec") func supervisor() {
    #expect(
      Docker.health("c1", seconds: 3)
        == Invocation("docker", ["exec", "c1", "hivesup", "healthcheck", "--json", "--timeout", "3"]))
    #expect(
      Docker.restart("c1", program: "api", wait: true, seconds: 60).arguments
        == ["exec", "c1", "hivesup", "ctl", "restart", "--json", "--timeout", "60", "--", "api"])
    #expect(Docker.restart("c1", program: "api", wait: false, seconds: 60).arguments.contains("--no-wait"))
    #expect(
      Docker.tail("c1", program: "-x", bytes: 9, follow: true).arguments.suffix(5) == [
        "--bytes", "9", "--follow", "--", "-x",
      ])
  }

  @Test("logs are asked for by lines, time and whether to go on") func logs() {
    #expect(Docker.logs("c1", lines: nil, follow: false).arguments == ["logs", "--tail", "all", "c1"])
    #expect(
      Docker.logs("c1", lines: 5, follow: true, since: "2026-11-21T00:00:00Z").arguments
        == ["logs", "--tail", "5", "--follow", "--since", "2026-11-21T00:00:00Z", "c1"])
  }

  @Test("a command gets a terminal and a user only when asked for") func exec() {
    #expect(
      Docker.exec("c1", ["psql", "-c", "select 1"], user: nil, terminal: false).arguments
        == ["exec", "--interactive", "c1", "psql", "-c", "select 1"])
    #expect(
      Docker.exec("c1", ["sh"], user: "0:0", terminal: true).arguments
        == ["exec", "--interactive", "--tty", "--user", "0:0", "c1", "sh"])
  }

  @Test("a command line reads as it would be typed") func typed() {
    #expect(
      Invocation("docker", ["exec", "c1", "sh", "-c", "echo 'a b'", ""]).text
        == "docker exec c1 sh -c 'echo '\\''a b'\\''' ''")
  }

  @Test("roles are taken once each in the order of the words; none means both") func roles() throws {
    for (words, expected) in [
      ([], [.genie, .agent]), (["agent"], [.agent]), (["agent", "genie", "agent"], [.agent, .genie]),
    ] as [([String], [Role])] {
      #expect(try Down.parse(words).roles.chosen() == expected)
    }
  }

  @Test("what cannot be meant is refused with a sentence") func refused() {
    for (words, text) in [
      (["up", "geni"], "cannot find the container 'geni': the containers are genie and agent"),
      (["up", "--timeout", "0"], "cannot wait for 0.0 s"),
      (["up", "--timeout", "nan"], "cannot wait for nan s"),
      (["logs", "genie", "--tail", "-1"], ""),
      (["logs", "genie", "--tail", "many"], "cannot show 'many' lines"),
      (["logs"], "<role>"),
      (["down", "--delete-all-data"], "cannot use --delete-all-data alone"),
      (["restart"], "<role>"),
      (["exec", "genie"], "<command>"),
      (["frobnicate"], "frobnicate"),
    ] {
      #expect(performing: { _ = try Hive.parseAsRoot(words) }, throws: { Hive.fullMessage(for: $0).contains(text) })
    }
  }

  @Test("words after the role belong to the command that is run") func passthrough() throws {
    let exec = try Exec.parse(["--user", "0", "genie", "psql", "--help", "-U", "hive", "--", "x"])
    #expect(exec.user == "0" && exec.role.role == "genie")
    #expect(exec.command == ["psql", "--help", "-U", "hive", "--", "x"])
  }

  @Test("waiting is the default, for a minute") func waiting() throws {
    let plain = try Up.parse([])
    #expect(plain.waiting.wait && plain.waiting.timeout == 60 && !plain.build)
    #expect(try !Up.parse(["--no-wait"]).waiting.wait)
  }
}

@Suite("Compose files") struct ComposeFilesTests {
  static let tree: Set<String> = [
    "/p/etc/genie/compose.yaml", "/p/etc/genie/compose.production.yaml", "/p/etc/agent/compose.yaml",
    "/usr/local/etc/genie/compose.yaml", "/home/me/etc/genie/compose.yaml", "/x/genie/compose.yaml", "mine.yaml",
  ]

  func find(_ role: Role, _ search: ComposeFiles) -> Result<[String], Problem> {
    do throws(Problem) { return .success(try search.find(role, exists: Self.tree.contains)) } catch {
      return .failure(error)
    }
  }

  @Test("they are found above the program, then above the working directory") func above() {
    for (executable, directory, expected) in [
      ("/p/.build/x86_64-unknown-linux-gnu/release/hive", "/home/me", "/p/etc/genie/compose.yaml"),
      ("/usr/local/bin/hive", "/home/me", "/usr/local/etc/genie/compose.yaml"),
      ("/opt/bin/hive", "/home/me/deep/down", "/home/me/etc/genie/compose.yaml"),
      ("/opt/bin/hive", "/home/me", "/home/me/etc/genie/compose.yaml"),
      (nil, "/p/etc/genie", "/p/etc/genie/compose.yaml"),
    ] as [(String?, String?, String)] {
      #expect(find(.genie, ComposeFiles(executable: executable, workingDirectory: directory)) == .success([expected]))
    }
  }

  @Test("what is named is the only place that is tried") func named() {
    let executable = "/p/bin/hive"
    #expect(find(.genie, ComposeFiles(named: ["mine.yaml"], executable: executable)) == .success(["mine.yaml"]))
    #expect(find(.genie, ComposeFiles(directory: "/x", executable: executable)) == .success(["/x/genie/compose.yaml"]))
    for (search, text) in [
      (ComposeFiles(named: ["mine.yaml", "no.yaml"], executable: executable), "cannot use --file no.yaml"),
      (ComposeFiles(directory: "/nowhere", executable: executable), "cannot find /nowhere/genie/compose.yaml"),
      (ComposeFiles(executable: "/opt/bin/hive", workingDirectory: "/opt"), "cannot find etc/genie/compose.yaml"),
      (ComposeFiles(), "cannot find etc/genie/compose.yaml"),
      (
        ComposeFiles(named: ["mine.yaml"], production: true),
        "cannot use --production: there is no ./compose.production.yaml"
      ),
    ] {
      guard case .failure(let problem) = find(.genie, search) else {
        Issue.record("\(search) found something")
        continue
      }
      #expect(problem.text.hasPrefix(text) && problem.status == ExitStatusCode.usage)
    }
  }

  @Test("--production adds the file that stands beside the first one") func production() {
    let search = ComposeFiles(production: true, executable: "/p/bin/hive")
    #expect(find(.genie, search) == .success(["/p/etc/genie/compose.yaml", "/p/etc/genie/compose.production.yaml"]))
    guard case .failure = find(.agent, search) else {
      Issue.record("agent has no such file")
      return
    }
  }
}
