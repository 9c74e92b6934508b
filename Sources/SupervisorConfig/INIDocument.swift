// A configuration file as sections of keys with texts, after all includes are merged and before anything has a meaning.

/// One key of a section.
struct INIOption: Equatable {
  /// The text: the lines of the value joined with newlines, without comments.
  var value: String
  /// The file that said so last.
  var file: String
  /// The line of the key.
  var line: Int
  /// Whether an inline comment was cut off one of its lines: the usual reason for a quote that is never closed.
  var commentWasCut: Bool
}

/// One section, merged from all places where it was written.
struct INISection: Equatable {
  /// The name between the brackets, as written.
  var name: String
  /// The file in which it was written first.
  var file: String
  /// The line of that header.
  var line: Int
  /// Its keys, in lower case.
  var options: [String: INIOption] = [:]
}

/// All sections in the order of their first appearance.
struct INIDocument: Equatable {
  /// Every section but `[DEFAULT]`.
  var sections: [INISection] = []
  /// Where a name is in `sections`.
  private var indexes: [String: Int] = [:]
  /// `[DEFAULT]`, whose keys every section has unless it sets them itself: a gift of Python's parser to supervisord's
  /// files.
  var defaults = INISection(name: "DEFAULT", file: "", line: 0)

  /// The section of this name.
  func section(_ name: String) -> INISection? {
    guard let index = indexes[name] else { return nil }
    return sections[index]
  }

  /// Whether the section exists.
  func contains(_ name: String) -> Bool { indexes[name] != nil }

  /// The option, from the section or else from `[DEFAULT]`.
  func option(_ section: INISection, _ key: String) -> INIOption? { section.options[key] ?? defaults.options[key] }

  /// Begins or continues a section.
  mutating func open(_ name: String, file: String, line: Int) -> SectionHandle {
    if let index = indexes[name] { return .section(index) }
    if name == "DEFAULT" {
      if defaults.line == 0 { defaults = INISection(name: name, file: file, line: line) }
      return .defaults
    }
    indexes[name] = sections.count
    sections.append(INISection(name: name, file: file, line: line))
    return .section(sections.count - 1)
  }

  /// Sets a key of an opened section.
  mutating func set(_ handle: SectionHandle, _ key: String, _ option: INIOption) {
    switch handle {
    case .defaults: defaults.options[key] = option
    case .section(let index): sections[index].options[key] = option
    }
  }

  /// The key of an opened section, without `[DEFAULT]`.
  func own(_ handle: SectionHandle, _ key: String) -> INIOption? {
    switch handle {
    case .defaults: defaults.options[key]
    case .section(let index): sections[index].options[key]
    }
  }

  /// The name of an opened section.
  func name(_ handle: SectionHandle) -> String {
    switch handle {
    case .defaults: defaults.name
    case .section(let index): sections[index].name
    }
  }

  /// Replaces every `%(here)s` by the directory, as supervisord does it before and after each included file: literally,
  /// and with the keys that `[DEFAULT]` lends.
  mutating func replaceHere(with directory: String) {
    for (key, option) in defaults.options where option.value.utf8.contains(UInt8(ascii: "%")) {
      guard let replaced = replacingHere(in: option.value, with: directory) else { continue }
      var copy = option
      copy.value = replaced
      for index in sections.indices where sections[index].options[key] == nil { sections[index].options[key] = copy }
    }
    for index in sections.indices {
      for (key, option) in sections[index].options where option.value.utf8.contains(UInt8(ascii: "%")) {
        guard let replaced = replacingHere(in: option.value, with: directory) else { continue }
        sections[index].options[key]?.value = replaced
      }
    }
  }

  /// An opened section.
  enum SectionHandle: Equatable {
    /// `[DEFAULT]`.
    case defaults
    /// The section at this place.
    case section(Int)
  }
}

/// `text.replace('%(here)s', directory)`; nil when there is none.
private func replacingHere(in text: String, with directory: String) -> String? {
  let needle = Array("%(here)s".utf8)
  let bytes = Array(text.utf8)
  guard bytes.count >= needle.count else { return nil }
  var result: [UInt8] = []
  var found = false
  var index = 0
  while index < bytes.count {
    if bytes[index] == needle[0], index + needle.count <= bytes.count,
      bytes[index..<index + needle.count].elementsEqual(needle)
    {
      result.append(contentsOf: directory.utf8)
      index += needle.count
      found = true
    } else {
      result.append(bytes[index])
      index += 1
    }
  }
  return found ? String(decoding: result, as: UTF8.self) : nil
}
