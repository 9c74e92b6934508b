// What the control API answers when it does not do what it was asked: supervisord's fault names (supervisor/xmlrpc.py,
// `Faults`) and four of our own for what only HTTP can get wrong.

/// Why a request was not done.
public struct ControlFault: Error, Equatable, Sendable {
  /// Which kind.
  public var code: Code
  /// The sentence for people: "cannot start x: …".
  public var message: String
  /// The methods that the path knows; for `methodNotAllowed`.
  public var allowedMethods: [String]

  /// A fault.
  public init(_ code: Code, _ message: String, allowedMethods: [String] = []) {
    self.code = code
    self.message = message
    self.allowedMethods = allowedMethods
  }

  /// The kinds, by the name that stands in documents.
  public enum Code: String, CaseIterable, Sendable {
    /// There is no such path.
    case unknownMethod = "UNKNOWN_METHOD"
    /// A parameter is not known or is missing.
    case incorrectParameters = "INCORRECT_PARAMETERS"
    /// A parameter's value makes no sense.
    case badArguments = "BAD_ARGUMENTS"
    /// The supervisor is shutting down.
    case shutdownState = "SHUTDOWN_STATE"
    /// There is no such process or group.
    case badName = "BAD_NAME"
    /// There is no such signal.
    case badSignal = "BAD_SIGNAL"
    /// The command's file, or the log, was not found.
    case noFile = "NO_FILE"
    /// The command's file may not be executed.
    case notExecutable = "NOT_EXECUTABLE"
    /// It cannot be done for another reason.
    case failed = "FAILED"
    /// The process ended before it was up.
    case abnormalTermination = "ABNORMAL_TERMINATION"
    /// The process could not be spawned.
    case spawnError = "SPAWN_ERROR"
    /// It is already started.
    case alreadyStarted = "ALREADY_STARTED"
    /// It is not running.
    case notRunning = "NOT_RUNNING"
    /// It was done: the code of a result, never of an error.
    case success = "SUCCESS"
    /// The configuration could not be read.
    case cantReread = "CANT_REREAD"
    /// The path does not know this method (ours).
    case methodNotAllowed = "METHOD_NOT_ALLOWED"
    /// The HTTP request itself is malformed or too large (ours).
    case badRequest = "BAD_REQUEST"
    /// Somebody else's socket (ours).
    case denied = "DENIED"
    /// It goes on, but was not finished within the time that the client gave it (ours).
    case timedOut = "TIMED_OUT"

    /// The status of the HTTP answer.
    public var httpStatus: Int {
      switch self {
      case .success: 200
      case .incorrectParameters, .badArguments, .badSignal, .badRequest: 400
      case .denied: 403
      case .unknownMethod, .badName, .noFile: 404
      case .methodNotAllowed: 405
      case .alreadyStarted, .notRunning: 409
      case .notExecutable, .failed, .abnormalTermination, .spawnError, .cantReread: 500
      case .shutdownState: 503
      case .timedOut: 504
      }
    }
  }

  /// Writes `{"error":{"code":…,"message":…}}`.
  public func write(to writer: inout JSONWriter) {
    writer.beginObject()
    writer.key("error")
    writer.beginObject()
    writer.member("code", code.rawValue)
    writer.member("message", message)
    writer.endObject()
    writer.endObject()
  }

  /// The fault of a document; nil when it is none. An unknown code counts as FAILED.
  public init?(json: JSONValue) {
    guard let error = json["error"], let message = error["message"]?.string else { return nil }
    self.init(error["code"]?.string.flatMap(Code.init(rawValue:)) ?? .failed, message)
  }

  /// The fault as an answer.
  public var response: HTTPResponse {
    var writer = JSONWriter()
    write(to: &writer)
    var headers: [HTTPHeader] = []
    if !allowedMethods.isEmpty { headers.append(HTTPHeader("Allow", allowedMethods.joined(separator: ", "))) }
    return .json(writer.take(), status: code.httpStatus, headers: headers)
  }
}

extension HTTPRefusal {
  /// The refusal as the control socket answers it: with its own status, and the same document as any other fault.
  public var controlResponse: HTTPResponse {
    var writer = JSONWriter()
    ControlFault(.badRequest, message).write(to: &writer)
    return .json(writer.take(), status: status)
  }
}
