import Glibc
import Testing

@testable import HivePostgresCore

/// The whole table of what is done with a volume, on directory trees that look like what they stand for.
@Suite struct DecisionTests {
  static let installation = PostgresInstallation(
    binaryDirectory: "/b", majorVersion: 16, version: "PostgreSQL 16.14", shareDirectory: "/s",
    features: .init(configure: ""))

  /// What stands in a directory.
  enum Tree: String, CaseIterable {
    case absent, empty, lostAndFound, foreign, file, danglingLink
    case ours, otherIdentifier, major15, major18, noControl, damagedControl, noTemplate, bigPages
  }

  enum State: String, CaseIterable {
    case none, installing, initialised, adopted
  }

  static let identifier = "7000000000000000001"

  static func control(_ directory: String) throws(Failure) -> ControlData? {
    let text = try FileSystem.readText(directory + "/global/pg_control") ?? ""
    let values = text.split(separator: " ").map(String.init)
    guard values.count == 2, let block = UInt64(values[1]) else { return nil }
    return ControlData(
      parsing:
        "Database system identifier: \(values[0])\nDatabase cluster state: shut down\nBytes per WAL segment: 16777216\n"
        + "Database block size: \(block)\n")
  }

  static func make(_ tree: Tree, at path: String) throws {
    func write(_ name: String, _ content: String) throws {
      try FileSystem.makeDirectories(Path.parent(path + "/" + name), mode: 0o700)
      try FileSystem.writeAtomically(path + "/" + name, content.utf8, mode: 0o600)
    }
    func cluster(version: String = "16", control: String? = "\(identifier) 8192", databases: [Int] = [1, 4, 5]) throws {
      try write("PG_VERSION", version + "\n")
      for number in databases { try write("base/\(number)/PG_VERSION", version + "\n") }
      if let control { try write("global/pg_control", control) }
    }
    switch tree {
    case .absent: break
    case .empty: try FileSystem.makeDirectories(path, mode: 0o700)
    case .lostAndFound: try FileSystem.makeDirectories(path + "/lost+found", mode: 0o700)
    case .foreign: try write("postgresql.conf", "x")
    case .file:
      try FileSystem.makeDirectories(Path.parent(path), mode: 0o700)
      try FileSystem.writeAtomically(path, "x".utf8, mode: 0o600)
    case .danglingLink:
      try FileSystem.makeDirectories(Path.parent(path), mode: 0o700)
      #expect(symlink("/nowhere/at/all", path) == 0)
    case .ours: try cluster()
    case .otherIdentifier: try cluster(control: "7000000000000000002 8192")
    case .major15: try cluster(version: "15")
    case .major18: try cluster(version: "18")
    case .noControl: try cluster(control: nil)
    case .damagedControl: try cluster(control: "garbage")
    case .noTemplate: try cluster(databases: [1, 4])
    case .bigPages: try cluster(control: "\(identifier) 32768")
    }
  }

  static func state(_ state: State, _ directory: String) -> InstallationState? {
    guard let phase = InstallationState.Phase(rawValue: state.rawValue) else { return nil }
    return InstallationState(
      phase: phase, dataDirectory: directory, systemIdentifier: identifier, majorVersion: 16, superuser: "postgres",
      since: "2026-01-01T00:00:00Z")
  }

  /// A short name for each decision.
  static func name(_ decision: Survey.Decision) -> String {
    switch decision {
    case .ready: "ready"
    case .finish(_, .rename): "finish"
    case .finish(_, .inPlace): "finish in place"
    case .initialise(.rename): "init"
    case .initialise(.inPlace): "init in place"
    case .quarantine: "quarantine"
    case .adopt: "adopt"
    case .refuse(let failure): "refuse \(failure.status.code)"
    }
  }

  /// What must be decided for V/pgdata.
  static func expected(_ tree: Tree, _ state: State, staging: Bool, quarantine: Bool) -> String {
    switch (tree, state) {
    case (.absent, .none), (.empty, .none): "init"
    case (.lostAndFound, .none): "init"
    case (.absent, .installing), (.empty, .installing), (.lostAndFound, .installing): staging ? "finish" : "init"
    case (.absent, _), (.empty, _), (.lostAndFound, _): "refuse 78"
    case (.foreign, _), (.file, _), (.danglingLink, _): "refuse 78"
    case (.ours, .none): "adopt"
    case (.ours, .installing): "finish"
    case (.ours, _): "ready"
    case (.otherIdentifier, .none): "adopt"
    case (.otherIdentifier, _): "refuse 78"
    case (.major15, _), (.major18, _), (.bigPages, _): "refuse 78"
    case (.noControl, _), (.damagedControl, _), (.noTemplate, _): quarantine ? "quarantine" : "refuse 78"
    }
  }

