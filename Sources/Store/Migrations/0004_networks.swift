extension Migration {
  static let networks = Migration(number: 4, name: "networks", sql: "")
}
