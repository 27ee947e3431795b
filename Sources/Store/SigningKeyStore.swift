import Cryptography

/// The key with which the site signs isolation reports: made when it is first needed, kept sealed in the database, so that a backup has it.
public enum SigningKeyStore {
  private static let name = "isolation.signing_key"

  /// - Throws: ``StoreError`` when it is there and cannot be opened: `secrets.key` is not the one that it was sealed with.
  public static func get(_ box: SecretBox, in session: any Session) throws -> SigningKey? {
    let sealed = try session.first("SELECT value FROM settings WHERE name = $1", [.text(name)]) { $0.text(0) }
    guard let sealed else { return nil }
    guard let text = box.openText(sealed, context: name), let seed = Base64.bytes(text),
      let key = SigningKey(seed: seed)
    else {
      throw StoreError(.other, "the key that signs isolation reports cannot be opened with this secrets.key")
    }
    return key
  }
  /// The key; made if there is none yet.
  public static func ensure(_ box: SecretBox, in session: any Session) throws -> SigningKey {
    if let key = try get(box, in: session) { return key }
    guard let key = SigningKey(seed: randomBytes(32)) else {
      throw StoreError(.other, "libcrypto makes no Ed25519 key")
    }
    try session.execute(
      "INSERT INTO settings (name, value) VALUES ($1, $2)",
      [.text(name), .text(box.sealText(Base64.text(key.seed), context: name))])
    return key
  }
}

extension Database {
  /// The key that signs isolation reports; see ``SigningKeyStore``.
  public func signingKey() async throws -> SigningKey {
    let box = secrets
    if let key = try await read({ try SigningKeyStore.get(box, in: $0) }) { return key }
    return try await write { try SigningKeyStore.ensure(box, in: $0) }
  }
}
