import Domain
import DriverInterfaces
import Glibc
import Processes
import Store
import Wire
import Workflows

extension Conductor {
  /// Removes what workflows that have ended left outside (addresses on the provisioning network, agent sessions, config
  /// drives), and what images left that are no more.
  public func sweep() async throws {
    try await parts.images.forgetUploads()
    for orphan in try await leftovers() {
      logger.warning("sweeper: \(orphan.description): removed")
      switch orphan {
      case .admitted(let mac, _): try await parts.boot.ensureDenied([mac])
      case .session(let node, _): try await database.write { try AgentStore.dismiss(node: node, in: $0) }
      // A server that was killed while it made one has left its folder.
      case .configDrive(let path): removeTree(path)
      case .ramdisk(let path): removeTree(path)
      case .capture(let path): unlinkFile(path)
      case .imageFile(let path): unlinkFile(path)
      case .export(let backend, let attachment): try await parts.volumes[backend]?.removeExport(attachment)
      case .snapshot(let backend, let id, let volume): try await parts.volumes[backend]?.removeSnapshot(id, of: volume)
      case .volume(let backend, let id): try await parts.volumes[backend]?.removeVolume(id)
      case .backup(let id, let project): try await parts.backups?.removeBackup(id, project: project)
      }
    }
    let before = clock() - settings.workflowRetention
    try await database.write { session in
      _ = try WorkflowStore.prune(before: before, in: session)
      try IsolationStore.prune(before: before, in: session)
    }
  }

  /// Something made outside by a workflow that has ended.
  public enum Leftover: Sendable, Equatable, CustomStringConvertible {
    case admitted(MACAddress, label: String)
    case session(node: String, workflow: String)
    case configDrive(path: String)
    case ramdisk(path: String)
    case capture(path: String)
    case imageFile(path: String)
    case export(backend: String, attachment: String)
    case snapshot(backend: String, String, of: String)
    case volume(backend: String, String)
    case backup(String, project: String)
    public var description: String {
      switch self {
      case .admitted(let mac, let label):
        "NIC \(mac) may boot on the provisioning network for \(label), which has ended"
      case .session(let node, let workflow):
        "node \(node) has an agent session of workflow \(workflow), which has ended"
      case .configDrive(let path): "config drive \(path) belongs to no workflow"
      case .ramdisk(let path): "\(path) is no machine's to run from its memory"
      case .capture(let path): "\(path) was read from a disk for a workflow that has ended"
      case .imageFile(let path): "\(path) belongs to no image, and no deployment uses it"
      case .export(_, let attachment): "the target of attachment \(attachment), which there is not"
      case .snapshot(_, let id, _): "the content of snapshot \(id), which there is not"
      case .volume(_, let id): "the content of volume \(id), which there is not"
      case .backup(let id, _): "the content of backup \(id), which there is not"
      }
    }
  }

  /// What is outside and has no open workflow. Empty when the server is idle.
  public func leftovers() async throws -> [Leftover] {
    let (open, sessions, boots) = try await database.read { session in
      (
        Set(try WorkflowStore.open(in: session).map(\.id)), try AgentStore.sessions(in: session),
        try VolumeBootStore.all(in: session)
      )
    }
    let labels = Set(boots.map(\.label)), ramdisks = Set(boots.compactMap(\.ramdisk?.name))
    func isOver(_ label: String) -> Bool {
      !open.contains(String(label.prefix { $0 != "/" })) && !labels.contains(label)
    }
    var found: [Leftover] = []
    for (mac, label) in try await parts.boot.admitted() where isOver(label) {
      found.append(.admitted(mac, label: label))
    }
    for holder in sessions where !open.contains(holder.workflow) {
      found.append(.session(node: holder.node, workflow: holder.workflow))
    }
    let folder = "\(settings.dataFolder)/config-drives"
    for name in fileNames(in: folder) where isOver(String(name.prefix { $0 != "." })) {
      found.append(.configDrive(path: "\(folder)/\(name)"))
    }
    for name in fileNames(in: parts.ramdiskFolder) where !ramdisks.contains(name) {
      found.append(.ramdisk(path: "\(parts.ramdiskFolder)/\(name)"))
    }
    found += CaptureFolder(path: "\(settings.dataFolder)/captures").files.filter { isOver($0.workflow) }
      .map { .capture(path: $0.path) }
    found += try await parts.images.orphans().map { .imageFile(path: $0) }
    found += try await volumeLeftovers()
    return found
  }
}
