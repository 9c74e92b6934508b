// supervisord's lexical rules: Python's RawConfigParser with `;` and `#` as inline comments and `strict=False`
// (supervisor/options.py `UnhosedConfigParser`, CPython 3.11 Lib/configparser.py `_read`).

/// Reads files into one document.
struct INIReader {
  /// What has been read.
  var document = INIDocument()
  /// What was wrong with it.
  var diagnostics: [Diagnostic] = []

  /// Reads one more file over what is there. Existing sections go on; existing keys are replaced.
  mutating func read(_ bytes: [UInt8], file: String) {
    guard isText(bytes, file: file) else { return }
    var scanner = FileScanner(file: file)
    var start = 0
    if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { start = 3 }
    var line = 1
    while start < bytes.count {
      var end = start
      while end < bytes.count, bytes[end] != 0x0A, bytes[end] != 0x0D { end += 1 }
      scanner.read(bytes[start..<end], line: line, into: &document, &diagnostics)
      if scanner.isDone { return }
      // Python's text mode: \r\n, \r and \n all end a line.
      if end + 1 < bytes.count, bytes[end] == 0x0D, bytes[end + 1] == 0x0A { end += 1 }
      start = end + 1
      line += 1
    }
    scanner.close(&document)
  }

  /// Python opens the file as strict UTF-8; and a NUL could never reach a child's arguments or environment.
  private mutating func isText(_ bytes: [UInt8], file: String) -> Bool {
    if let zero = bytes.firstIndex(of: 0) {
      diagnostics.append(
        Diagnostic(
          severity: .error, file: file, line: lineNumber(of: zero, in: bytes),
          message: "cannot read the file: it contains a NUL byte",
          remedy: "write the file as UTF-8 text"))
      return false
    }
    if let invalid = firstInvalidUTF8(bytes) {
      diagnostics.append(
        Diagnostic(
          severity: .error, file: file, line: lineNumber(of: invalid, in: bytes),
          message: "cannot read the file: byte 0x\(hexadecimal(UInt32(bytes[invalid]), digits: 2)) is not UTF-8",
          remedy: "write the file as UTF-8 text"))
      return false
    }
    return true
  }
}

/// The state while one file is read.
private struct FileScanner {
  let file: String
  /// Set by a line that makes the rest of the file meaningless.
  var isDone = false
  private var section: INIDocument.SectionHandle?
  /// The key whose value may go on; nil right after a header.
  private var key: String?
  private var parts: [ArraySlice<UInt8>] = []
  private var keyLine = 0
  private var commentWasCut = false
  private var indentation = 0

  init(file: String) { self.file = file }

  mutating func read(
    _ line: ArraySlice<UInt8>, line number: Int, into document: inout INIDocument, _ diagnostics: inout [Diagnostic]
  ) {
    let comment = commentStart(line)
    let value = stripped(line[line.startIndex..<(comment ?? line.endIndex)])
    if value.isEmpty {
      // An empty line belongs to the value that it stands in; a comment does not.
      if comment == nil, key != nil { parts.append(value) }
      return
    }
    let indent = leadingWhitespace(line)
    if let current = key, indent > indentation {
      warnOfSwallowedLine(value, number, current, document, &diagnostics)
      parts.append(value)
      commentWasCut = commentWasCut || comment != nil
      return
    }
    indentation = indent
    if let name = sectionName(value) {
      close(&document)
      section = document.open(name, file: file, line: number)
      return
    }
    guard let section else {
      diagnostics.append(
        Diagnostic(
          severity: .error, file: file, line: number,
          message:
            "File contains no section headers: \(pythonRepresentation(String(decoding: value, as: UTF8.self))) stands before the first one",
          remedy: "begin the file with [supervisord]"))
      isDone = true
      return
    }
    guard let delimiter = value.firstIndex(where: { $0 == UInt8(ascii: "=") || $0 == UInt8(ascii: ":") }),
      !stripped(value[value.startIndex..<delimiter]).isEmpty
    else {
      diagnostics.append(
        Diagnostic(
          severity: .error, file: file, line: number, section: document.name(section),
          message:
            "Source contains parsing errors: \(pythonRepresentation(String(decoding: value, as: UTF8.self))) is no [section] and no key=value",
          remedy:
            "write key=value; indent the line to continue the value above it; or begin it with ; to make it a comment"))
      return
    }
    close(&document)
    let name = lowercased(stripped(value[value.startIndex..<delimiter]))
    if let earlier = document.own(section, name), earlier.file == file {
      diagnostics.append(
        Diagnostic(
          severity: .warning, file: file, line: number, section: document.name(section), key: name,
          message: "replaces the value of line \(earlier.line)", remedy: "keep one of the two: the last one counts"))
    }
    key = name
    keyLine = number
    parts = [stripped(value[(delimiter + 1)...])]
    commentWasCut = comment != nil
    self.section = section
    store(&document)
  }

