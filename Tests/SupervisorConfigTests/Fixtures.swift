// The files in Fixtures/.

import SupervisorConfig
import Testing

/// Reads what lies in Fixtures/.
enum Fixtures {
  /// The folder, by the place of this file.
  static let folder = String(#filePath.prefix(upTo: #filePath.lastIndex(of: "/") ?? #filePath.startIndex)) + "/Fixtures"
  /// The repository.
  static let repository = folder.components(dropping: 3)

  /// A file's bytes.
  static func bytes(_ path: String) throws -> [UInt8] {
    try ConfigurationInput.live(path: path).readFile(path.hasPrefix("/") ? path : folder + "/" + path)
  }

  /// A file's text.
  static func text(_ path: String) throws -> String { String(decoding: try bytes(path), as: UTF8.self) }

  /// The names in a folder, sorted; none where there is no folder.
  static func names(_ path: String) -> [String] {
    (ConfigurationInput.live(path: "").listDirectory(folder + "/" + path) ?? []).sorted()
  }

  /// The rows of a table of Fixtures/python_tables.py: an input, and what came of it (`=` and a text, or `!` for a
  /// refusal).
  static func table(_ name: String) throws -> [(input: String, refused: Bool, output: String)] {
    var rows: [(input: String, refused: Bool, output: String)] = []
    for line in try text("tables/\(name).tsv").utf8.split(separator: UInt8(ascii: "\n")) {
      let cells = line.split(separator: UInt8(ascii: "\t"), omittingEmptySubsequences: false).map {
        unescaped(String(decoding: Array($0), as: UTF8.self))
      }
      try #require(cells.count == 2)
      rows.append((cells[0], cells[1].hasPrefix("!"), String(cells[1].unicodeScalars.dropFirst())))
    }
    try #require(rows.count > 20)
    return rows
  }

  private static func unescaped(_ text: String) -> String {
    var result = String.UnicodeScalarView()
    var isEscaped = false
    for scalar in text.unicodeScalars {
      if isEscaped {
        result.append(scalar == "n" ? "\n" : scalar == "r" ? "\r" : scalar == "t" ? "\t" : scalar)
        isEscaped = false
      } else if scalar == "\\" {
        isEscaped = true
      } else {
        result.append(scalar)
      }
    }
    return String(result)
  }
}

extension String {
  /// The path without its last components.
  fileprivate func components(dropping count: Int) -> String {
    "/" + split(separator: "/").dropLast(count).joined(separator: "/")
  }
}
