/// What an answer may not tell: ids and names of the project elsewhere.
enum ForeignWords {
  private static let kinds = [
    "node", "offered", "nic", "allocation", "project", "user", "group", "credential", "network", "subnet", "port",
    "image", "lease", "offer", "domain", "limit", "access_rule", "stored_credential", "access",
    "portgroup", "connector", "target", "rbac_policy", "subnetpool", "address_scope", "trunk", "parent", "subport",
    "router", "floatingip", "forwarding", "security_group", "security_group_rule", "volume", "snapshot", "attached",
    "attachment", "transfer", "backup", "staged", "filled", "task",
    "server", "server_group", "flavor", "machine", "erase_record", "disk_backup", "disk_backup_schedule",
  ]
  private static let words =
    kinds.flatMap { [MatrixSite.uuid("\($0)-elsewhere"), MatrixSite.id("\($0)-elsewhere")] } + ["-elsewhere"]
  private static let ids = Set(
    ["tenant", "elsewhere", "nonexistent", "shared"].flatMap { side in
      kinds.flatMap { [MatrixSite.uuid("\($0)-\(side)"), MatrixSite.id("\($0)-\(side)")] }
    })

  /// The text names something of the project elsewhere: a list that is not narrowed, a link, a message (abuse 26, 32).
  static func areIn(_ text: String) -> Bool { words.contains { text.contains($0) } }

  /// The text with every id replaced, so that two refusals can be compared.
  static func anonymous(_ text: String) -> String {
    var (out, run) = ([UInt8](), [UInt8]())
    func endRun() {
      let isID = run.count >= 32 && ids.contains(String(decoding: run, as: UTF8.self))
      out += isID ? Array("ID".utf8) : run
      run.removeAll(keepingCapacity: true)
    }
    for byte in text.utf8 {
      if (48...57).contains(byte) || (97...102).contains(byte) || byte == 0x2d {
        run.append(byte)
      } else {
        endRun()
        out.append(byte)
      }
    }
    endRun()
    return String(decoding: out, as: UTF8.self)
  }
}
