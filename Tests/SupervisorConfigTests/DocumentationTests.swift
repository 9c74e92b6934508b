// docs/configuration.md has one row for every key, and every row's example is right.

import Testing

@testable import SupervisorConfig

@Suite("docs/configuration.md")
struct DocumentationTests {
  /// Keys, examples and "since" by the title of their table.
  private func tables() throws -> [String: [(key: String, since: String, example: String)]] {
    var tables: [String: [(key: String, since: String, example: String)]] = [:]
    var title = ""
    for line in try Fixtures.text(Fixtures.repository + "/docs/configuration.md").split(separator: "\n") {
      if line.hasPrefix("## ") { title = String(line.dropFirst(3)) }
      let cells = line.split(separator: "|").map { String($0).trimmed }
      guard line.hasPrefix("| `"), title.hasPrefix("`["), cells.count >= 6 else { continue }
      tables[title, default: []].append((cells[0].unquoted, cells[2 + 1], (cells.last ?? "").unquoted))
    }
    return tables
  }

  private func keys(_ prefix: String) throws -> [String] {
    try tables().filter { $0.key.hasPrefix("`[\(prefix)]`") }.flatMap { $0.value.map(\.key) }
  }

  @Test(arguments: [
    ("supervisord", SectionKind.supervisord), ("program:x", .program), ("group:x", .group), ("listener:x", .listener),
    ("include", .include),
  ])
  func everyKeyHasOneRow(title: String, kind: SectionKind) throws {
    let documented = try keys(title)
    #expect(Set(documented).count == documented.count, "a key has two rows")
    #expect(Set(documented) == KnownKeys.keys(of: kind))
  }

  @Test func ownKeysSayWhenTheyCame() throws {
    for (title, rows) in try tables() {
      for row in rows {
        let isOwn = SectionKind.allCases.contains {
          title.hasPrefix("`[\($0.rawValue)") && KnownKeys.extensionKeys(of: $0).contains(row.key)
        }
        #expect((row.since != "supervisord") == isOwn, "\(row.key): \(row.since)")
      }
    }
  }

  @Test func everyExampleIsRight() throws {
    for (title, rows) in try tables() {
      for row in rows {
        #expect(row.example.hasPrefix(row.key + "="))
        var world = VirtualWorld()
        world.directories.formUnion(["/run", "/srv", "/var/log/hive"])
        world.users += ["hive", "www-data", "postgres"].map {
          UserRecord(name: $0, userID: 999, groupID: 999, home: "/")
        }
        world.groups.append(("video", 44))
        world.zones["Europe/Berlin"] = try Fixtures.bytes("Berlin.tzif")
        let need = [
          "schedule": "type=scheduled\n", "timezone": "type=scheduled\nschedule=@daily\n",
          "ready_interval": "ready=notify\n",
          "ready_timeout": "ready=notify\n", "ready_failures": "ready=notify\n", "ready_deadline": "ready=notify\n",
          "liveness_interval": "liveness=notify\n", "liveness_timeout": "liveness=notify\n",
          "liveness_failures": "liveness=notify\n",
          "killasgroup": "stopasgroup=true\n", "numprocs": "process_name=%(process_num)d\n",
        ]
        let others =
          "[program:postgresql]\ncommand=x\n[program:migrate]\ncommand=x\ntype=oneshot\n[program:web]\ncommand=x\n[program:worker]\ncommand=x\n[program:api]\ncommand=x\n"
        var text = "[supervisord]\n"
        if title.hasPrefix("`[supervisord") { text += row.example + "\n" }
        text += others
        if title.hasPrefix("`[program") {
          let command = row.key == "command" ? "" : "command=x\n"
          text += "[program:example]\n" + command + (need[row.key] ?? "") + row.example + "\n"
        } else if title.hasPrefix("`[group") {
          text += "[group:example]\n" + row.example + "\n"
        } else if title.hasPrefix("`[listener") {
          let address = row.key == "address" ? "" : row.key == "mode" ? "address=unix:/run/x\n" : "address=:1\n"
          text +=
            "[listener:example]\n" + address + row.example + "\n" + (row.key == "fallback" ? "" : "fallback=health\n")
        } else if title.hasPrefix("`[include") {
          text += "[include]\n" + row.example + "\n"
        }
        world.files["/conf/supervisord.conf"] = Array(text.utf8)
        world.files["/conf/conf.d/x.conf"] = []
        #expect(world.load().errors == [], "\(row.example)")
      }
    }
  }

  @Test func theExampleAtTheTopIsRight() throws {
    let text = try Fixtures.text(Fixtures.repository + "/docs/configuration.md")
    let parts = text.split(separator: "```")
    let example = try #require(parts.first { $0.hasPrefix("ini\n") }).dropFirst(4)
    var world = VirtualWorld(String(example))
    world.users.append(UserRecord(name: "postgres", userID: 999, groupID: 999, home: "/"))
    #expect(world.load().diagnostics == [])
  }
}

extension String {
  /// Without blanks around.
  fileprivate var trimmed: String {
    var text = Substring(self)
    while text.first == " " { text.removeFirst() }
    while text.last == " " { text.removeLast() }
    return String(text)
  }

  /// Without backticks around.
  fileprivate var unquoted: String { hasPrefix("`") && hasSuffix("`") ? String(dropFirst().dropLast()) : self }
}
