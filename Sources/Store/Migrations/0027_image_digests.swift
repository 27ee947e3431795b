extension Migration {
  /// An image's SHA-512 is the digest that counts; a third one over every upload is not made any more. A page of the list, newest
  /// first, is read in the order of an index.
  static let imageDigests = Migration(
    number: 27, name: "image digests",
    sql: """
      ALTER TABLE images DROP COLUMN sha256;
      CREATE INDEX images_time ON images (created_at, id);
      """)
}
