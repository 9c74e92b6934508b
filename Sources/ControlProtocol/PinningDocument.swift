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
  /// `reset`: as the configuration says.
  public var reset: Bool

  /// A request.
  public init(
    coreClass: String? = nil, cpus: String? = nil, threads: String? = nil, policy: String? = nil, reset: Bool = false
  ) {
    self.coreClass = coreClass
    self.cpus = cpus
    self.threads = threads
    self.policy = policy
    self.reset = reset
  }

  /// Whether it asks for something.
  public var isEmpty: Bool { coreClass == nil && cpus == nil && threads == nil && policy == nil && !reset }

  /// The parameters of the request.
  var query: [(String, String)] {
    var items: [(String, String)] = []
    if let coreClass { items.append(("class", coreClass)) }
    if let cpus { items.append(("cpus", cpus)) }
    if let threads { items.append(("smt", threads)) }
    if let policy { items.append(("policy", policy)) }
    if reset { items.append(("reset", "true")) }
    return items
  }

  init(_ parameters: inout Parameters, target: String) throws(ControlFault) {
    self.init(
      coreClass: try parameters.text("class"), cpus: try parameters.text("cpus"), threads: try parameters.text("smt"),
      policy: try parameters.text("policy"), reset: try parameters.flag("reset") ?? false)
    try parameters.finish()
    guard !isEmpty else {
      throw ControlFault(
        .incorrectParameters,
        "cannot pin \(target): say where to, e.g. ?class=efficiency or ?cpus=0-3, how (?smt=, ?policy=), or ?reset")
    }
    if reset, coreClass != nil || cpus != nil || threads != nil || policy != nil {
      throw ControlFault(.incorrectParameters, "cannot pin \(target): reset stands alone")
    }
    if coreClass != nil, cpus != nil {
      throw ControlFault(.incorrectParameters, "cannot pin \(target): name a class or CPUs, not both")
    }
  }
}
