import PostgresClient

/// The rows of one resource. Documents are assembled from the server's own bytes: `jsonb` is passed on as it came.
struct ResourceStore: Sendable {
  let definition: ResourceDefinition
  let pool: PostgresPool

  /// Rows of one page, newest first, and how many there are in all.
  struct Page: Sendable {
    var items: [[UInt8]]
    var total: Int
  }

  /// Inserts a row and returns its id and document. nil when `input.id` is taken.
  func create(_ input: ResourceInput) async throws -> (id: String, document: [UInt8])? {
    let result = try await pool.query(
      """
      INSERT INTO \(definition.table) AS t (id, \(definition.textColumn), \(definition.jsonColumn))
      VALUES (coalesce($1::uuid, gen_random_uuid()), $2, $3::jsonb) ON CONFLICT (id) DO NOTHING RETURNING \(columns)
      """,
      [.text(input.id?.text), .text(input.text), json(input) ?? "{}"])
    return try result.first.map { (id: try $0.decode(String.self, at: 0), document: try document($0)) }
  }

  func find(_ id: UUIDText) async throws -> [UInt8]? {
    let result = try await pool.query(
      "SELECT \(columns) FROM \(definition.table) AS t WHERE id = $1::uuid", [.text(id.text)])
    return try result.first.map(document)
  }

  /// Sets what `input` names. nil when there is no such row.
  func update(_ id: UUIDText, _ input: ResourceInput) async throws -> [UInt8]? {
    let result = try await pool.query(
      """
      UPDATE \(definition.table) AS t SET \(definition.textColumn) = coalesce($2, \(definition.textColumn)),
        \(definition.jsonColumn) = coalesce($3::jsonb, \(definition.jsonColumn))
      WHERE id = $1::uuid RETURNING \(columns)
      """,
      [.text(id.text), .text(input.text), json(input) ?? .null])
    return try result.first.map(document)
  }

  /// False when there was no such row.
  func delete(_ id: UUIDText) async throws -> Bool {
    try await pool.query("DELETE FROM \(definition.table) WHERE id = $1::uuid", [.text(id.text)]).affectedRows > 0
  }

  /// One page, and the total in the same snapshot. `text` selects the rows whose text column is equal to it.
  func list(limit: Int64, offset: Int64, text: String?) async throws -> Page {
    let filter = text == nil ? "$3::text IS NULL" : "\(definition.textColumn) = $3"
    // The outer join yields one row for an empty page, too, so that the total is never lost.
    let result = try await pool.query(
      """
      SELECT n.total, p.* FROM (SELECT count(*) AS total FROM \(definition.table) WHERE \(filter)) AS n
      LEFT JOIN LATERAL (
        SELECT \(columns), created_at AS position FROM \(definition.table) AS t WHERE \(filter)
        ORDER BY created_at DESC, id DESC LIMIT $1::bigint OFFSET $2::bigint
      ) AS p ON true ORDER BY p.position DESC, p.id DESC
      """,
      [.integer(limit), .integer(offset), .text(text)])
    let total = try result.first?.decode(Int.self, at: 0) ?? 0
    let items = try result.compactMap { row -> [UInt8]? in
      try row.decode(String?.self, at: 1) == nil ? nil : try document(row, from: 1)
    }
    return Page(items: items, total: total)
  }

  private func json(_ input: ResourceInput) -> PostgresParameter? {
    input.json.map { .utf8(JSONValue.object($0).serialized) }
  }

  /// The cast lets an adopted table keep its `timestamp`: sessions run in UTC.
  private var columns: String {
    func time(_ column: String) -> String {
      "to_char(t.\(column)::timestamptz, 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') AS \(column)"
    }
    return "t.id, t.\(definition.textColumn), t.\(definition.jsonColumn), \(time("created_at")), \(time("updated_at"))"
  }

  private func document(_ row: PostgresRow) throws -> [UInt8] { try document(row, from: 0) }

  private func document(_ row: PostgresRow, from first: Int) throws -> [UInt8] {
    var bytes = Array("{\"id\":".utf8)

    func member(_ name: String) { bytes.append(contentsOf: ",\"\(name)\":".utf8) }
    func text(_ column: Int) throws {
      (try row.decode(String?.self, at: first + column).map(JSONValue.string) ?? .null).write(to: &bytes)
    }
    func json() throws {
      member(definition.jsonColumn)
      bytes.append(contentsOf: try row.decode([UInt8]?.self, at: first + 2) ?? Array("null".utf8))
    }

    try text(0)
    if definition.jsonComesFirst { try json() }
    member(definition.textColumn)
    try text(1)
    if !definition.jsonComesFirst { try json() }
    member("created_at")
    try text(3)
    member("updated_at")
    try text(4)
    bytes.append(UInt8(ascii: "}"))
    return bytes
  }
}
