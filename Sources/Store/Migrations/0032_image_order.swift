extension Migration {
  /// A page of the list of images, newest first, is read in the order of an index.
  static let imageOrder = Migration(
    number: 32, name: "image order",
    sql: "CREATE INDEX IF NOT EXISTS images_time ON images (created_at, id);")
}