  /// Writes the open key into the document.
  mutating func close(_ document: inout INIDocument) {
    store(&document)
    key = nil
    parts = []
  }

  private func store(_ document: inout INIDocument) {
    guard let key, let section else { return }
    var joined: [UInt8] = []
    for (index, part) in parts.enumerated() {
      if index > 0 { joined.append(0x0A) }
      joined.append(contentsOf: part)
    }
    var end = joined.endIndex
    while end > 0 {
      let length = whitespaceLength(joined, before: end)
      if length == 0 { break }
      end -= length
    }
    document.set(
      section, key,
      INIOption(
        value: String(decoding: joined[0..<end], as: UTF8.self), file: file, line: keyLine, commentWasCut: commentWasCut
      ))
  }

  /// A more deeply indented line continues the value above it even when it looks like a key or a section of its own.
  private func warnOfSwallowedLine(
    _ value: ArraySlice<UInt8>, _ number: Int, _ current: String, _ document: INIDocument,
    _ diagnostics: inout [Diagnostic]
  ) {
    guard let section else { return }
    var what: String?
    if let name = sectionName(value), KnownKeys.kind(ofSection: name) != nil {
      what = "[\(name)]"
    } else if current != "environment", let delimiter = value.firstIndex(of: UInt8(ascii: "=")) {
      let name = String(decoding: stripped(value[value.startIndex..<delimiter]), as: UTF8.self)
      if let kind = KnownKeys.kind(ofSection: document.name(section)), kind.knows(name) { what = "\(name)=" }
    }
    guard let what else { return }
    diagnostics.append(
      Diagnostic(
        severity: .warning, file: file, line: number, section: document.name(section), key: current,
        message: "\(what) is indented and therefore continues the value of \(current)",
        remedy: "begin the line at the left margin"))
  }
}

/// Where the comment of a line begins; nil when it has none. This is CPython 3.11's search, which looks at the first
/// `;` and the first `#` together, then at the second ones, and so on: in `a;b ; c # d` it finds `# d`.
private func commentStart(_ line: ArraySlice<UInt8>) -> Int? {
  if let first = stripped(line).first, first == UInt8(ascii: ";") || first == UInt8(ascii: "#") {
    return line.startIndex
  }
  var semicolon: Int? = line.startIndex
  var hash: Int? = line.startIndex
  var start: Int?
  func next(_ byte: UInt8, _ from: Int?) -> Int? {
    guard let from, from <= line.endIndex else { return nil }
    guard let found = line[from...].firstIndex(of: byte) else { return nil }
    if found == line.startIndex || whitespaceLength(line, before: found) > 0 { start = min(start ?? found, found) }
    return found + 1
  }
  while start == nil, semicolon != nil || hash != nil {
    semicolon = next(UInt8(ascii: ";"), semicolon)
    hash = next(UInt8(ascii: "#"), hash)
  }
  return start
}

/// `\[(.+)\]` from the beginning of the line: whatever follows the last bracket is ignored.
private func sectionName(_ value: ArraySlice<UInt8>) -> String? {
  guard value.first == UInt8(ascii: "["), let close = value.lastIndex(of: UInt8(ascii: "]")),
    close > value.startIndex + 1
  else {
    return nil
  }
  return String(decoding: value[(value.startIndex + 1)..<close], as: UTF8.self)
}

/// How many characters of white space a line begins with.
private func leadingWhitespace(_ line: ArraySlice<UInt8>) -> Int {
  var count = 0
  var index = line.startIndex
  while true {
    let length = whitespaceLength(line, at: index)
    if length == 0 { return count }
    index += length
    count += 1
  }
}

/// The line, from 1, of a byte.
private func lineNumber(of index: Int, in bytes: [UInt8]) -> Int {
  1 + bytes[0..<index].reduce(0) { $0 + ($1 == 0x0A ? 1 : 0) }
}

/// Where the bytes stop being UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF).
private func firstInvalidUTF8(_ bytes: [UInt8]) -> Int? {
  var index = 0
  while index < bytes.count {
    let first = bytes[index]
    if first < 0x80 {
      index += 1
      continue
    }
    let length: Int
    var second: ClosedRange<UInt8> = 0x80...0xBF
    switch first {
    case 0xC2...0xDF: length = 2
    case 0xE0: (length, second) = (3, 0xA0...0xBF)
    case 0xED: (length, second) = (3, 0x80...0x9F)
    case 0xE1...0xEF: length = 3
    case 0xF0: (length, second) = (4, 0x90...0xBF)
    case 0xF1...0xF3: length = 4
    case 0xF4: (length, second) = (4, 0x80...0x8F)
    default: return index
    }
    guard index + length <= bytes.count, second.contains(bytes[index + 1]),
      bytes[(index + 2)..<(index + length)].allSatisfy({ (0x80...0xBF).contains($0) })
    else { return index }
    index += length
  }
  return nil
}
