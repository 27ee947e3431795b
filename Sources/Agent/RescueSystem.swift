import Wire

/// What the ramdisk becomes when the agent has ended: files in a folder that /init looks into (ramdisk/init).
struct RescueSystem {
  /// Of the archive.
  static let limit = 64 << 20
  let archive: ImageSource
  private let passwordHash: String
  private let networkData: JSON

  /// - Throws: ``AgentError`` when a member is missing or cannot be what it should.
  init(_ parameters: JSON) throws {
    guard let system = parameters["system"] else {
      throw AgentError(.refused, "The command names no rescue system.")
    }
    archive = try ImageSource(system, what: "rescue system")
    guard archive.size <= Self.limit else {
      throw AgentError(.refused, "The rescue system has \(archive.size) bytes; \(Self.limit) bytes is the most.")
    }
    // It becomes a field of a line of /etc/shadow.
    guard let hash = parameters["password_hash"]?.string, hash.hasPrefix("$6$"), (20...200).contains(hash.utf8.count),
      hash.utf8.allSatisfy({ (0x21...0x7e).contains($0) && $0 != 0x3a })
    else { throw AgentError(.refused, "The rescue password's hash is not of the form sha512crypt.") }
    passwordHash = hash
    networkData = parameters["network_data"] ?? .emptyObject
  }

  /// Leaves `system.tar.gz`, `password-hash` and `network_data.json` in `folder`.
  func leave(_ bytes: [UInt8], in folder: String) throws {
    try RamdiskFile.makeFolder(folder)
    try RamdiskFile.write(to: "\(folder)/network_data.json") { try $0(Array(networkData.description.utf8)) }
    try RamdiskFile.write(to: "\(folder)/password-hash") { try $0(Array(passwordHash.utf8)) }
    try RamdiskFile.write(to: "\(folder)/system.tar.gz") { try $0(bytes) }
  }
}
