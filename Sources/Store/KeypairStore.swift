import Domain
import Wire

/// Public keys of users.
public enum KeypairStore {
  private static func keypair(_ row: borrowing Row) -> Keypair {
    Keypair(
      number: row.int(0), userID: row.text(1), name: row.text(2), publicKey: row.text(3), fingerprint: row.text(4),
      createdAt: row.time(5))
  }
  /// In the order of their names.
  public static func list(user: String, in session: any Session) throws -> [Keypair] {
    try session.query(
      "SELECT number, user_id, name, public_key, fingerprint, created_at FROM keypairs WHERE user_id = $1 ORDER BY name",
      [.text(user)]
    ) { keypair($0) }
  }
  public static func get(_ name: String, user: String, in session: any Session) throws -> Keypair? {
    try session.first(
      """
      SELECT number, user_id, name, public_key, fingerprint, created_at FROM keypairs WHERE user_id = $1 AND name = $2
      """, [.text(user), .text(name)]
    ) { keypair($0) }
  }
  public static func insert(_ keypair: Keypair, in session: any Session) throws {
    try session.execute(
      "INSERT INTO keypairs (user_id, name, public_key, fingerprint, created_at) VALUES ($1, $2, $3, $4, $5)",
      [
        .text(keypair.userID), .text(keypair.name), .text(keypair.publicKey), .text(keypair.fingerprint),
        Value(keypair.createdAt),
      ])
  }
  /// - Returns: false when there was none.
  public static func delete(_ name: String, user: String, in session: any Session) throws -> Bool {
    try session.execute("DELETE FROM keypairs WHERE user_id = $1 AND name = $2", [.text(user), .text(name)]) > 0
  }
  public static func count(user: String, in session: any Session) throws -> Int {
    try session.first("SELECT COUNT(*) FROM keypairs WHERE user_id = $1", [.text(user)]) { $0.int(0) } ?? 0
  }
}
