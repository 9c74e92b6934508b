// What the container's port says while PID 1 answers it: the health document, the probes and the metrics on their paths, and everywhere
// else that the service is not there yet, in a way that clients and load balancers understand and retry.

/// What the container's port answers about itself, whoever accepts on it: `hive-service` fetches the same from the control socket.
public enum PublicPage: String, CaseIterable, Sendable {
  /// The health document.
  case health = "/api/v1/health"
  /// Kubernetes' liveness probe: 200 or 503, text.
  case livez = "/livez"
  /// Kubernetes' readiness probe: 200 or 503, text.
  case readyz = "/readyz"
  /// Kubernetes' startup probe: 200 or 503, text.
  case startupz = "/startupz"
  /// Prometheus text.
  case metrics = "/metrics"

  /// All paths of the page on the port.
  public var paths: [String] { self == .health ? ["/health", rawValue] : [rawValue] }

  /// Where the control socket has it.
  public var controlPath: String { self == .health ? "/v1/health" : rawValue }

  /// The page at a path. nil: it is the service's own.
  public init?(path: String) {
    guard let page = PublicPage.allCases.first(where: { $0.paths.contains(path) }) else { return nil }
    self = page
  }
}

/// Answers requests to the container's port.
public enum PublicResponder {
  /// The answer.
  /// - Parameters:
  ///   - request: any request.
  ///   - retryAfter: seconds for `Retry-After`.
  ///   - page: makes the answer of one of PID 1's own pages; called only when it is asked for.
  public static func respond(
    to request: HTTPRequest, retryAfter: Int = 1, page: (PublicPage) -> HTTPResponse
  ) -> HTTPResponse {
    guard let wanted = PublicPage(path: request.path) else { return unavailable(retryAfter: retryAfter) }
    guard request.method == "GET" || request.method == "HEAD" else {
      var writer = JSONWriter()
      detail("Method Not Allowed", to: &writer)
      return .json(writer.take(), status: 405, headers: [HTTPHeader("Allow", "GET, HEAD")])
    }
    var response = page(wanted)
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
