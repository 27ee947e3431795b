import DriverInterfaces
import Glibc
import Processes
import Synchronization

/// The iSCSI targets of one `tgtd`, which is started when it is needed and outlives this server. ``TargetPaths`` has all of a site's.
///
/// One target for each attachment, with an access list of initiators' names and a CHAP account of its own. The access list is
/// written last and emptied first: a target that is half made, or half removed, lets nobody in.
public struct TargetDaemon: Sendable {
  public struct Settings: Sendable, Equatable {
    /// Its control socket, log and lock; "/var/lib/steelyard/volumes/targets".
    public var folder: String
    /// Network namespace of the portals; nil is the server's own.
    public var namespace: String?
    /// Where initiators come to: "10.79.0.1:3260".
    public var portals: [String]
    public init(folder: String, namespace: String? = nil, portals: [String]) {
      self.folder = folder
      self.namespace = namespace
      self.portals = portals
    }
  }

  /// What is behind a target.
  struct Unit: Sendable, Equatable {
    /// tgt's backing store: "rdwr", "rbd".
    var store: String
    /// A file, or what the store knows it by.
    var path: String
    /// For the store: "conf=…;id=…".
    var options: String?
    /// Bytes.
    var size: Int
    /// What the initiator sees as the disk's identity, the same through all targets of a volume: up to 32 hex digits.
    var scsiID: String
    var isReadOnly: Bool
  }

  public let settings: Settings
  let control: TargetControl
  let turns = Turns()
  private let making = Names()
  static let device = DriverError.Device.volumes("iscsi")

  /// Attachments whose target is being made now.
  private final class Names: Sendable {
    private let names = Mutex<Set<String>>([])
    var all: Set<String> { names.withLock { $0 } }
    func add(_ name: String) { names.withLock { _ = $0.insert(name) } }
    func remove(_ name: String) { names.withLock { _ = $0.remove(name) } }
  }
  /// The logical unit of every target; 0 is tgt's own.
  static let unit = 1
  static let prefix = "iqn.2026-11.org.steelyard:"

  /// - Throws: ``DriverError`` `.misconfigured`.
  public init(_ settings: Settings) throws {
    self.settings = settings
    control = TargetControl(path: "\(settings.folder)/tgtd")
    func refuse(_ what: String) -> DriverError { DriverError(.misconfigured, device: Self.device, detail: what) }
    guard settings.folder.hasPrefix("/"), control.socketPath.utf8.count <= 107 else {
      throw refuse("the path of the targets' folder must be absolute and of at most 100 bytes: \(settings.folder)")
    }
    guard !settings.portals.isEmpty,
      settings.portals.allSatisfy({ portal in
        portal.utf8.allSatisfy {
          (0x30...0x3a).contains($0) || (0x61...0x66).contains($0) || [0x2e, 0x5b, 0x5d].contains($0)
        } && portal.contains(":")
      })
    else { throw refuse("a portal is written \"10.79.0.1:3260\": \(settings.portals)") }
  }

  static func name(_ attachment: String) -> String { prefix + attachment }
  /// As an operator knows it.
  var words: String { "tgtd at \(settings.portals.joined(separator: ", "))" }

  // MARK: Targets

  /// Brings the target about; the same again changes nothing, and a part is made whole.
  /// - Parameter number: what tgt shall call it: the number that it has at another portal. Nil for one of the attachment's own.
  /// - Returns: the number.
  @discardableResult
  func ensure(_ export: VolumeExport, _ unit: Unit, number: Int32? = nil) async throws -> Int32 {
    making.add(export.attachment)
    defer { making.remove(export.attachment) }
    return try await reporting(Self.device, daemon: words) { try await makeWhole(export, unit, number) }
  }
  private func makeWhole(_ export: VolumeExport, _ unit: Unit, _ wanted: Int32?) async throws -> Int32 {
    try await start()
    let name = Self.name(export.attachment)
    let table = try await table()
    if let found = table.target(named: name) {
      if Self.differences(found, export, unit).isEmpty { return found.number }
      // Only what is behind it is another: sessions are cut and find the new one when they come back.
      var same = found
      same.units[Self.unit] = Self.shown(unit)
      same.isReady = true
      if Self.differences(same, export, unit).isEmpty, found.units[Self.unit]?.isReadOnly == unit.isReadOnly {
        try await renew(unit, of: found)
        try await verify(export, unit)
        return found.number
      }
      try await takeAway(export.attachment)
    }
    if let other = table.targets.first(where: { $0.name != name && $0.users.contains(export.userName) }) {
      throw DriverError(
        .refused, device: Self.device, detail: "the CHAP user \(export.userName) belongs to \(other.name) already")
    }
    let number = try await make(name, wanted)
    try await makeAccount(export)
    try await call(.init(mode: .account, operation: .bind, target: number, parameters: "user=\(export.userName)"))
    try await make(unit, of: number)
    for initiator in export.initiators {
      try await call(
        .init(mode: .target, operation: .bind, target: number, parameters: "initiator-name=\(initiator)"))
    }
    try await verify(export, unit)
    return number
  }
  /// The number of the target that an attachment has here, if any.
  func number(of attachment: String) async throws -> Int32? { try await existing(attachment)?.number }

