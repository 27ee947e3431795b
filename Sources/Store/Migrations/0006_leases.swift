extension Migration {
  static let leases = Migration(number: 6, name: "leases", sql: "")
}
