// What the container's port says while PID 1 answers it: the health document on the health paths, and everywhere else that the service
// is not there yet, in a way that clients and load balancers understand and retry.

/// Answers requests to the container's port.
public enum PublicResponder {
  /// The health document's paths.
  public static let healthPaths = ["/api/v1/health", "/health"]

  /// Whether the request asks for the health document, so that it need not be made for others.
  public static func wantsHealth(_ request: HTTPRequest) -> Bool { healthPaths.contains(request.path) }

  /// The answer.
  /// - Parameters:
  ///   - request: any request.
  ///   - retryAfter: seconds for `Retry-After`.
  ///   - health: makes the document; called only when it is asked for.
  public static func respond(
    to request: HTTPRequest, retryAfter: Int = 1, health: () -> HealthDocument
  ) -> HTTPResponse {
    guard wantsHealth(request) else { return unavailable(retryAfter: retryAfter) }
    guard request.method == "GET" || request.method == "HEAD" else {
      var writer = JSONWriter()
      detail("Method Not Allowed", to: &writer)
      return .json(writer.take(), status: 405, headers: [HTTPHeader("Allow", "GET, HEAD")])
    }
    var response = health().response
    if response.status == 503 { response.headers.append(HTTPHeader("Retry-After", String(max(retryAfter, 0)))) }
    return response
  }

  /// The answer to a request that cannot be read.
  ///
  /// A body that is too large for PID 1 may be well for the service: that client is told to come again, like any other.
  public static func refuse(_ refusal: HTTPRefusal) -> HTTPResponse {
    if refusal.status == 413 { return unavailable(retryAfter: 1) }
    var writer = JSONWriter()
    detail(refusal.message, to: &writer)
    return .json(writer.take(), status: refusal.status)
  }

  private static func unavailable(retryAfter: Int) -> HTTPResponse {
    var writer = JSONWriter()
    detail("the service is not available: see /api/v1/health", to: &writer)
    return .json(writer.take(), status: 503, headers: [HTTPHeader("Retry-After", String(max(retryAfter, 0)))])
  }

  /// The shape of the API's own errors (FastAPI's).
  private static func detail(_ text: String, to writer: inout JSONWriter) {
    writer.beginObject()
    writer.member("detail", text)
    writer.endObject()
  }
}
