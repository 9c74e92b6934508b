// `hivesup run`: checks the words, finds the configuration, and becomes the daemon. The flags are supervisord's.

import ArgumentParser

struct Run: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Run the supervisor in the foreground.",
    discussion: """
      Becomes hivesupd, with the same process id. Without -c the first of these is read: /etc/hivesup/hivesup.conf, then supervisord's \
      own places. Exit status: 0 asked to stop and everything stopped in time; 2 wrong configuration; a critical program's own status or \
      128+signal; 70 something had to be killed; 71 the start timed out.
      """)

  @Option(
    name: [.customShort("c"), .customLong("configuration")],
    help: ArgumentHelp("The configuration file.", valueName: "file"), completion: .file())
  var file: String?

  @Flag(
    name: [.customShort("n"), .customLong("nodaemon")],
    help: "Stay in the foreground (always so; for supervisord's sake).")
  var nodaemon = false

  @Flag(name: [.short, .long], help: "Do not copy the log to standard error.")
  var silent = false

  @Flag(name: [.customShort("k"), .customLong("nocleanup")], help: "Keep the AUTO log files of earlier runs.")
  var nocleanup = false

  @Option(
    name: [.customShort("e"), .customLong("loglevel")],
    help: ArgumentHelp("critical, error, warn, info, debug, trace or blather.", valueName: "level"),
    completion: .list(Run.levels))
  var logLevel: String?

  @Option(
    name: [.customShort("l"), .customLong("logfile")], help: ArgumentHelp("The log file.", valueName: "file"),
    completion: .file())
  var logFile: String?

  @Option(
    name: [.customShort("y"), .customLong("logfile_maxbytes")],
    help: ArgumentHelp("The log file's largest size.", valueName: "bytes"))
  var logFileBytes: String?

  @Option(
    name: [.customShort("z"), .customLong("logfile_backups")],
    help: ArgumentHelp("How many rotated log files are kept.", valueName: "count"))
  var logFileBackups: Int?

  @Option(
    name: [.customShort("j"), .customLong("pidfile")], help: ArgumentHelp("The pid file.", valueName: "file"),
    completion: .file())
  var pidfile: String?

  @Option(
    name: [.customShort("q"), .customLong("childlogdir")],
    help: ArgumentHelp("The directory of AUTO log files.", valueName: "directory"), completion: .directory)
  var childLogDirectory: String?

  @Option(name: [.short, .long], help: ArgumentHelp("The supervisor's own name.", valueName: "name"))
  var identifier: String?

  static let levels = ["critical", "error", "warn", "info", "debug", "trace", "blather"]

  func validate() throws {
    if let logLevel, !Self.levels.contains(logLevel.lowercased()) {
      throw ValidationError("bad logging level name '\(logLevel)': use one of \(Self.levels.joined(separator: ", "))")
    }
    if let logFileBytes, ByteSize.parse(logFileBytes) == nil {
      throw ValidationError("cannot use '\(logFileBytes)' as a size: write bytes, or a number with KB, MB or GB")
    }
    if let logFileBackups, logFileBackups < 0 {
      throw ValidationError("cannot keep \(logFileBackups) files: give 0 or more")
    }
  }

  func run() throws {
    try DaemonExecutable.supervise(arguments(file: try ConfigurationSearch.find(file)))
  }

  /// The daemon's words.
  func arguments(file: String) -> [String] {
    var words = ["-c", file]
    if silent { words.append("-s") }
    if nocleanup { words.append("-k") }
    let options: [(String, String?)] = [
      ("-e", logLevel), ("-l", logFile), ("-y", logFileBytes.flatMap(ByteSize.parse).map(String.init)),
      ("-z", logFileBackups.map(String.init)), ("-j", pidfile), ("-q", childLogDirectory), ("-i", identifier),
    ]
    for (flag, value) in options {
      if let value { words += [flag, value] }
    }
    return words
  }
}

/// supervisord's byte sizes: a number with an optional KB, MB or GB, 1024-based.
enum ByteSize {
  static func parse(_ text: String) -> Int64? {
    var digits = text.uppercased()
    var unit: Int64 = 1
    for (suffix, factor) in [("KB", 1 << 10), ("MB", 1 << 20), ("GB", 1 << 30)] as [(String, Int64)]
    where digits.hasSuffix(suffix) {
      digits.removeLast(2)
      unit = factor
      break
    }
    guard let number = Int64(digits), number >= 0 else { return nil }
    let (bytes, overflow) = number.multipliedReportingOverflow(by: unit)
    return overflow ? nil : bytes
  }
}

struct Doctor: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Tell which kernel features the supervisor can use here, and why not.",
    discussion: "Becomes 'hivesupd --doctor', which tries each of them.")

  @Flag(name: .long, help: "One JSON document.")
  var json = false

  func run() throws { try DaemonExecutable.become(["--doctor"] + (json ? ["--json"] : [])) }
}
