import CLibPQ

/// What one statement answered: its rows, and the server's command tag.
public struct PostgresResult: Sendable, RandomAccessCollection {
  private let storage: ResultStorage

  /// Takes ownership of a `PGresult`.
  init(owning result: OpaquePointer) { storage = ResultStorage(result) }

  /// Always zero.
  public var startIndex: Int { 0 }
  /// The number of rows.
  public var endIndex: Int { storage.rowCount }
  /// One row; an index outside the result traps as it does for an array.
  public subscript(position: Int) -> PostgresRow {
    precondition(position >= 0 && position < storage.rowCount, "row \(position) is outside the result")
    return PostgresRow(storage: storage, row: position)
  }

  /// The column names, in order. Names may repeat.
  public var columnNames: [String] { storage.columnNames }

  /// The server's command tag, e.g. `INSERT 0 1`.
  public var commandTag: String { storage.commandTag }

  /// The rows that the statement inserted, updated, deleted or selected; zero for others.
  public var affectedRows: Int { storage.affectedRows }
}

/// One row of a `PostgresResult`.
public struct PostgresRow: Sendable {
  fileprivate let storage: ResultStorage
  fileprivate let row: Int

  /// The value in the column with this zero-based index.
  ///
  /// Throws `PostgresError.Code.decoding` when there is no such column or its value is not a `Value`. SQL NULL is
  /// only an optional.
  public func decode<Value: PostgresDecodable>(_ type: Value.Type = Value.self, at column: Int) throws -> Value {
    guard column >= 0, column < storage.columnNames.count else {
      throw PostgresError(
        .decoding, "there is no column \(column) in a row of \(storage.columnNames.count) columns")
    }
    return try storage.withText(row: row, column: column) { text in
      if let value = Value.decode(postgresText: text) { return value }
      let found = text.map { "'\(String(decoding: $0.prefix(64), as: UTF8.self))'" } ?? "NULL"
      throw PostgresError(.decoding, "column \"\(storage.columnNames[column])\" is \(found), not a \(Value.self)")
    }
  }

  /// The value in the first column with this name. Throws as `decode(_:at:)`.
  public func decode<Value: PostgresDecodable>(_ type: Value.Type = Value.self, _ name: String) throws -> Value {
    guard let column = storage.columnNames.firstIndex(of: name) else {
      throw PostgresError(
        .decoding, "there is no column \"\(name)\"; there are \(storage.columnNames.joined(separator: ", "))")
    }
    return try decode(Value.self, at: column)
  }

  /// All columns at once: `let (id, name) = try row.decode((Int.self, String?.self))`. Throws as `decode(_:at:)`, and
  /// when the number of columns differs.
  public func decode<each Value: PostgresDecodable>(
    _ types: (repeat (each Value).Type)
  ) throws -> (repeat each Value) {
    var wanted = 0
    for _ in repeat each types { wanted += 1 }
    guard wanted == storage.columnNames.count else {
      throw PostgresError(
        .decoding, "the row has \(storage.columnNames.count) columns, not \(wanted)")
    }
    var column = -1
    func next<Next: PostgresDecodable>(_ type: Next.Type) throws -> Next {
      column += 1
      return try decode(type, at: column)
    }
    return (repeat try next(each types))
  }
}

/// Owns a `PGresult`.
///
/// Unchecked: libpq documents a `PGresult` as read-only after its creation and free to pass between threads ("Behavior
/// in Threaded Programs"), and nothing here changes it before `deinit`.
private final class ResultStorage: @unchecked Sendable {
  private let result: OpaquePointer
  let rowCount: Int
  let columnNames: [String]

  init(_ result: OpaquePointer) {
    self.result = result
    rowCount = Int(PQntuples(result))
    columnNames = (0..<PQnfields(result)).map { PQfname(result, $0).map { String(cString: $0) } ?? "" }
  }

  deinit { PQclear(result) }

  var commandTag: String { PQcmdStatus(result).map { String(cString: $0) } ?? "" }

  var affectedRows: Int { PQcmdTuples(result).flatMap { Int(String(cString: $0)) } ?? 0 }

  func withText<Output>(
    row: Int, column: Int, _ body: (UnsafeBufferPointer<UInt8>?) throws -> Output
  ) throws -> Output {
    let (row, column) = (Int32(row), Int32(column))
    guard PQgetisnull(result, row, column) == 0, let value = PQgetvalue(result, row, column) else {
      return try body(nil)
    }
    let length = Int(PQgetlength(result, row, column))
    return try value.withMemoryRebound(to: UInt8.self, capacity: length) {
      try body(UnsafeBufferPointer(start: $0, count: length))
    }
  }
}
