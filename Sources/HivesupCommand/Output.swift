// What this command and the host's `hive` share of writing to people, under the names that this module's files know.

import CommandOutput

typealias Output = CommandOutput.Output
typealias Style = CommandOutput.Style
typealias Table = CommandOutput.Table
typealias LineSplitter = CommandOutput.LineSplitter

extension Output {
  /// A line for people on standard error, with the command's name in front.
  static func error(_ text: String) { error(text, from: "hivesup") }
}

/// Text of another process on its way to a terminal: control characters as `?`.
func harmless(_ text: String) -> String { CommandOutput.harmless(text) }

/// A variable of the environment; nil when it is not set.
func environmentValue(_ name: String) -> String? { CommandOutput.environmentValue(name) }

/// The kernel's text for an errno.
func errorText(_ number: Int32) -> String { CommandOutput.errorText(number) }
