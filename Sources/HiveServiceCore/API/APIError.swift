import HTTPTypes
import Hummingbird
import PostgresClient

/// An answer that is not what the client wanted, as `{"detail": …}`.
struct APIError: Error {
  var status: HTTPResponse.Status
  var detail: JSONValue
  var headers: HTTPFields = [:]

  init(_ status: HTTPResponse.Status, _ detail: String, headers: HTTPFields = [:]) {
    self.status = status
    self.detail = .string(detail)
    self.headers = headers
  }

  init(_ failure: ValidationFailure) {
    status = .unprocessableContent
    detail = .array(failure.issues.map(\.json))
  }

  /// 503: the same request may succeed in a moment.
  static func unavailable(_ detail: String) -> APIError {
    APIError(.serviceUnavailable, detail, headers: [.retryAfter: "1"])
  }

  var response: Response {
    JSONResponse.make(status, JSONValue.object(JSONObject([("detail", detail)])).serialized, headers: headers)
  }
}

extension APIError {
  /// What a database error means to the client of a resource. nil when it is our own mistake: a 500.
  init?(_ error: PostgresError, on definition: ResourceDefinition?) {
    if error.code == .poolExhausted {
      self = .unavailable("Too many requests are waiting for the database")
    } else if error.isStartingUp {
      self = .unavailable("The database is starting up or shutting down")
    } else if error.isTooManyConnections {
      self = .unavailable("The database has no free connection")
    } else if error.sqlState == "57014" || error.code == .queryTimeout {
      self = .unavailable("The database did not answer in time")
    } else if error.isConnectionLoss || [.connectionFailed, .poolClosed].contains(error.code) {
      self = .unavailable("The database is not available")
    } else if error.sqlState == "25006" {
      self = .unavailable("The database is read-only at the moment")
    } else if error.sqlState == "42P01" || error.sqlState == "3F000" {
      self = .unavailable("The database schema is not in place yet")
    } else if error.isTransient {
      self = .unavailable("The database cannot do this at the moment")
    } else if error.sqlState?.hasPrefix("22") == true, let definition {
      // Data exceptions: JSON that is valid but not for jsonb (\u0000, a number beyond numeric), text that is not UTF-8.
      let location = ValidationIssue.Location.body([definition.jsonColumn])
      self.init(ValidationFailure(issues: [.value(location, error.message, input: .null)]))
    } else {
      return nil
    }
  }
}

/// Responses with a JSON document as their body.
enum JSONResponse {
  static func make(_ status: HTTPResponse.Status, _ body: [UInt8], headers: HTTPFields = [:]) -> Response {
    var headers = headers
    headers[.contentType] = "application/json"
    return Response(status: status, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(bytes: body)))
  }
}
