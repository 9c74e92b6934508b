// Python's glob.glob without `recursive` (CPython 3.11 Lib/glob.py, Lib/fnmatch.py), over an injected directory reader.

/// Whether a path is a pattern.
func isPattern(_ path: String) -> Bool {
  path.utf8.contains { $0 == UInt8(ascii: "*") || $0 == UInt8(ascii: "?") || $0 == UInt8(ascii: "[") }
}

/// The existing paths that match, in no order.
func globPaths(_ pattern: String, in input: ConfigurationInput) -> [String] {
  let (directory, base) = splitPath(pattern)
  guard isPattern(pattern) else {
    if base.isEmpty { return input.directoryExists(directory) ? [pattern] : [] }
    return input.fileExists(pattern) ? [pattern] : []
  }
  let directories = directory != pattern && isPattern(directory) ? globPaths(directory, in: input) : [directory]
  var paths: [String] = []
  for directory in directories {
    if isPattern(base) {
      let matcher = FilenamePattern(base)
      for name in input.listDirectory(directory.isEmpty ? "." : directory) ?? []
      where (base.begins(with: ".") || !name.begins(with: ".")) && matcher.matches(name) {
        paths.append(joinPath(directory, name))
      }
    } else if base.isEmpty ? input.directoryExists(directory) : input.fileExists(joinPath(directory, base)) {
      paths.append(joinPath(directory, base))
    }
  }
  return paths
}

/// One path component with `*`, `?`, `[…]`.
struct FilenamePattern {
  private enum Element: Equatable {
    case any
    case one
    case literal(Unicode.Scalar)
    case set([ClosedRange<UInt32>], negated: Bool)
  }
  private var elements: [Element] = []

  /// Parses a pattern. A bracket that is never closed stands for itself.
  init(_ pattern: String) {
    let scalars = Array(pattern.unicodeScalars)
    var index = 0
    while index < scalars.count {
      let scalar = scalars[index]
      index += 1
      switch scalar {
      case "*": if elements.last != .any { elements.append(.any) }
      case "?": elements.append(.one)
      case "[":
        var end = index
        if end < scalars.count, scalars[end] == "!" { end += 1 }
        if end < scalars.count, scalars[end] == "]" { end += 1 }
        while end < scalars.count, scalars[end] != "]" { end += 1 }
        guard end < scalars.count else {
          elements.append(.literal("["))
          continue
        }
        elements.append(Self.set(scalars[index..<end]))
        index = end + 1
      default: elements.append(.literal(scalar))
      }
    }
  }

  private static func set(_ content: ArraySlice<Unicode.Scalar>) -> Element {
    var content = content
    let negated = content.first == "!"
    if negated { content = content.dropFirst() }
    var ranges: [ClosedRange<UInt32>] = []
    while let first = content.popFirst() {
      if content.count >= 2, content.first == "-", let last = content.dropFirst().first {
        content = content.dropFirst(2)
        // An empty range matches nothing.
        if first.value <= last.value { ranges.append(first.value...last.value) }
      } else {
        ranges.append(first.value...first.value)
      }
    }
    return .set(ranges, negated: negated)
  }

  /// Whether the whole name matches. Time is at most the product of both lengths.
  func matches(_ name: String) -> Bool {
    let scalars = Array(name.unicodeScalars)
    var element = 0
    var index = 0
    var retry: (element: Int, index: Int)?
    while index < scalars.count {
      if element < elements.count, elements[element] == .any {
        retry = (element + 1, index)
        element += 1
      } else if element < elements.count, Self.matches(elements[element], scalars[index]) {
        element += 1
        index += 1
      } else if let last = retry {
        retry = (last.element, last.index + 1)
        element = last.element
        index = last.index + 1
      } else {
        return false
      }
    }
    while element < elements.count, elements[element] == .any { element += 1 }
    return element == elements.count
  }

  private static func matches(_ element: Element, _ scalar: Unicode.Scalar) -> Bool {
    switch element {
    case .any: false
    case .one: true
    case .literal(let literal): literal == scalar
    case .set(let ranges, let negated): ranges.contains { $0.contains(scalar.value) } != negated
    }
  }
}