  /// What is behind a target that may be there has changed: another size, another file.
  func update(_ unit: Unit, of attachment: String) async throws {
    try await reporting(Self.device, daemon: words) {
      guard let found = try await existing(attachment), let present = found.units[Self.unit] else { return }
      var unit = unit
      unit.isReadOnly = present.isReadOnly
      if present == Self.shown(unit), found.isReady { return }
      try await renew(unit, of: found)
      guard try await existing(attachment)?.units[Self.unit] == Self.shown(unit) else {
        throw DriverError(.notInForce, device: Self.device, detail: "\(found.name) does not have the new logical unit")
      }
    }
  }

  /// Cuts its sessions and removes the target. Not there: nothing is done.
  func remove(_ attachment: String) async throws {
    try await reporting(Self.device, daemon: words) { try await takeAway(attachment) }
  }
  private func takeAway(_ attachment: String) async throws {
    guard let found = try await existing(attachment) else { return }
    for initiator in found.accessList {
      try await call(
        .init(mode: .target, operation: .unbind, target: found.number, parameters: "initiator-name=\(initiator)"))
    }
    // Not by force: tgtd ends itself, and every target with it, when a session is still at work then.
    try await patiently("remove \(found.name)") {
      try await cutSessions(of: found.name)
      try await call(.init(mode: .target, operation: .delete, target: found.number))
    }
    for user in found.users { try await removeAccount(user) }
    guard try await existing(attachment) == nil else {
      throw DriverError(.notInForce, device: Self.device, detail: "\(found.name) is there after its removal")
    }
  }

  /// Attachments that have a target whose unit is one of the caller's, or a target that was left half made.
  func attachments(where isOurs: (TargetTable.Unit) -> Bool) async throws -> [String] {
    let making = making.all
    let table = try await reporting(Self.device, daemon: words) { try await tableIfRunning() }
    return (table?.targets ?? []).compactMap { target in
      guard target.name.hasPrefix(Self.prefix) else { return nil }
      let attachment = String(target.name.dropFirst(Self.prefix.count))
      guard let unit = target.units[Self.unit] else { return making.contains(attachment) ? nil : attachment }
      return isOurs(unit) ? attachment : nil
    }
  }

  // MARK: Steps

  /// The number is the attachment's own as long as no other has it: it is part of the disk's identity (in tgt's NAA designator).
  private func make(_ name: String, _ wanted: Int32?) async throws -> Int32 {
    let digits = name.dropFirst(Self.prefix.count).filter(\.isHexDigit).prefix(7)
    let first = wanted ?? max(Int32(digits, radix: 16) ?? 0, 1)
    for number in first..<first + 1000 {
      do {
        try await call(.init(mode: .target, operation: .new, target: number, parameters: "targetname=\(name)"))
        return number
      } catch ControlError.refused(_, code: TargetControl.targetExists) {}
    }
    throw DriverError(.refused, device: Self.device, detail: "no number is free for \(name)")
  }

  private func makeAccount(_ export: VolumeExport) async throws {
    let parameters = "user=\(export.userName),password=\(export.password)"
    let request = TargetControl.Request(mode: .account, operation: .new, parameters: parameters)
    do {
      try await call(request)
    } catch ControlError.refused(_, code: TargetControl.userExists) {
      // Left by a target that was cut short, with a password that cannot be read back; no target has it.
      try await removeAccount(export.userName)
      try await call(request)
    }
  }
  private func removeAccount(_ user: String) async throws {
    do {
      try await call(.init(mode: .account, operation: .delete, parameters: "user=\(user)"))
    } catch ControlError.refused(_, code: TargetControl.noUser) {}
  }

