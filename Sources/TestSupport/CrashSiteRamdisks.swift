import Conductor
import Domain
import Glibc
import Store
import Wire

/// The scenes of the crash tests that are about machines that run from their memory.
extension CrashSite {
  /// What is outside before.
  func seedRamdisk(_ scenario: Scenario) throws {
    try world.ensure("switch-filters", "yes")
    guard scenario == .undeployRamdisk else { return }
    try world.ensure("dhcp/n1", VolumeBoot.label(node: Self.node))
    try world.ensure("switch/n1", "100")
  }

  func beginRamdisk(_ scenario: Scenario, _ node: inout Node, in session: any Session) throws {
    if scenario == .deployRamdisk {
      node.instanceInfo = ["kernel": "new", "ramdisk": "new", "kernel_append_params": "console=ttyS0 %default%"]
    } else if let mac = MACAddress(Self.mac), let line = KernelLine("quiet") {
      let name = "\(Self.node).earlier"
      for folder in [RamdiskBoot.folder, "\(RamdiskBoot.folder)/\(name)"] {
        mkdir("\(conductor.settings.dataFolder)/\(folder)", 0o700)
      }
      let boot = VolumeBoot(
        nodeID: Self.node, mac: mac, address: "10.77.0.2", attachmentID: nil,
        ramdisk: RamdiskBoot(name: name, line: line))
      try VolumeBootStore.insert(boot, in: session)
    }
    let isGivenBack = scenario == .undeployRamdisk
    try conductor.provision(isGivenBack ? .deleted : .active, node: &node, parameters: [:], by: .system, in: session)
  }

  /// "MAC address", and whether it is of a machine that runs from its memory, with how many files.
  func boots(in session: any Session) throws -> JSON {
    JSON(
      try VolumeBootStore.all(in: session).map { boot in
        guard let name = boot.ramdisk?.name else { return "\(boot.mac) \(boot.address)" }
        let folder = "\(conductor.settings.dataFolder)/\(RamdiskBoot.folder)/\(name)"
        let files = RamdiskBoot.File.allCases.filter { access("\(folder)/\($0.rawValue)", F_OK) == 0 }
        return "\(boot.mac) \(boot.address) \(files.map(\.rawValue)) \(boot.ramdisk?.line.text ?? "")"
      })
  }
}
