// Where a program runs and how it is scheduled: what was asked for, and what the kernel has.

/// What the kernel refused of what was asked for; the program runs without it.
public struct RefusalDocument: Equatable, Sendable {
  /// `cpus`, `nice`, `sched_policy`, `ionice` or `numa_policy`.
  public var setting: String
  /// What was asked for.
  public var requested: String
  /// Why not.
  public var message: String
  /// What would allow it. nil: that is not known.
  public var remedy: String?

  /// A refusal.
  public init(setting: String, requested: String, message: String, remedy: String?) {
    self.setting = setting
    self.requested = requested
    self.message = message
    self.remedy = remedy
  }

  /// Writes it as an object.
  public func write(to writer: inout JSONWriter) {
    writer.beginObject()
    writer.member("setting", setting)
    writer.member("requested", requested)
    writer.member("message", message)
    writer.member("remedy", remedy)
    writer.endObject()
  }

  /// The refusal in a document; nil when it does not say of what.
  public init?(json: JSONValue) {
    guard let setting = json["setting"]?.string else { return nil }
    self.init(
      setting: setting, requested: json["requested"]?.string ?? "", message: json["message"]?.string ?? "",
      remedy: json["remedy"]?.string)
  }
}

/// Where a program runs.
public struct PinningDocument: Equatable, Sendable {
  /// The CPUs that were asked for, as the configuration has them: `low-power,efficiency`, `0,2,4-6`. nil: none in particular.
  public var requested: String?
  /// Whether `ctl pin` asked for any of this.
  public var isLive = false
  /// `all` or `one-per-core` of each core's threads, where CPUs were asked for.
  public var threads: String?
  /// The CPUs on which the kernel lets the main process run, as a list; nil: there is no process.
  public var cpus: String?
  /// The class of these; nil: none was asked for, or the CPUs are others than hivesup's.
  public var coreClass: String?
  /// Why the CPUs are not those that were asked for; empty when they are.
  public var explanation = ""
  /// Whether these are other CPUs than those that were asked for, on a machine where that makes a difference: where all cores are alike,
  /// every class is all of them.
  public var isFallback = false
  /// The policy that was asked for.
  public var policyRequested: String?
  /// The kernel's policy of the main process, in the configuration's words, or as a number.
  public var policy: String?
  /// The nice value that was asked for.
  public var niceRequested: Int?
  /// The kernel's nice value of the main process.
  public var nice: Int?
  /// The I/O priority that was asked for, in the configuration's words.
  public var ioniceRequested: String?
  /// The kernel's I/O priority of the main process, in the configuration's words; `none`: nice decides.
  public var ionice: String?
  /// The NUMA policy that was asked for. The kernel does not tell that of another process.
  public var memoryPolicy: String?
  /// What the kernel refused.
  public var refused: [RefusalDocument] = []

  /// Nothing is asked for, and nothing runs.
  public init() {}

  /// Writes it as an object.
  public func write(to writer: inout JSONWriter) {
    writer.beginObject()
    writer.member("requested", requested)
    writer.member("live", isLive)
    writer.member("cpu_smt", threads)
    writer.member("cpus", cpus)
    writer.member("class", coreClass)
    writer.member("explanation", explanation)
    writer.member("fallback", isFallback)
    writer.member("sched_policy_requested", policyRequested)
    writer.member("sched_policy", policy)
    writer.member("nice_requested", niceRequested)
    writer.member("nice", nice)
    writer.member("ionice_requested", ioniceRequested)
    writer.member("ionice", ionice)
    writer.member("numa_policy_requested", memoryPolicy)
    writer.key("refused")
    writer.beginArray()
    for one in refused { one.write(to: &writer) }
    writer.endArray()
    writer.endObject()
  }

  /// The pinning in a document; nil when there is none, as of an older daemon.
  public init?(json: JSONValue?) {
    guard let json, json.members != nil else { return nil }
    requested = json["requested"]?.string
    isLive = json["live"]?.bool ?? false
    threads = json["cpu_smt"]?.string
    cpus = json["cpus"]?.string
    coreClass = json["class"]?.string
    explanation = json["explanation"]?.string ?? ""
    isFallback = json["fallback"]?.bool ?? false
    policyRequested = json["sched_policy_requested"]?.string
    policy = json["sched_policy"]?.string
    niceRequested = json["nice_requested"]?.int.flatMap { Int(exactly: $0) }
    nice = json["nice"]?.int.flatMap { Int(exactly: $0) }
    ioniceRequested = json["ionice_requested"]?.string
    ionice = json["ionice"]?.string
    memoryPolicy = json["numa_policy_requested"]?.string
    refused = json["refused"]?.array?.compactMap(RefusalDocument.init(json:)) ?? []
  }
}

/// What `POST /v1/programs/NAME/pin` asks for. The values are texts as in the configuration, for the daemon to read.
public struct PinRequest: Equatable, Sendable {
  /// `class`: as `cpu_class`.
  public var coreClass: String?
  /// `cpus`: as `cpu_affinity`.
  public var cpus: String?
  /// `smt`: as `cpu_smt`.
  public var threads: String?
  /// `policy`: as `sched_policy`.
  public var policy: String?
  /// `nice`: as `nice`.
  public var nice: String?
  /// `ionice`: as `ionice`.
  public var ionice: String?
  /// `reset`: as the configuration says.
  public var reset: Bool

  /// A request.
  public init(
    coreClass: String? = nil, cpus: String? = nil, threads: String? = nil, policy: String? = nil, nice: String? = nil,
    ionice: String? = nil, reset: Bool = false
  ) {
    self.coreClass = coreClass
    self.cpus = cpus
    self.threads = threads
    self.policy = policy
    self.nice = nice
    self.ionice = ionice
    self.reset = reset
  }

  /// Whether it asks for something.
  public var isEmpty: Bool { values.isEmpty && !reset }

  /// What it asks for, by the parameters' names.
  private var values: [(String, String)] {
    [
      ("class", coreClass), ("cpus", cpus), ("smt", threads), ("policy", policy), ("nice", nice), ("ionice", ionice),
    ].compactMap { name, value in value.map { (name, $0) } }
  }

  /// What cannot go together, as the end of a sentence; nil: nothing.
  public var contradiction: String? {
    if reset, !values.isEmpty { return "reset stands alone" }
    return coreClass != nil && cpus != nil ? "name a class or CPUs, not both" : nil
  }

  /// The parameters of the request.
  var query: [(String, String)] {
    var items = values
    if reset { items.append(("reset", "true")) }
    return items
  }

  init(_ parameters: inout Parameters, target: String) throws(ControlFault) {
    self.init(
      coreClass: try parameters.text("class"), cpus: try parameters.text("cpus"), threads: try parameters.text("smt"),
      policy: try parameters.text("policy"), nice: try parameters.text("nice"), ionice: try parameters.text("ionice"),
      reset: try parameters.flag("reset") ?? false)
    try parameters.finish()
    guard !isEmpty else {
      throw ControlFault(
        .incorrectParameters,
        "cannot pin \(target): say where to, e.g. ?class=efficiency or ?cpus=0-3, how (?smt=, ?policy=, ?nice=, ?ionice=), or ?reset"
      )
    }
    if let contradiction { throw ControlFault(.incorrectParameters, "cannot pin \(target): \(contradiction)") }
  }
}
