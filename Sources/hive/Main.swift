// The host-side command; everything it does is in HiveCommand, where tests can reach it.

import HiveCommand

@main
struct Main {
  static func main() { runHive() }
}
