/// A table whose columns are as wide as their widest cell; the last one takes what is left of the line.
package struct Table {
  /// A cell's text and its colour.
  package struct Cell {
    package var text: String
    package var colour: Style.Colour?

    package init(_ text: String, _ colour: Style.Colour? = nil) {
      self.text = text
      self.colour = colour
    }
  }

  private let headings: [String]
  private var rows: [[Cell]] = []

  package init(_ headings: [String]) { self.headings = headings }

  package mutating func add(_ cells: [Cell]) { rows.append(cells) }

  /// The lines, each without spaces at its end.
  package func lines(_ style: Style) -> [String] {
    let all = [headings.map { Cell($0, .grey) }] + rows
    let widths = headings.indices.map { column in
      all.map { $0.indices.contains(column) ? $0[column].text.count : 0 }.max() ?? 0
    }
    return all.map { row in
      var line = ""
      var used = 0
      for (column, cell) in row.enumerated() {
        let isLast = column == row.count - 1
        var text = cell.text
        if isLast && style.isTerminal && used + text.count > style.width {
          text = String(text.prefix(max(style.width - used - 1, 8))) + "…"
        }
        line += style.paint(text, cell.colour)
        guard !isLast else { continue }
        let gap = max(widths[column] - cell.text.count, 0) + 2
        line += String(repeating: " ", count: gap)
        used += cell.text.count + gap
      }
      while line.hasSuffix(" ") { line.removeLast() }
      return line
    }
  }
}
