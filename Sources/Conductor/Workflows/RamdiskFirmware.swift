import Domain
import DriverInterfaces
import Store
import Wire

extension Parts {
  /// Has the firmware boot the ramdisk, which is not signed, and forget what a lessee chose whose lease is over; safe to repeat.
  ///
  /// What the machine shows counts beside what the database knows: a lessee can change it from their own system.
  func prepareFirmware(of uuid: String, _ boot: any BootModeInterface) async throws {
    guard let node = try await database.read({ try NodeStore.get(uuid, in: $0) }) else { return }
    if node.lessee == nil,
      let before = node.driverInternalInfo[Node.modeBeforeLease]?.string.flatMap({ BootMode(rawValue: $0) })
    {
      try await boot.ensureBootMode(before)
      try await database.write { session in
        try change(uuid, session) { node in
          node.noteBootMode(before)
          node.driverInternalInfo[Node.modeBeforeLease] = nil
        }
      }
    }
    // A controller that shows nothing of it has no Secure Boot, or fails at what comes next too.
    let isShown = (try? await boot.observeSecureBoot()) ?? false
    guard node.isSecureBoot == true || isShown else { return }
    try await boot.ensureSecureBoot(false)
    try await database.write { session in try change(uuid, session) { $0.isSecureBoot = false } }
  }
}