  func withDirectory(_ body: (String) throws -> Void) throws {
    var template = Array("/tmp/hpg-XXXXXX".utf8CString)
    try #require(mkdtemp(&template) != nil)
    let root = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    defer { try? FileSystem.remove(root) }
    try body(root)
  }

  @Test func everyCombinationIsDecided() throws {
    for tree in Tree.allCases {
      for state in State.allCases {
        for staging in [false, true] {
          for quarantine in [false, true] {
            try withDirectory { root in
              let volume = Volume(root: root, dataDirectory: root + "/pgdata")
              try DecisionTests.make(tree, at: volume.dataDirectory)
              if staging { try DecisionTests.make(.ours, at: volume.staging) }
              let survey = try Survey.take(
                volume, state: DecisionTests.state(state, volume.dataDirectory), control: DecisionTests.control)
              let decision = survey.decide(
                volume: volume, installation: DecisionTests.installation, surroundings: Surroundings(volume: root),
                quarantine: quarantine)
              let expected = DecisionTests.expected(tree, state, staging: staging, quarantine: quarantine)
              #expect(
                DecisionTests.name(decision) == expected,
                "\(tree) with state \(state), staging \(staging), quarantine \(quarantine)")
              if case .refuse(let failure) = decision { #expect(failure.remedy != nil, "\(failure)") }
            }
          }
        }
      }
    }
  }

  /// PGDATA is V itself: nothing can be renamed over it.
  @Test func aFixedDirectoryIsFilledEntryByEntry() throws {
    let cases: [(tree: Tree, state: State, staging: Bool, expected: String)] = [
      (.empty, .none, false, "init in place"), (.lostAndFound, .none, false, "init in place"),
      (.empty, .none, true, "init in place"), (.empty, .installing, true, "finish in place"),
      (.foreign, .installing, true, "finish in place"), (.foreign, .installing, false, "refuse 78"),
      (.foreign, .none, false, "refuse 78"), (.ours, .installing, true, "finish in place"),
      (.ours, .none, false, "adopt"),
      (.ours, .initialised, false, "ready"), (.noControl, .none, false, "refuse 78"),
    ]
    for item in cases {
      try withDirectory { root in
        let volume = Volume(root: root, dataDirectory: root)
        try DecisionTests.make(item.tree, at: root)
        if item.staging { try FileSystem.makeDirectories(volume.inPlaceStaging, mode: 0o700) }
        let survey = try Survey.take(
          volume, state: DecisionTests.state(item.state, root), control: DecisionTests.control)
        let decision = survey.decide(
          volume: volume, installation: DecisionTests.installation, surroundings: Surroundings(volume: root),
          quarantine: true)
        #expect(DecisionTests.name(decision) == item.expected, "\(item)")
      }
    }
  }

