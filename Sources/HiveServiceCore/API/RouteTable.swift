import HTTPTypes
import Hummingbird
import Logging
import NIOCore

/// What a handler knows beside the request.
struct APIRequestContext: RequestContext {
  var coreContext: CoreRequestContextStorage

  init(source: ApplicationRequestContextSource) { coreContext = CoreRequestContextStorage(source: source) }
}

/// The API's routes. Hummingbird's router finds the handler; this table also knows which methods a path has, so that
/// another method is told 405 and not 404.
struct RouteTable {
  typealias Handler = @Sendable (Request, APIRequestContext) async throws -> Response

  private var routes: [(method: HTTPRequest.Method, path: String, handler: Handler)] = []
  private var methods: [[String]: [HTTPRequest.Method]] = [:]

  /// `path` has `{name}` for a parameter.
  mutating func on(_ method: HTTPRequest.Method, _ path: String, _ handler: @escaping Handler) {
    routes.append((method, path, handler))
    let segments = Self.segments(path).map { $0.hasPrefix("{") ? "" : $0 }
    methods[segments, default: []].append(method)
    if method == .get { methods[segments, default: []].append(.head) }
  }

  /// The finished responder, which turns every error into an answer.
  func makeResponder() -> some HTTPResponder<APIRequestContext> {
    let router = Router(context: APIRequestContext.self, options: [.autoGenerateHeadEndpoints])
    // Middleware covers the routes that are added after it.
    router.middlewares.add(ErrorResponses(methods: methods))
    for route in routes { router.on(RouterPath(route.path), method: route.method, use: route.handler) }
    return router.buildResponder()
  }

  static func segments(_ path: String) -> [String] { path.split(separator: "/").map(String.init) }
}

/// Turns what handlers throw into JSON answers, and says in the log what the client is not told.
private struct ErrorResponses: RouterMiddleware {
  let methods: [[String]: [HTTPRequest.Method]]

  func handle(
    _ request: Request, context: APIRequestContext, next: (Request, APIRequestContext) async throws -> Response
  ) async throws -> Response {
    do {
      return try await next(request, context)
    } catch let error as APIError {
      return error.response
    } catch let failure as ValidationFailure {
      return APIError(failure).response
    } catch let failure as DatabaseFailure {
      if failure.answer == nil {
        context.logger.error(
          "\(failure.error)",
          metadata: ["method": .string(request.method.rawValue), "path": .string(request.uri.path)])
      }
      return (failure.answer ?? APIError(.internalServerError, "Internal Server Error")).response
    } catch let error as HTTPError where error.status == .notFound {
      return unknownRoute(request).response
    } catch let error as HTTPError {
      return APIError(error.status, error.body ?? error.status.reasonPhrase).response
    } catch is CancellationError {
      return APIError.unavailable("The service is shutting down").response
    } catch {
      context.logger.error(
        "cannot answer the request: \(error)",
        metadata: ["method": .string(request.method.rawValue), "path": .string(request.uri.path)])
      return APIError(.internalServerError, "Internal Server Error").response
    }
  }

  private func unknownRoute(_ request: Request) -> APIError {
    let segments = RouteTable.segments(request.uri.path)
    let allowed = methods.first { route, _ in
      route.count == segments.count && zip(route, segments).allSatisfy { $0.isEmpty || $0 == $1 }
    }
    guard let allowed else { return APIError(.notFound, "Not Found") }
    let list = allowed.value.map(\.rawValue).sorted().joined(separator: ", ")
    return APIError(.methodNotAllowed, "Method Not Allowed", headers: [.allow: list])
  }
}
