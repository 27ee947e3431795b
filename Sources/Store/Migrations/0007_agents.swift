extension Migration {
  static let agents = Migration(number: 7, name: "agents", sql: "")
}
