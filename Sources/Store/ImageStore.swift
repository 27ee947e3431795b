import Domain
import Wire

/// Images. Their content is in files (`Conductor/Images`).
public enum ImageStore {
  private static func image(_ row: borrowing Row) -> Image {
    var image = Image(id: row.text(0), name: row.optionalText(1), owner: row.text(2), createdAt: row.time(17))
    image.status = Image.Status(rawValue: row.text(3)) ?? .queued
    image.visibility = Image.Visibility(rawValue: row.text(4)) ?? .private
    image.diskFormat = row.optionalText(5)
    image.containerFormat = row.optionalText(6)
    image.minDisk = row.int(7)
    image.minRAM = row.int(8)
    image.isProtected = row.bool(9)
    image.isHidden = row.bool(10)
    image.size = row.optionalInt(11)
    image.virtualSize = row.optionalInt(12)
    image.md5 = row.optionalText(13)
    image.sha512 = row.optionalText(14)
    image.uploadID = row.optionalText(15)
    image.properties = row.object(16)
    image.updatedAt = row.time(18)
    return image
  }

  /// The images that `narrow` leaves (it appends `WHERE …`, `ORDER BY …`), with tags: two statements.
  public static func list(in session: any Session, _ narrow: (inout Query) -> Void = { _ in }) throws -> [Image] {
    var query = Query(
      """
      SELECT id, name, owner, status, visibility, disk_format, container_format, min_disk, min_ram, is_protected, is_hidden, size, \
      virtual_size, md5, sha512, upload_id, properties, created_at, updated_at FROM images
      """)
    narrow(&query)
    var images = try session.query(query) { image($0) }
    if images.isEmpty { return [] }
    var tags: [String: [String]] = [:]
    let rows = try session.queryMany(
      "SELECT image_id, tag FROM image_tags", "image_id", images.map(\.id), order: "ORDER BY tag"
    ) {
      ($0.text(0), $0.text(1))
    }
    for (image, tag) in rows { tags[image, default: []].append(tag) }
    for index in images.indices { images[index].tags = tags[images[index].id] ?? [] }
    return images
  }
  public static func get(_ id: String, in session: any Session) throws -> Image? {
    try list(in: session) { $0.append("WHERE id = ?", .text(id)) }.first
  }
  /// A project's images that have a property with this value, the newest first.
  public static func list(
    owner: String, property: String, value: String, in session: any Session
  ) throws -> [Image] {
    try list(in: session) { query in
      query.append("WHERE owner = ? AND properties LIKE ?", .text(owner), .text("%\(value)%"))
      query.append("ORDER BY created_at DESC, id DESC")
    }.filter { $0.properties[property]?.string == value }
  }
  public static func insert(_ image: Image, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO images (name, owner, status, visibility, disk_format, container_format, min_disk, min_ram, is_protected, \
      is_hidden, size, virtual_size, md5, sha512, upload_id, properties, updated_at, id, created_at) \
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
      """, values(image) + [.text(image.id), Value(image.createdAt)])
    try insertTags(of: image, in: session)
  }
  /// Writes everything but the id and when it was made, tags included.
  public static func update(_ image: Image, in session: any Session) throws {
    try session.execute(
      """
      UPDATE images SET name = $1, owner = $2, status = $3, visibility = $4, disk_format = $5, container_format = $6, min_disk = $7, \
      min_ram = $8, is_protected = $9, is_hidden = $10, size = $11, virtual_size = $12, md5 = $13, sha512 = $14, \
      upload_id = $15, properties = $16, updated_at = $17 WHERE id = $18
      """, values(image) + [.text(image.id)])
    try session.execute("DELETE FROM image_tags WHERE image_id = $1", [.text(image.id)])
    try insertTags(of: image, in: session)
  }
  /// What may change, in the order of both statements.
  private static func values(_ image: Image) -> [Value] {
    [
      Value(image.name), .text(image.owner), .text(image.status.rawValue), .text(image.visibility.rawValue),
      Value(image.diskFormat), Value(image.containerFormat), .int(image.minDisk), .int(image.minRAM),
      .bool(image.isProtected), .bool(image.isHidden), Value(image.size), Value(image.virtualSize), Value(image.md5),
      Value(image.sha512), Value(image.uploadID), Value(image.properties), Value(image.updatedAt),
    ]
  }
  private static func insertTags(of image: Image, in session: any Session) throws {
    for tag in Set(image.tags) {
      try session.execute("INSERT INTO image_tags (image_id, tag) VALUES ($1, $2)", [.text(image.id), .text(tag)])
    }
  }
  public static func delete(_ id: String, in session: any Session) throws {
    try session.execute("DELETE FROM images WHERE id = $1", [.text(id)])
  }
  /// Bytes of content that a project's images have, those of uploads that go on now not counted.
  public static func bytesUsed(owner: String, in session: any Session) throws -> Int {
    try session.first("SELECT SUM(size) FROM images WHERE owner = $1", [.text(owner)]) { $0.int(0) } ?? 0
  }
  /// Bytes of content of a project's images that waits for its import; part of ``bytesUsed(owner:in:)``.
  public static func bytesStaged(owner: String, in session: any Session) throws -> Int {
    try session.first("SELECT SUM(size) FROM images WHERE owner = $1 AND status = 'uploading'", [.text(owner)]) {
      $0.int(0)
    } ?? 0
  }
  public static func uploadsUnderway(owner: String, in session: any Session) throws -> Int {
    try session.first(
      "SELECT COUNT(*) FROM images WHERE owner = $1 AND status IN ('saving', 'importing')", [.text(owner)]
    ) { $0.int(0) } ?? 0
  }
  /// Of all projects.
  public static func downloadsUnderway(in session: any Session) throws -> Int {
    try session.first("SELECT COUNT(*) FROM images WHERE status = 'importing'", []) { $0.int(0) } ?? 0
  }
  public static func count(owner: String, in session: any Session) throws -> Int {
    try session.first("SELECT COUNT(*) FROM images WHERE owner = $1", [.text(owner)]) { $0.int(0) } ?? 0
  }
  /// Uploads and downloads that go on no more: back to `queued`, so that the owner can begin again; the downloads' tasks fail.
  /// - Parameter live: those that go on.
  /// - Returns: how many there were.
  public static func resetUploads(besides live: Set<String>, in session: any Session) throws -> Int {
    func narrow(_ query: inout Query) {
      if !live.isEmpty { query.appendIn("AND upload_id NOT IN", live.sorted().map { .text($0) }) }
    }
    var tasks = Query("UPDATE image_tasks SET status = 'failure', message =")
    tasks.append("?", .text("The import broke off on the server's side; import again."))
    tasks.append("WHERE status = 'processing' AND image_id IN (SELECT id FROM images WHERE status = 'importing'")
    narrow(&tasks)
    tasks.append(")")
    _ = try session.execute(tasks)
    var images = Query("UPDATE images SET status = 'queued', upload_id = NULL WHERE status IN ('saving', 'importing')")
    narrow(&images)
    return try session.execute(images)
  }

  // Members

  private static func member(_ row: borrowing Row) -> ImageMember {
    var member = ImageMember(imageID: row.text(0), projectID: row.text(1), createdAt: row.time(3))
    member.status = ImageMember.Status(rawValue: row.text(2)) ?? .pending
    member.updatedAt = row.time(4)
    return member
  }
  public static func members(of id: String, in session: any Session) throws -> [ImageMember] {
    try session.query(
      """
      SELECT image_id, project_id, status, created_at, updated_at FROM image_members WHERE image_id = $1 \
      ORDER BY created_at, project_id
      """, [.text(id)]
    ) { member($0) }
  }
  public static func member(_ projectID: String, of id: String, in session: any Session) throws -> ImageMember? {
    try session.first(
      "SELECT image_id, project_id, status, created_at, updated_at FROM image_members WHERE image_id = $1 AND project_id = $2",
      [.text(id), .text(projectID)]
    ) { member($0) }
  }
  public static func set(_ member: ImageMember, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO image_members (image_id, project_id, status, created_at, updated_at) VALUES ($1, $2, $3, $4, $5) \
      ON CONFLICT (image_id, project_id) DO UPDATE SET status = excluded.status, updated_at = excluded.updated_at
      """,
      [
        .text(member.imageID), .text(member.projectID), .text(member.status.rawValue), Value(member.createdAt),
        Value(member.updatedAt),
      ])
  }
  public static func removeMember(_ projectID: String, of id: String, in session: any Session) throws {
    try session.execute(
      "DELETE FROM image_members WHERE image_id = $1 AND project_id = $2", [.text(id), .text(projectID)])
  }
}

extension ImageStore {
  /// An image that a caller may use; nil for one that they may not see, as for none.
  public static func get(_ id: String, seenBy actor: Actor, in session: any Session) throws -> Image? {
    guard let image = try get(id, in: session) else { return nil }
    let member = try actor.projectID.flatMap { try self.member($0, of: id, in: session) }
    return ImagePolicy.sees(image, member: member, actor) ? image : nil
  }
}
