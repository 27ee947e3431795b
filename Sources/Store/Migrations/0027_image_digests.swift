extension Migration {
  /// An image's SHA-512 is the digest that counts; a third one over every upload is not made any more.
  static let imageDigests = Migration(
    number: 27, name: "image digests",
    sql: "ALTER TABLE images DROP COLUMN sha256;")
}
