// A process of its own for what cannot be tried inside a test process: it takes all signals, reaps all children, and is a
// subreaper. `RuntimeFixture SCENARIO [ARGUMENT…]`; prints what it saw, one fact per line, for the test to judge.

import CHiveSys
import Glibc
import SupervisorCore
import SupervisorRuntime

do {
  let fixture = try Fixture()
  guard let name = CommandLine.arguments.dropFirst().first, let scenario = Fixture.scenarios[name] else {
    print("unknown scenario; there are \(Fixture.scenarios.keys.sorted().joined(separator: ", "))")
    exit(2)
  }
  try scenario(fixture)(CommandLine.arguments.dropFirst(2).map { $0 })
} catch {
  print("cannot run the scenario: \(error)")
  exit(1)
}
