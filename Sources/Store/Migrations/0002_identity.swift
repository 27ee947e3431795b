extension Migration {
  static let identity = Migration(number: 2, name: "identity", sql: "")
}
