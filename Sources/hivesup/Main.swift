// The command that people type; everything it does is in HivesupCommand, where tests can reach it.

import HivesupCommand

@main
struct Main {
  static func main() { runHivesup() }
}
