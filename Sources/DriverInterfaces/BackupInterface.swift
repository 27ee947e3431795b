/// Where copies of volumes' content are kept, apart from the volumes. Every verb may be repeated.
public protocol BackupInterface: Sendable {
  /// Copies a file's content; what a project's other backups hold already is shared with them.
  /// - Parameter path: raw bytes; holes are seen and cost nothing.
  /// - Returns: how many pieces this backup brought that no other had.
  func ensureBackup(_ backup: String, project: String, of path: String) async throws -> Int
  /// Writes the content as a sparse file.
  /// - Throws: ``DriverError`` `.refused` when a piece is missing or is not what was copied.
  func restore(_ backup: String, project: String, to path: String) async throws
  /// Removes it, and the pieces that no other backup of the project needs. Not there: nothing is done.
  func removeBackup(_ backup: String, project: String) async throws
  /// All there are, with their projects, also those half made: for the sweeper.
  func backups() async throws -> [String: String]
}
