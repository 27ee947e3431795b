/// Where the parts of backups are: a folder, a bucket. Names are of ours, of letters, digits, dashes, dots and slashes.
protocol BackupObjects: Sendable {
  func has(_ name: String) async throws -> Bool
  /// - Returns: nil when it is not there.
  func get(_ name: String) async throws -> [UInt8]?
  /// Keeps it for good, whole or not at all; another of the name is replaced.
  func put(_ name: String, _ bytes: [UInt8]) async throws
  /// Not there: nothing is done.
  func remove(_ name: String) async throws
  /// Every name that begins with `prefix` (a folder's name and a slash, or nothing).
  /// - Parameter deep: false for those without a slash after the prefix, and the folders there, which end with a slash.
  func names(_ prefix: String, deep: Bool) async throws -> [String]
}
