// The names of the running daemon's programs, for the shell's completion. What cannot be had at once is left out.

import ArgumentParser
import ControlProtocol

enum ProgramCompletion {
  static let kind = CompletionKind.custom { words, index, _ in
    names(words: words, index: index, shell: environmentValue("SAP_SHELL"))
  }

  /// What may stand at the cursor.
  /// - Parameters:
  ///   - words: the command line. bash makes words of their own of colons (COMP_WORDBREAKS) and completes what is behind the last one.
  ///   - index: which of them is being completed.
  ///   - shell: `bash`, `zsh` or `fish`. zsh takes what is behind a colon for a description (`_describe`) unless it is escaped.
  static func names(words: [String], index: Int, shell: String?) -> [String] {
    guard let programs = programs(words) else { return [] }
    if shell == "bash", let group = group(words, index) {
      let members = programs.filter { $0.group == group }.map(\.name)
      return members.isEmpty ? [] : members + ["*"]
    }
    let groups = Set(programs.filter { $0.group != $0.name }.map { "\($0.group):*" })
    let names = programs.map(\.namespec) + groups.sorted() + ["all"]
    return shell == "zsh" ? names.map { $0.split(separator: ":").joined(separator: "\\:") } : names
  }

  /// The group before the colon at the cursor.
  private static func group(_ words: [String], _ index: Int) -> String? {
    if words.indices.contains(index), words.indices.contains(index - 1), words[index] == ":" { return words[index - 1] }
    if words.indices.contains(index - 2), words[index - 1] == ":" { return words[index - 2] }
    return nil
  }

  private static func programs(_ words: [String]) -> [ProgramDocument]? {
    guard
      let location = try? ControlLocation.find(
        socket: value("--socket", in: words),
        configuration: value("-c", in: words) ?? value("--configuration", in: words),
        environment: environmentValue("HIVESUP_SOCKET")),
      let reply = try? ControlConnection(path: location.path, timeout: 0.3).ask(.status),
      let json = try? JSONValue(parsing: reply.body)
    else { return nil }
    return StatusDocument(json: json)?.programs
  }

  private static func value(_ flag: String, in words: [String]) -> String? {
    for (index, word) in words.enumerated() {
      if word == flag, words.indices.contains(index + 1) { return words[index + 1] }
      if word.hasPrefix("\(flag)=") { return String(word.dropFirst(flag.count + 1)) }
    }
    return nil
  }
}