  private func make(_ unit: Unit, of target: Int32) async throws {
    var parameters = "path=\(unit.path),bstype=\(unit.store)"
    if let options = unit.options { parameters += ",bsopts=\(options)" }
    try await call(
      .init(mode: .unit, operation: .new, target: target, unit: UInt64(Self.unit), parameters: parameters))
    // Discarded blocks go back to the disk. The write cache stays declared: a flush of the initiator's reaches the disk.
    let attributes =
      "scsi_id=\(unit.scsiID),scsi_sn=\(unit.scsiID),vendor_id=STEELYRD,product_id=volume,product_rev=1"
      + ",thin_provisioning=1,readonly=\(unit.isReadOnly ? 1 : 0)"
    try await call(
      .init(mode: .unit, operation: .update, target: target, unit: UInt64(Self.unit), parameters: attributes))
  }

  /// Another logical unit in the place of the one that is there. The sessions are cut first: a logical unit that goes while one
  /// is at work is an I/O error to it, and a cut session is not; the initiator comes back after its two seconds (RFC 7143,
  /// DefaultTime2Wait) and does again what was not answered.
  private func renew(_ unit: Unit, of target: TargetTable.Target) async throws {
    // Nobody comes back before it is whole, to find a target without a disk.
    try await setState("offline", of: target.number)
    if target.units[Self.unit] != nil {
      try await patiently("renew \(target.name)") {
        try await cutSessions(of: target.name)
        do {
          try await call(
            .init(mode: .unit, operation: .delete, target: target.number, unit: UInt64(Self.unit)))
        } catch ControlError.refused(_, code: TargetControl.noUnit) {}
      }
    }
    try await make(unit, of: target.number)
    try await setState("ready", of: target.number)
  }
  private func setState(_ state: String, of target: Int32) async throws {
    try await call(.init(mode: .target, operation: .update, target: target, parameters: "state=\(state)"))
  }

  private func cutSessions(of name: String) async throws {
    for attempt in 0..<200 {
      let connections = try await table().target(named: name)?.connections ?? []
      if connections.isEmpty { return }
      if attempt % 20 == 0 {
        guard let number = try await table().target(named: name)?.number else { return }
        for connection in connections {
          _ = try? await call(
            .init(
              mode: .connection, operation: .delete, target: number, session: connection.session,
              connection: connection.number))
        }
      }
      try await Task.sleep(for: .milliseconds(10))
    }
    throw DriverError(.busy, device: Self.device, detail: "sessions of \(name) do not end")
  }

  /// Tries again while commands of a session that has been cut are still at work.
  private func patiently(_ what: String, _ body: () async throws -> Void) async throws {
    for _ in 0..<500 {
      do {
        return try await body()
      } catch ControlError.refused(_, code: TargetControl.unitIsActive) {
      } catch ControlError.refused(_, code: TargetControl.targetIsActive) {
      }
      try await Task.sleep(for: .milliseconds(10))
    }
    throw DriverError(.busy, device: Self.device, detail: "cannot \(what): commands of its sessions do not end")
  }

  // MARK: Reading back

  private func verify(_ export: VolumeExport, _ unit: Unit) async throws {
    guard let found = try await existing(export.attachment) else {
      throw DriverError(.notInForce, device: Self.device, detail: "\(Self.name(export.attachment)) is not there")
    }
    let differences = Self.differences(found, export, unit)
    guard differences.isEmpty else {
      throw DriverError(
        .notInForce, device: Self.device, detail: "\(found.name) has another \(differences.joined(separator: ", "))")
    }
  }
  private static func shown(_ unit: Unit) -> TargetTable.Unit {
    .init(
      size: TargetTable.shown(unit.size), isReadOnly: unit.isReadOnly, store: unit.store, path: unit.path,
      scsiID: unit.scsiID)
  }
  static func differences(_ found: TargetTable.Target, _ export: VolumeExport, _ unit: Unit) -> [String] {
    var differences: [String] = []
    if !found.isReady { differences.append("state") }
    if found.users != [export.userName] { differences.append("CHAP user") }
    if Set(found.accessList) != Set(export.initiators) { differences.append("access list") }
    if found.units[Self.unit] != shown(unit) { differences.append("logical unit") }
    return differences
  }

  private func existing(_ attachment: String) async throws -> TargetTable.Target? {
    try await tableIfRunning()?.target(named: Self.name(attachment))
  }
  func tableIfRunning() async throws -> TargetTable? {
    do { return try await table() } catch ControlError.notRunning { return nil }
  }
  func table() async throws -> TargetTable {
    TargetTable(try await call(.init(mode: .target, operation: .show)))
  }
  @discardableResult
  func call(_ request: TargetControl.Request) async throws -> String {
    let control = control
    return try await onThread("tgt") { try control.call(request) }
  }
}
