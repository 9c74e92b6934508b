// What the first word of the command line asks for: a command of hivesup, or a program for which hivesup is to be the init
// (`docker run IMAGE psql …`, where hivesup is the image's ENTRYPOINT).

@preconcurrency import Glibc

/// What the first word asks for.
enum FirstWord: Equatable {
  /// hivesup itself: a command, an option, or nothing at all.
  case command
  /// A program: its file, and where in the words its own name stands.
  case program(file: String, index: Int)
  /// A program that cannot be run: the sentence, and the exit status that shells have for it.
  case refused(Problem)
  /// Neither a command nor a program; perhaps `suggestion` was meant, in the words after `hivesup`.
  case unknown(String, suggestion: String?)

  /// What there is at a path.
  enum File {
    case executable
    case notExecutable
    case missing
  }

  /// The words that have a meaning here.
  struct Vocabulary {
    /// The commands of hivesup.
    var commands: [String]
    /// The commands of `hivesup ctl`, for the suggestion.
    var controlCommands: [String]
  }

  /// A command of hivesup wins over a program of its name; `--` in front says that a program is meant. A word with a slash is a path, any
  /// other is looked for in `searchPath` by execvp(3)'s rules: the first executable file counts, an empty element is the current
  /// directory, and without PATH it is /bin:/usr/bin (confstr(3), _CS_PATH).
  static func classify(
    _ words: [String], vocabulary: Vocabulary, searchPath: String?, file: (String) -> File
  ) -> FirstWord {
    guard let first = words.first else { return .command }
    if first == "--" {
      guard words.count > 1, !words[1].isEmpty else {
        return .refused(Problem("cannot run: no program follows '--'", status: ExitStatusCode.usage))
      }
      return program(words[1], index: 1, searchPath: searchPath, file: file) ?? .refused(missing(words[1]))
    }
    if first.hasPrefix("-") || vocabulary.commands.contains(first) { return .command }
    if let found = program(first, index: 0, searchPath: searchPath, file: file) { return found }
    // No command has a slash: who wrote it meant a program.
    if first.contains("/") { return .refused(missing(first)) }
    return .unknown(first, suggestion: suggestion(for: first, vocabulary))
  }

  /// nil when there is no such file.
  private static func program(
    _ word: String, index: Int, searchPath: String?, file: (String) -> File
  ) -> FirstWord? {
    var refused: String?
    for place in places(of: word, searchPath: searchPath) {
      switch file(place) {
      case .executable: return .program(file: place, index: index)
      case .notExecutable: refused = refused ?? place
      case .missing: continue
      }
    }
    return refused.map {
      .refused(
        Problem("cannot run \($0): it is no file that this user may execute", status: ExitStatusCode.cannotExecute))
    }
  }

  private static func places(of word: String, searchPath: String?) -> [String] {
    if word.contains("/") { return [word] }
    if word.isEmpty { return [] }
    return (searchPath ?? "/bin:/usr/bin").split(separator: ":", omittingEmptySubsequences: false)
      .map { $0.isEmpty ? "./\(word)" : "\($0)/\(word)" }
  }

  private static func missing(_ word: String) -> Problem {
    Problem(
      word.contains("/")
        ? "cannot run \(word): \(errorText(ENOENT))" : "cannot run '\(word)': there is no such program in PATH",
      status: ExitStatusCode.programNotFound)
  }

  /// The nearest command: `ctl status` for `status` and `statsu`, `check` for `chekc`.
  private static func suggestion(for word: String, _ vocabulary: Vocabulary) -> String? {
    let lowercased = word.lowercased()
    let own = vocabulary.commands.map { (name: $0, words: $0) }
    let control = vocabulary.controlCommands.map { (name: $0, words: "ctl \($0)") }
    let nearest = (own + control).map { (words: $0.words, distance: editDistance(lowercased, $0.name)) }
      .min { $0.distance < $1.distance }
    // One slip in a short word, two in a longer one; more would be guessing.
    guard let nearest, nearest.distance <= (lowercased.count < 5 ? 1 : 2), nearest.distance < lowercased.count else {
      return nil
    }
    return nearest.words
  }
}

/// How many letters must be inserted, removed, replaced or swapped with their neighbour to make one word of the other (the optimal
/// string alignment distance).
func editDistance(_ one: String, _ other: String) -> Int {
  let (one, other) = (Array(one), Array(other))
  var beforeLast: [Int] = []
  var last = Array(0...other.count)
  for row in one.indices {
    var current = [row + 1]
    for column in other.indices {
      let change = last[column] + (one[row] == other[column] ? 0 : 1)
      var best = min(change, last[column + 1] + 1, current[column] + 1)
      if row > 0, column > 0, one[row] == other[column - 1], one[row - 1] == other[column] {
        best = min(best, beforeLast[column - 1] + 1)
      }
      current.append(best)
    }
    beforeLast = last
    last = current
  }
  return last.last ?? 0
}

extension FirstWord.File {
  /// What there is at `path` for this process's user.
  static func look(at path: String) -> FirstWord.File {
    var status = stat()
    // EACCES on the way: it may be there, and it cannot be executed (execvp(3) treats it so).
    guard stat(path, &status) == 0 else { return errno == EACCES ? .notExecutable : .missing }
    return status.st_mode & S_IFMT == S_IFREG && access(path, X_OK) == 0 ? .executable : .notExecutable
  }
}
