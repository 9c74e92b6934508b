// `hivesup completions`: the shell's own script, with the names of the running daemon's programs.

import ArgumentParser

struct Completions: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Print the completion script for a shell.",
    discussion: "For instance: hivesup completions bash > /etc/bash_completion.d/hivesup")

  @Argument(help: "bash, zsh or fish.", completion: .list(["bash", "zsh", "fish"]))
  var shell: String

  func run() throws {
    guard let kind = CompletionShell(rawValue: shell) else {
      throw ValidationError("cannot write a script for '\(shell)': the shells are bash, zsh and fish")
    }
    Output.line(Hivesup.completionScript(for: kind))
  }
}
