import DriverInterfaces
import Glibc

/// The iSCSI targets as machines reach them: a `tgtd` of its own at each portal, so that one that dies or hangs leaves the other
/// paths as they are.
///
/// An attachment has its target at every portal, with the same name, number, account and disk behind it: multipath on the machine sees
/// one disk. What is written through one path is read through the others at once, because all daemons have the same file open.
public struct TargetPaths: Sendable {
  public let settings: TargetDaemon.Settings
  let daemons: [TargetDaemon]
  /// Left by a configuration with more portals: nothing new comes there, and they end with the last target that goes.
  private let former: [TargetDaemon]
  /// More portals than any site has; what an earlier configuration has left is looked for up to here.
  private static let limit = 16

  /// - Parameters:
  ///   - settings: of all of them; the second daemon's folder is "2" in the first one's, and so on.
  ///   - sharesDaemon: one `tgtd` for all portals. For Ceph: clients that have an image open beside each other keep what they write
  ///     from each other for a while.
  /// - Throws: ``DriverError`` `.misconfigured`.
  public init(_ settings: TargetDaemon.Settings, sharesDaemon: Bool = false) throws {
    self.settings = settings
    guard settings.portals.count <= Self.limit, Set(settings.portals).count == settings.portals.count else {
      throw DriverError(
        .misconfigured, device: TargetDaemon.device,
        detail: "at most \(Self.limit) portals, each once: \(settings.portals)")
    }
    let groups = sharesDaemon || settings.portals.isEmpty ? [settings.portals] : settings.portals.map { [$0] }
    func daemon(_ index: Int, _ portals: [String]) throws -> TargetDaemon {
      var own = settings
      own.portals = portals
      if index > 0 { own.folder += "/\(index + 1)" }
      return try TargetDaemon(own)
    }
    daemons = try groups.enumerated().map { try daemon($0, $1) }
    former = try (groups.count..<Self.limit).map { try daemon($0, [settings.portals[0]]) }.filter {
      Glibc.access($0.control.socketPath, F_OK) == 0
    }
  }

  func access(_ attachment: String) -> VolumeAccess {
    VolumeAccess(target: TargetDaemon.name(attachment), portals: settings.portals, lun: TargetDaemon.unit)
  }

  /// Brings the targets about, at every portal that can have one, also when another cannot. The same again changes nothing.
  func ensure(_ export: VolumeExport, _ unit: TargetDaemon.Unit) async throws {
    var failure: (any Error)?
    for daemon in former {
      do {
        try await daemon.remove(export.attachment)
        try await daemon.stop { _ in false }
      } catch { failure = failure ?? error }
    }
    var number: Int32?
    if daemons.count > 1 {
      for daemon in daemons where number == nil { number = try? await daemon.number(of: export.attachment) }
    }
    for daemon in daemons {
      do {
        let used = try await daemon.ensure(export, unit, number: number)
        number = number ?? used
      } catch { failure = failure ?? error }
    }
    if let failure { throw failure }
  }

  /// What is behind the targets that may be there has changed. One portal after the other: machines go on through the rest.
  func update(_ unit: TargetDaemon.Unit, of attachment: String) async throws {
    for daemon in daemons { try await daemon.update(unit, of: attachment) }
  }

  /// Cuts the sessions and removes the targets, at all portals at the same time, also when one of them fails.
  func remove(_ attachment: String) async throws {
    try await everywhere(daemons + former) { try await $0.remove(attachment) }
  }
  private func everywhere(
    _ daemons: [TargetDaemon], _ body: @escaping @Sendable (TargetDaemon) async throws -> Void
  ) async throws {
    let results = await withTaskGroup(of: Result<Void, any Error>.self) { group in
      for daemon in daemons {
        group.addTask {
          do { return .success(try await body(daemon)) } catch { return .failure(error) }
        }
      }
      return await group.reduce(into: []) { $0.append($1) }
    }
    for result in results { try result.get() }
  }

  /// Attachments that have a target at any portal: as ``TargetDaemon/attachments(where:)``.
  func attachments(where isOurs: (TargetTable.Unit) -> Bool) async throws -> Set<String> {
    var found: Set<String> = []
    for daemon in daemons + former { found.formUnion(try await daemon.attachments(where: isOurs)) }
    return found
  }

  /// Removes a backend's targets, and ends the daemons that no other backend has one in.
  func stop(where isOurs: (TargetTable.Unit) -> Bool = { _ in true }) async throws {
    for daemon in daemons + former { try await daemon.stop(where: isOurs) }
  }
}
