extension Migration {
  static let images = Migration(number: 5, name: "images", sql: "")
}
