/// One numbered step of the schema. Steps are only ever added; a released one is never changed.
struct Migration {
  let number: Int
  let name: String
  /// SQL in the common subset of SQLite and PostgreSQL, unless the step says otherwise.
  let sql: String

  /// All of them in order. A gap or a repeated number fails a test.
  static let all: [Migration] = [
    workflows, identity, nodes, networks, images, leases, agents, nodeInterfaces, reasons, identityCore, inventory,
    leaseDepth,
  ]

  static func apply(to session: SQLiteSession) throws {
    try session.script(
      "CREATE TABLE IF NOT EXISTS schema_migrations (number BIGINT PRIMARY KEY, name TEXT NOT NULL)")
    let applied = try session.query("SELECT number FROM schema_migrations ORDER BY number", []) { $0.int(0) }
    if let newest = applied.last, let known = all.last?.number, newest > known {
      throw StoreError(
        .other,
        "the database has schema \(newest) but this program knows \(known): start the newer program, or restore a backup"
      )
    }
    for migration in all where !applied.contains(migration.number) {
      try session.begin(write: true)
      do {
        try session.script(migration.sql)
        try session.execute(
          "INSERT INTO schema_migrations (number, name) VALUES ($1, $2)",
          [.int(migration.number), .text(migration.name)])
        _ = try session.commit()
      } catch {
        session.rollback()
        throw error
      }
    }
  }
}
