import Domain
import Wire

/// Imports of images. They go with their image.
public enum ImageTaskStore {
  private static func task(_ row: borrowing Row) -> ImageTask {
    var task = ImageTask(
      id: row.text(0), imageID: row.text(1), owner: row.text(2), userID: row.text(3), requestID: row.text(4),
      method: row.object(5), status: ImageTask.Status(rawValue: row.text(6)) ?? .failure, createdAt: row.time(8))
    task.message = row.text(7)
    task.updatedAt = row.time(9)
    return task
  }

  /// The tasks that `narrow` leaves (it appends `WHERE …`), the newest first.
  public static func list(in session: any Session, _ narrow: (inout Query) -> Void = { _ in }) throws -> [ImageTask] {
    var query = Query(
      """
      SELECT id, image_id, owner, user_id, request_id, method, status, message, created_at, updated_at FROM image_tasks
      """)
    narrow(&query)
    query.append("ORDER BY created_at DESC, id DESC")
    return try session.query(query) { task($0) }
  }
  public static func get(_ id: String, in session: any Session) throws -> ImageTask? {
    try list(in: session) { $0.append("WHERE id = ?", .text(id)) }.first
  }
  public static func insert(_ task: ImageTask, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO image_tasks (id, image_id, owner, user_id, request_id, method, status, message, created_at, updated_at) \
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
      """,
      [
        .text(task.id), .text(task.imageID), .text(task.owner), .text(task.userID), .text(task.requestID),
        Value(task.method), .text(task.status.rawValue), .text(task.message), Value(task.createdAt),
        Value(task.updatedAt),
      ])
  }
  /// Ends a task that is processing.
  /// - Parameter message: why it failed; empty else.
  public static func end(
    _ id: String, _ status: ImageTask.Status, message: String, at now: Timestamp, in session: any Session
  ) throws {
    try session.execute(
      "UPDATE image_tasks SET status = $1, message = $2, updated_at = $3 WHERE id = $4 AND status = 'processing'",
      [.text(status.rawValue), .text(message), Value(now), .text(id)])
  }
}
