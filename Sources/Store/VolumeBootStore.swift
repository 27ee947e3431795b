import Domain
import Wire

/// The machines that boot from volumes or from their memory, or have a NIC for volumes.
public enum VolumeBootStore {
  private static func list(in session: any Session, _ narrow: (inout Query) -> Void) throws -> [VolumeBoot] {
    var query = Query("SELECT node_id, mac, address, attachment_id, ramdisk, kernel_line FROM volume_boots")
    narrow(&query)
    return try session.query(query) { row -> VolumeBoot? in
      guard let mac = MACAddress(row.text(1)) else { return nil }
      var boot = VolumeBoot(nodeID: row.text(0), mac: mac, address: row.text(2), attachmentID: row.optionalText(3))
      if let name = row.optionalText(4), let line = KernelLine(row.text(5)) {
        boot.ramdisk = RamdiskBoot(name: name, line: line)
      }
      return boot
    }.compactMap { $0 }
  }
  public static func all(in session: any Session) throws -> [VolumeBoot] { try list(in: session) { _ in } }
  public static func get(node: String, in session: any Session) throws -> VolumeBoot? {
    try list(in: session) { $0.append("WHERE node_id = ?", .text(node)) }.first
  }
  /// By the NIC and its address, both of which must be its own.
  public static func get(mac: MACAddress, address: String, in session: any Session) throws -> VolumeBoot? {
    try list(in: session) { $0.append("WHERE mac = ? AND address = ?", .text("\(mac)"), .text(address)) }.first
  }
  /// - Throws: ``StoreError`` `.conflict` when the machine, the NIC or the address has one.
  public static func insert(_ boot: VolumeBoot, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO volume_boots (node_id, mac, address, attachment_id, ramdisk, kernel_line) VALUES ($1, $2, $3, $4, $5, $6)
      """,
      [
        .text(boot.nodeID), .text("\(boot.mac)"), .text(boot.address), Value(boot.attachmentID),
        Value(boot.ramdisk?.name), .text(boot.ramdisk?.line.text ?? ""),
      ])
  }
  /// Makes what a machine runs from its memory another one, or nothing.
  public static func set(_ ramdisk: RamdiskBoot?, node: String, in session: any Session) throws {
    try session.execute(
      "UPDATE volume_boots SET ramdisk = $1, kernel_line = $2 WHERE node_id = $3",
      [Value(ramdisk?.name), .text(ramdisk?.line.text ?? ""), .text(node)])
  }
  public static func delete(node: String, in session: any Session) throws {
    try session.execute("DELETE FROM volume_boots WHERE node_id = $1", [.text(node)])
  }
}
