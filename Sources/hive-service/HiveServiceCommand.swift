import Glibc
import HiveServiceCore

/// `hive-service`: everything comes from the environment, so that PID 1 and a shell start it alike.
@main
struct HiveServiceCommand {
  static let usage = """
    usage: hive-service [--help | --version]

    Serves the API of a container. HIVE_ROLE (genie or agent) is required; the other variables have defaults
    (docs/api.md). SIGTERM and SIGINT drain and end it.

    exit status: 0 stopped, 1 cannot serve, 2 environment or arguments
    """

  static func main() async {
    switch Array(CommandLine.arguments.dropFirst()) {
    case []: await serve()
    case ["--help"], ["-h"]: print(usage)
    case ["--version"]: print("hive-service \(ServiceVersion.current)")
    case let arguments:
      complain("unknown argument \(arguments.joined(separator: " "))\n\(usage)")
      exit(2)
    }
  }

  private static func serve() async {
    let service: HiveService
    do {
      let environment = environment()
      // An empty variable counts as not set, as compose files pass them; libpq takes some of them at their word (PGSERVICE, PGSSLMODE).
      for (name, value) in environment where name.hasPrefix("PG") && value.isEmpty { unsetenv(name) }
      service = try HiveService(environment: environment)
    } catch {
      complain("cannot start: \(error)")
      exit(2)
    }
    do {
      try await service.run()
    } catch {
      complain("cannot serve: \(error)")
      exit(1)
    }
  }

  private static func complain(_ text: String) {
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map { "hive-service: \($0)\n" }
    let bytes = Array(lines.joined().utf8)
    _ = write(STDERR_FILENO, bytes, bytes.count)
  }

  private static func environment() -> [String: String] {
    var result: [String: String] = [:]
    var next = environ
    while let entry = next.pointee {
      let parts = String(cString: entry).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      if parts.count == 2 { result[String(parts[0])] = String(parts[1]) }
      next += 1
    }
    return result
  }
}
