import Cryptography
import Domain
import Wire

/// Which machine may use which volume. The initiators' passwords are sealed.
public enum VolumeAttachmentStore {
  private static func context(_ id: String) -> String { "volume-attachment/\(id)" }
  private static func attachment(_ row: borrowing Row, _ box: SecretBox) -> VolumeAttachment {
    let id = row.text(0)
    var attachment = VolumeAttachment(
      id: id, volumeID: row.text(1), projectID: row.text(2),
      password: box.openText(row.text(10), context: context(id)) ?? "", createdAt: row.time(12))
    attachment.instanceID = row.optionalText(3)
    attachment.nodeID = row.optionalText(4)
    attachment.connector = row.object(5)
    attachment.mountpoint = row.optionalText(6)
    attachment.isReadOnly = row.bool(7)
    attachment.status = VolumeAttachment.Status(rawValue: row.text(8)) ?? .error
    attachment.userName = row.text(9)
    attachment.access = row.object(11)
    attachment.attachedAt = row.optionalTime(13)
    attachment.detachedAt = row.optionalTime(14)
    return attachment
  }
  private static func list(_ box: SecretBox, in session: any Session, _ narrow: (inout Query) -> Void) throws
    -> [VolumeAttachment]
  {
    var query = Query(
      """
      SELECT id, volume_id, project_id, instance_id, node_id, connector, mountpoint, is_read_only, status, user_name, password, \
      access, created_at, attached_at, detached_at FROM volume_attachments
      """)
    narrow(&query)
    query.append("ORDER BY created_at, id")
    return try session.query(query) { attachment($0, box) }
  }
  public static func list(_ scope: VolumePolicy.Scope, box: SecretBox, in session: any Session) throws
    -> [VolumeAttachment]
  {
    try list(box, in: session) { query in
      switch scope {
      case .everything: break
      case .project(let id): query.append("WHERE project_id = ?", .text(id))
      case .nothing: query.append("WHERE 1 = 0")
      }
    }
  }
  public static func get(_ id: String, box: SecretBox, in session: any Session) throws -> VolumeAttachment? {
    try list(box, in: session) { $0.append("WHERE id = ?", .text(id)) }.first
  }
  /// Those of many volumes, in one statement.
  public static func list(ofVolumes ids: [String], box: SecretBox, in session: any Session) throws
    -> [String: [VolumeAttachment]]
  {
    if ids.isEmpty { return [:] }
    let all = try list(box, in: session) { $0.appendIn("WHERE volume_id IN", ids.map { .text($0) }) }
    return Dictionary(grouping: all, by: \.volumeID)
  }
  public static func list(ofNode id: String, box: SecretBox, in session: any Session) throws -> [VolumeAttachment] {
    try list(box, in: session) { $0.append("WHERE node_id = ?", .text(id)) }
  }
  public static func list(ofInstance id: String, box: SecretBox, in session: any Session) throws -> [VolumeAttachment] {
    try list(box, in: session) { $0.append("WHERE instance_id = ?", .text(id)) }
  }
  public static func insert(_ attachment: VolumeAttachment, box: SecretBox, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO volume_attachments (id, volume_id, project_id, connector, is_read_only, status, user_name, password, access, \
      created_at) VALUES ($1, $2, $3, '{}', 0, 'reserved', $4, $5, '{}', $6)
      """,
      [
        .text(attachment.id), .text(attachment.volumeID), .text(attachment.projectID), .text(attachment.userName),
        .text(box.sealText(attachment.password, context: context(attachment.id))), Value(attachment.createdAt),
      ])
    try update(attachment, in: session)
  }
  /// Writes everything but the secret.
  public static func update(_ attachment: VolumeAttachment, in session: any Session) throws {
    try session.execute(
      """
      UPDATE volume_attachments SET instance_id = $1, node_id = $2, connector = $3, mountpoint = $4, is_read_only = $5, status = $6, \
      access = $7, attached_at = $8, detached_at = $9 WHERE id = $10
      """,
      [
        Value(attachment.instanceID), Value(attachment.nodeID), Value(attachment.connector),
        Value(attachment.mountpoint), .bool(attachment.isReadOnly), .text(attachment.status.rawValue),
        Value(attachment.access), Value(attachment.attachedAt), Value(attachment.detachedAt), .text(attachment.id),
      ])
  }
  public static func delete(_ id: String, in session: any Session) throws {
    try session.execute("DELETE FROM volume_attachments WHERE id = $1", [.text(id)])
  }
  /// Ids of those that have, or are about to have, a target.
  public static func ids(in session: any Session) throws -> Set<String> {
    Set(try session.query("SELECT id FROM volume_attachments", []) { $0.text(0) })
  }
}
