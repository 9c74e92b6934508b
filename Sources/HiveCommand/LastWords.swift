// The last lines of logs, for those who ask why.

import CommandOutput

/// What a program or a container said last.
struct LastWords: Equatable, Sendable {
  /// The program; nil: the container as a whole.
  var program: String?
  var lines: [String]

  /// The last lines of a text. `isCut`: the text begins somewhere in the middle, so its first line may be a piece of one.
  static func lines(_ bytes: [UInt8], most: Int, isCut: Bool = false) -> [String] {
    var all = bytes.split(separator: 0x0A, omittingEmptySubsequences: false)[...]
    // What stands after the last line's end is no line.
    if all.last?.isEmpty == true { all = all.dropLast() }
    if isCut && all.count > 1 { all = all.dropFirst() }
    return all.suffix(max(most, 0)).map { String(decoding: $0, as: UTF8.self) }
  }

  /// Lines of several streams by their times; a line without one stays behind the line before it.
  static func inOrder(_ lines: [LogLine]) -> [LogLine] {
    var time = ""
    let keyed = lines.enumerated().map { index, line in
      time = line.timestamp ?? time
      return (time: time, index: index, line: line)
    }
    return keyed.sorted { ($0.time, $0.index) < ($1.time, $1.index) }.map(\.line)
  }

  /// Why a container ended, in the supervisor's words, and the last lines of the program that it ended for.
  ///
  /// The supervisor names that program in a line of its own at level CRIT (`NAME is critical and has failed: …`). Where there is no
  /// such line, the last lines of everything are told.
  static func ofEnded(_ output: [LogLine], most: Int) -> (cause: String?, words: LastWords?) {
    let level = "CRIT "
    let verdict = output.last { $0.program == supervisor && $0.message.hasPrefix(level) }
    if let text = verdict?.message.dropFirst(level.count),
      let program = text.split(separator: " ").first.map(String.init)
    {
      let own = output.filter { $0.program == program }.suffix(most).map(\.message)
      if !own.isEmpty { return (String(text), LastWords(program: program, lines: own)) }
    }
    let all = output.suffix(most).map { line in (line.program.map { "\($0) | " } ?? "") + line.message }
    return (
      verdict.map { String($0.message.dropFirst(level.count)) }, all.isEmpty ? nil : LastWords(program: nil, lines: all)
    )
  }

  /// The supervisor's name in its lines (Sources/SupervisorRuntime/MainLog.swift).
  private static let supervisor = "hivesupd"

  /// For people.
  var text: [String] {
    (program.map { ["the last lines of \($0):"] } ?? ["the container's last lines:"])
      + lines.map { "  " + harmless($0) }
  }
}