  /// The official image's layouts, up to 17 (the volume is PGDATA) and from 18 on (V/18/docker).
  @Test func otherLayoutsAreSeen() throws {
    let cases: [(path: String, tree: Tree, given: String?, expected: String)] = [
      ("", .ours, nil, "adopt"), ("", .major15, nil, "refuse 78"), ("18/docker", .major18, nil, "refuse 78"),
      ("16/docker", .ours, nil, "adopt"), ("16/docker", .ours, "16/docker", "adopt"), ("data", .ours, nil, "adopt"),
      ("data", .ours, "data", "adopt"), ("pgdata.broken-1", .ours, nil, "init"), ("pgdata", .ours, "x", "refuse 78"),
      ("documents", .foreign, nil, "refuse 78"), ("documents", .foreign, "pgdata", "init"),
      (".snapshot", .foreign, nil, "init"), ("lost+found", .empty, nil, "init"), ("base", .empty, nil, "refuse 78"),
    ]
    for item in cases {
      try withDirectory { root in
        try DecisionTests.make(item.tree, at: item.path.isEmpty ? root : root + "/" + item.path)
        var environment = ["HIVE_DATA": root]
        environment["PGDATA"] = item.given.map { root + "/" + $0 }
        let volume = try Volume(
          settings: Settings(environment: environment, workingDirectory: "/", firstStart: false), state: nil)
        let survey = try Survey.take(volume, state: nil, control: DecisionTests.control)
        let decision = survey.decide(
          volume: volume, installation: DecisionTests.installation, surroundings: Surroundings(volume: root),
          quarantine: false)
        #expect(DecisionTests.name(decision) == item.expected, "\(item)")
        if case .refuse(let failure) = decision { #expect(failure.remedy != nil, "\(failure)") }
      }
    }
  }

  /// pg_upgrade leaves the old one beside the new one: a person says which.
  @Test func ofTwoLayoutsNoneIsChosen() throws {
    try withDirectory { root in
      try DecisionTests.make(.ours, at: root + "/16/docker")
      try DecisionTests.make(.major18, at: root + "/18/docker")
      let settings = try Settings(environment: ["HIVE_DATA": root], workingDirectory: "/", firstStart: false)
      let volume = try Volume(settings: settings, state: nil)
      let survey = try Survey.take(volume, state: nil, control: DecisionTests.control)
      let failure = survey.refusal(volume, DecisionTests.installation, Surroundings(volume: root))
      #expect(failure?.message.contains("16/docker (16), 18/docker (18)") == true, "\(String(describing: failure))")
      #expect(failure?.remedy?.contains("PGDATA=\(root)/16/docker") == true)
    }
  }

  /// The volume of the official image from 18 on, mounted where that image wants it: ours is an empty one below it.
  @Test func aClusterBesideTheVolumeIsNotOverlooked() throws {
    try withDirectory { root in
      try DecisionTests.make(.major18, at: root + "/18/docker")
      let volume = Volume(root: root + "/data", dataDirectory: root + "/data/pgdata")
      try FileSystem.makeDirectories(volume.root, mode: 0o700)
      var surroundings = Surroundings(volume: volume.root)
      for state in [nil, DecisionTests.state(.adopted, volume.dataDirectory)] {
        let survey = try Survey.take(volume, state: state, control: DecisionTests.control)
        #expect(survey.beside.isEmpty == (state != nil))
      }
      let survey = try Survey.take(volume, state: nil, control: DecisionTests.control)
      #expect(
        survey.refusal(volume, DecisionTests.installation, surroundings)?.remedy == "set HIVE_DATA=\(root) to use it")
      surroundings.engine = .docker
      surroundings.volumeNameBeside = "old"
      #expect(
        survey.refusal(volume, DecisionTests.installation, surroundings)?.remedy?.contains("-v old:\(root)/data")
          == true
      )
    }
  }

  /// Only a new cluster: what is in such a volume already is served, for it is all there is.
  @Test func noClusterIsBegunInAVolumeThatEndsWithTheContainer() throws {
    for (tree, state) in [
      (Tree.absent, State.none), (.empty, .none), (.ours, .none), (.ours, .initialised), (.absent, .installing),
    ] {
      try withDirectory { root in
        let volume = Volume(root: root + "/data", dataDirectory: root + "/data/pgdata")
        try FileSystem.makeDirectories(volume.root, mode: 0o700)
        try DecisionTests.make(tree, at: volume.dataDirectory)
        var surroundings = Surroundings(volume: volume.root)
        surroundings.engine = .docker
        surroundings.mountPointAbove = root
        surroundings.volumeNameBeside = "v"
        let survey = try Survey.take(
          volume, state: DecisionTests.state(state, volume.dataDirectory), control: DecisionTests.control)
        let failure = survey.refusal(volume, DecisionTests.installation, surroundings)
        #expect((failure != nil) == (tree != .ours && state == .none), "\(tree), \(state)")
        if let failure { #expect(failure.remedy?.contains("-v v:\(root)/data ") == true, "\(failure)") }
      }
    }
  }

  /// What the engine has put into a volume that was mounted one higher is not somebody's document; what is in it is.
  @Test func anEmptyDirectoryOfTheImageIsNotForeign() throws {
    for (content, isForeign) in [(Tree.empty, false), (.foreign, true), (.file, true), (.danglingLink, true)] {
      try withDirectory { root in
        try DecisionTests.make(content, at: root + "/data")
        let volume = Volume(root: root, dataDirectory: root + "/pgdata")
        let survey = try Survey.take(volume, state: nil, control: DecisionTests.control)
        #expect(survey.foreign == (isForeign ? ["data"] : []), "\(content)")
      }
    }
  }

  @Test func whereAClusterWasLeftIsRemembered() throws {
    let state = DecisionTests.state(.adopted, "/v/old")
    let settings = try Settings(environment: ["HIVE_DATA": "/v"], workingDirectory: "/", firstStart: false)
    #expect(try Volume(settings: settings, state: state).dataDirectory == "/v/old")
    // The volume is mounted elsewhere now: what was recorded says nothing.
    let moved = try Settings(environment: ["HIVE_DATA": "/w"], workingDirectory: "/", firstStart: false)
    #expect(try Volume(settings: moved, state: state).dataDirectory == "/w/pgdata")
  }
}
