/// One numbered step of the schema. Steps are only ever added; a released one is never changed.
struct Migration {
  let number: Int
  let name: String
  /// SQL in the common subset of SQLite and PostgreSQL, unless the step says otherwise.
  let sql: String

  /// All of them in order. A gap or a repeated number fails a test.
  static let all: [Migration] = [
    workflows, identity, nodes, networks, images, leases, agents, nodeInterfaces, reasons, identityCore, inventory,
    leaseDepth, networkSharing, subnetPools, trunks, networkSegments, routers, isolation, securityGroups, portOrder,
    bondsAndWiring, imageStates, volumes, servers, serverVolumes, eraseRecords, imageDigests,
    diskBackups, shelvedServers, ramdiskBoots, standingBy, imageOrder,
    scheduleDestination,
  ]

  /// The copy of a database that is made before its schema is changed.
  static func copy(of path: String, schema number: Int) -> String { "\(path).schema-\(number)" }

  /// Brings the schema of the database at `path` up to date, after a copy of what was there.
  /// - Parameter isAllowed: false for a command beside the server: the server may be an older program, and at work.
  /// - Throws: ``StoreError``: the schema is newer than this program, or older and not to be changed; nothing was changed.
  static func apply(
    _ migrations: [Migration] = all, to session: SQLiteSession, path: String, isAllowed: Bool = true
  ) throws {
    let isNew =
      try session.query("SELECT 1 FROM sqlite_master WHERE name = 'schema_migrations'", []) { _ in true }.isEmpty
    let applied =
      isNew ? [] : try session.query("SELECT number FROM schema_migrations ORDER BY number", []) { $0.int(0) }
    let newest = applied.last ?? 0, known = migrations.last?.number ?? 0
    guard newest <= known else {
      throw StoreError(
        .other,
        "the database has schema \(newest) but this program knows \(known): start the newer program, or put back the copy "
          + "that it made of the older schema, \(copy(of: path, schema: known)) or one of your own")
    }
    let missing = migrations.filter { !applied.contains($0.number) }
    if missing.isEmpty { return }
    guard isAllowed else {
      throw StoreError(
        .other,
        isNew
          ? "there is no database at \(path) yet: `steelyard init` makes it"
          : "the database has schema \(newest) and this program's is \(known): `steelyard serve` brings it up to date")
    }
    if !applied.isEmpty { try session.backUp(to: copy(of: path, schema: newest)) }
    try session.script(
      "CREATE TABLE IF NOT EXISTS schema_migrations (number BIGINT PRIMARY KEY, name TEXT NOT NULL)")
    for migration in missing {
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
