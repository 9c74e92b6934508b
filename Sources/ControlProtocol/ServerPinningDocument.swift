// On which CPUs the database server's processes run, by role: the member `pinning` of a `ThermalDocument`.

/// Where the server's processes run.
public struct ServerPinningDocument: Equatable, Sendable {
  /// Processes with the same task.
  public struct Role: Equatable, Sendable {
    /// `backends`, `walwriter`, `autovacuum`, …
    public var name: String
    /// What was asked for: a list of classes, a list of CPUs, `any`, or `backends`.
    public var requested: String
    /// The CPUs on which they are to run now, as a list.
    public var cpus: String
    /// The heat has moved them.
    public var isMoved: Bool
    /// Why the CPUs are not those that were asked for; empty when they are.
    public var explanation: String
    /// How many processes there are.
    public var processes: Int
    /// How many of them the kernel runs on other CPUs.
    public var elsewhere: Int

    /// A role.
    public init(
      name: String, requested: String, cpus: String, isMoved: Bool, explanation: String, processes: Int = 0,
      elsewhere: Int = 0
    ) {
      self.name = name
      self.requested = requested
      self.cpus = cpus
      self.isMoved = isMoved
      self.explanation = explanation
      self.processes = processes
      self.elsewhere = elsewhere
    }
  }

  /// What the kernel refused.
  public struct Refusal: Equatable, Sendable {
    /// For how many processes.
    public var processes: Int
    /// Why.
    public var message: String
    /// What would allow it.
    public var remedy: String

    /// A refusal.
    public init(processes: Int, message: String, remedy: String) {
      self.processes = processes
      self.message = message
      self.remedy = remedy
    }
  }

  /// `off`, `by-class` or `meteor-lake`.
  public var profile: String
  /// The roles that have processes.
  public var roles: [Role]
  /// What the kernel refused; empty when all is as it should be.
  public var refused: [Refusal]

  /// A report.
  public init(profile: String, roles: [Role], refused: [Refusal]) {
    self.profile = profile
    self.roles = roles
    self.refused = refused
  }

  private static let most = 32
  private static let longest = 512

  /// Writes it as an object.
  public func write(to writer: inout JSONWriter) {
    writer.beginObject()
    writer.member("profile", profile)
    writer.key("roles")
    writer.beginArray()
    for role in roles {
      writer.beginObject()
      writer.member("role", role.name)
      writer.member("requested", role.requested)
      writer.member("cpus", role.cpus)
      writer.member("moved", role.isMoved)
      writer.member("explanation", role.explanation)
      writer.member("processes", role.processes)
      writer.member("elsewhere", role.elsewhere)
      writer.endObject()
    }
    writer.endArray()
    writer.key("refused")
    writer.beginArray()
    for refusal in refused {
      writer.beginObject()
      writer.member("processes", refusal.processes)
      writer.member("message", refusal.message)
      writer.member("remedy", refusal.remedy)
      writer.endObject()
    }
    writer.endArray()
    writer.endObject()
  }

  /// The report in a document.
  /// - Throws: INCORRECT_PARAMETERS when a member is missing or of another kind, BAD_ARGUMENTS when there is too much of it.
  public init(json: JSONValue) throws(ControlFault) {
    guard let profile = json["profile"]?.string, let roles = json["roles"]?.array else {
      throw ControlFault(.incorrectParameters, "cannot take the pinning: it needs profile and roles")
    }
    let refused = json["refused"]?.array ?? []
    var isBounded = roles.count <= Self.most && refused.count <= Self.most && profile.utf8.count <= Self.longest
    func text(_ value: JSONValue, _ name: String) -> String {
      let text = value[name]?.string ?? ""
      if text.utf8.count > Self.longest { isBounded = false }
      return text
    }
    func count(_ value: JSONValue, _ name: String) -> Int {
      let number = value[name]?.int.flatMap { Int(exactly: $0) } ?? 0
      if number < 0 { isBounded = false }
      return number
    }
    self.init(
      profile: profile,
      roles: roles.prefix(Self.most).map { one in
        Role(
          name: text(one, "role"), requested: text(one, "requested"), cpus: text(one, "cpus"),
          isMoved: one["moved"]?.bool ?? false, explanation: text(one, "explanation"),
          processes: count(one, "processes"), elsewhere: count(one, "elsewhere"))
      },
      refused: refused.prefix(Self.most).map { one in
        Refusal(processes: count(one, "processes"), message: text(one, "message"), remedy: text(one, "remedy"))
      })
    guard isBounded, self.roles.allSatisfy({ !$0.name.isEmpty }) else {
      throw ControlFault(.badArguments, "cannot take the pinning: a member is out of its bounds")
    }
  }
}
