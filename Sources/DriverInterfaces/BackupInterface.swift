import BlockMaps

/// Where copies of volumes' and disks' content are kept, apart from both. Every verb may be repeated.
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

  // MARK: Disks, which come block by block

  /// Notes what a backup is to hold, and what the store lacks for it. When that is nothing, the backup is whole from then on.
  /// - Parameter map: the disk's; the content is what the map says, whoever sends the blocks.
  /// - Returns: data blocks that no backup of the project has brought.
  func ensureBackup(_ backup: String, project: String, of map: BlockMap) async throws -> [Range<Int>]
  /// Keeps one block, under its SHA-256.
  func keepBlock(_ block: [UInt8], project: String) async throws
  /// The map of a backup that is whole.
  /// - Returns: its binary form.
  /// - Throws: ``DriverError`` `.refused` when it is not there, or when a block of it is missing.
  func wholeMap(of backup: String, project: String) async throws -> [UInt8]
  /// A block as it was kept; whether it still is what it was says only its digest.
  /// - Throws: ``DriverError`` `.refused` when it is not there.
  func block(_ digest: ArraySlice<UInt8>, project: String) async throws -> [UInt8]
}
