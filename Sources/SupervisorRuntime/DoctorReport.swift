import ControlProtocol

/// What `hivesup doctor` found out about one thing.
public struct DoctorFinding: Equatable, Sendable {
  /// How much it matters that it is not available.
  public enum Importance: String, Sendable {
    /// The supervisor cannot do its work without it.
    case required
    /// There is a fallback, or only some keys of the configuration need it.
    case useful
    /// Only for the reader.
    case information
  }

  /// The feature's name, as `kill-by-cgroup`.
  public var feature: String
  /// Whether it can be used here, by this user, in this container.
  public var available: Bool
  /// How much that matters.
  public var importance: Importance
  /// What was seen.
  public var detail: String
  /// What would make it available.
  public var remedy: String?
  /// What is done instead.
  public var fallback: String?

  /// A finding.
  public init(
    _ feature: String, _ available: Bool, _ importance: Importance = .useful, _ detail: String, remedy: String? = nil,
    fallback: String? = nil
  ) {
    self.feature = feature
    self.available = available
    self.importance = importance
    self.detail = detail
    self.remedy = available ? nil : remedy
    self.fallback = available ? nil : fallback
  }
}

/// All findings, for people and for programs.
public struct DoctorReport: Equatable, Sendable {
  /// In the order of asking.
  public var findings: [DoctorFinding]

  /// A report.
  public init(findings: [DoctorFinding]) { self.findings = findings }

  /// Whether everything that is required is there.
  public var isFit: Bool { findings.allSatisfy { $0.available || $0.importance != .required } }

  /// 0 when everything that is required is there, otherwise 1.
  public var exitStatus: Int32 { isFit ? 0 : 1 }

  /// One line a finding, and indented below it what would help and what is done instead.
  public var text: String {
    let width = findings.map(\.feature.count).max() ?? 0
    var text = ""
    for finding in findings {
      let mark: String
      switch (finding.available, finding.importance) {
      case (true, .information): mark = "  "
      case (true, _): mark = "ok"
      case (false, .required): mark = "!!"
      case (false, _): mark = "--"
      }
      let padding = String(repeating: " ", count: width - finding.feature.count)
      text += "\(mark) \(finding.feature)\(padding)  \(finding.detail)\n"
      let indent = String(repeating: " ", count: width + 5)
      if let remedy = finding.remedy { text += "\(indent)to have it: \(remedy)\n" }
      if let fallback = finding.fallback { text += "\(indent)instead: \(fallback)\n" }
    }
    text += isFit ? "Everything that is needed is there.\n" : "Something that is needed is missing (!!).\n"
    return text
  }

  /// `{"fit":true,"features":[{"feature":…,"available":…,"importance":…,"detail":…,"remedy":…,"fallback":…}]}`
  public var json: String {
    var writer = JSONWriter(reserving: 8192)
    writer.beginObject()
    writer.key("fit")
    writer.value(isFit)
    writer.key("features")
    writer.beginArray()
    for finding in findings {
      writer.beginObject()
      writer.key("feature")
      writer.value(finding.feature)
      writer.key("available")
      writer.value(finding.available)
      writer.key("importance")
      writer.value(finding.importance.rawValue)
      writer.key("detail")
      writer.value(finding.detail)
      writer.key("remedy")
      writer.value(finding.remedy)
      writer.key("fallback")
      writer.value(finding.fallback)
      writer.endObject()
    }
    writer.endArray()
    writer.endObject()
    return writer.text + "\n"
  }
}
