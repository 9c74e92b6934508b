import HTTPTypes
import Hummingbird
import PostgresClient

/// Create, read, update, delete and list one resource over HTTP, with FastAPI's errors.
struct ResourceRoutes: Sendable {
  let definition: ResourceDefinition
  let store: ResourceStore
  let bodies: RequestBodyReader
  let availability: DatabaseAvailability
  let admission: HeatAdmission

  /// The most rows of one page: with bodies of up to 1 MiB a page must still fit into memory.
  static let maximumLimit: Int64 = 100
  static let defaultLimit: Int64 = 50

  func add(to routes: inout RouteTable) {
    routes.on(.get, definition.path) { request, _ in try await admission.admit { try await list(request) } }
    routes.on(.post, definition.path) { request, _ in try await admission.admit { try await create(request) } }
    let path = definition.path + "/{\(definition.identifier)}"
    routes.on(.get, path) { _, context in try await admission.admit { try await get(context) } }
    routes.on(.put, path) { request, context in
      try await admission.admit { try await write(request, context, .replace) }
    }
    routes.on(.patch, path) { request, context in
      try await admission.admit { try await write(request, context, .patch) }
    }
    routes.on(.delete, path) { _, context in try await admission.admit { try await delete(context) } }
  }

  // MARK: - Handlers

  private func create(_ request: Request) async throws -> Response {
    let body = try await bodies.read(request)
    let input = try definition.read(body, .create).get()
    guard let created = try await mapping({ try await store.create(input) }) else {
      throw APIError(.conflict, "\(definition.singular) \(input.id?.text ?? "") already exists")
    }
    return JSONResponse.make(.created, created.document, headers: [.location: "\(definition.path)/\(created.id)"])
  }

  private func list(_ request: Request) async throws -> Response {
    var query = QueryFields(request.uri.query)
    let limit = query.integer("limit", in: 1...Self.maximumLimit, default: Self.defaultLimit)
    let offset = query.integer("offset", in: 0...Int64.max, default: 0)
    let text = query.string(definition.textColumn, definition.textRule)
    guard query.issues.isEmpty else { throw ValidationFailure(issues: query.issues) }
    let page = try await mapping { try await store.list(limit: limit, offset: offset, text: text) }
    var bytes = Array("{\"items\":[".utf8)
    for (index, item) in page.items.enumerated() {
      if index > 0 { bytes.append(UInt8(ascii: ",")) }
      bytes.append(contentsOf: item)
    }
    bytes.append(contentsOf: "],\"total\":\(page.total),\"limit\":\(limit),\"offset\":\(offset)}".utf8)
    return JSONResponse.make(.ok, bytes)
  }

  private func get(_ context: APIRequestContext) async throws -> Response {
    let id = try identifier(context).get()
    return try await found(mapping { try await store.find(id) })
  }

  private func write(
    _ request: Request, _ context: APIRequestContext, _ completeness: ResourceDefinition.Completeness
  ) async throws -> Response {
    let body = try await bodies.read(request)
    switch (identifier(context), definition.read(body, completeness)) {
    case (.success(let id), .success(let input)):
      return try await found(mapping { try await store.update(id, input) })
    case (.failure(let path), .failure(let body)):
      throw ValidationFailure(issues: path.issues + body.issues)
    case (.failure(let failure), _), (_, .failure(let failure)):
      throw failure
    }
  }

  private func delete(_ context: APIRequestContext) async throws -> Response {
    let id = try identifier(context).get()
    guard try await mapping({ try await store.delete(id) }) else { throw notFound }
    return Response(status: .noContent)
  }

  // MARK: - Parts

  private func identifier(_ context: APIRequestContext) -> Result<UUIDText, ValidationFailure> {
    let raw = context.parameters.get(definition.identifier) ?? ""
    let text = PercentEncoding.decode(raw.utf8, plusIsSpace: false)
    do throws(UUIDText.Refusal) {
      return .success(try UUIDText(text))
    } catch {
      let issue = ValidationIssue.uuidParsing(
        .path(definition.identifier), reason: error.reason, input: .string(text))
      return .failure(ValidationFailure(issues: [issue]))
    }
  }

  private func found(_ document: [UInt8]?) throws -> Response {
    guard let document else { throw notFound }
    return JSONResponse.make(.ok, document)
  }

  private var notFound: APIError { APIError(.notFound, "\(definition.singular) not found") }

  /// Runs a database operation; its errors become answers where they are not our own mistake.
  private func mapping<Output>(_ operation: () async throws -> Output) async throws -> Output {
    do {
      let output = try await operation()
      availability.succeeded()
      return output
    } catch let error as PostgresError {
      if error.isTransient { availability.failed(error) }
      throw DatabaseFailure(error: error, answer: APIError(error, on: definition))
    }
  }
}

/// A database error on its way to the log, and the answer to the client (nil: 500).
struct DatabaseFailure: Error {
  var error: PostgresError
  var answer: APIError?
}
