import Wire

/// What is said, and signed, of one erasure of a machine's disks.
public struct EraseRecord: Sendable, Equatable {
  public var uuid: String
  public var nodeUUID: String
  /// The lease that had ended, or under which the machine was undeployed; nil for an erasure without one.
  public var leaseUUID: String?
  /// The project that left its data on the disks: the lessee, else the owner. Others are not told who it was.
  public var projectID: String?
  /// The machine's owner at that time.
  public var ownerID: String?
  public var time: TimeRange
  /// The text of a JSON document (docs/usage.md, "Proof that a disk was erased"), exactly as it was signed.
  public var document: String
  /// 64 bytes in base64, Ed25519.
  public var signature: String
  /// Names the key (``VerifyingKey/fingerprint``).
  public var keyID: String

  public init(
    uuid: String, nodeUUID: String, leaseUUID: String?, projectID: String?, ownerID: String?, time: TimeRange,
    document: String, signature: String, keyID: String
  ) {
    self.uuid = uuid
    self.nodeUUID = nodeUUID
    self.leaseUUID = leaseUUID
    self.projectID = projectID
    self.ownerID = ownerID
    self.time = time
    self.document = document
    self.signature = signature
    self.keyID = keyID
  }
}
