extension Migration {
  static let nodes = Migration(number: 3, name: "nodes", sql: "")
}
