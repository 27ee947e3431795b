import Domain
import DriverInterfaces
import Glibc
import Processes
import TestSupport
import Testing
import Wire

@testable import BootServices

/// A provisioning network's files on a disk without room.
@Suite(.enabled(if: geteuid() == 0, "a small disk needs root")) struct FullDiskTests {
  private static let macs = ["52:54:00:00:00:01", "52:54:00:00:00:02"].compactMap { MACAddress($0) }

  private func with(_ body: @escaping @Sendable (SmallDisk, Reservations) async throws -> Void) async throws {
    try await SmallDisk.with(megabytes: 1) { disk in
      let configuration = try DnsmasqConfiguration(
        interface: "prov0", server: #require(BootServer(address: "172.30.0.1", port: 8081)), first: "172.30.0.100",
        last: "172.30.0.199", prefix: 24, folder: disk.path + "/boot")
      try await body(disk, try Reservations(configuration))
    }
  }
  private func files(_ disk: SmallDisk) -> [String] {
    ["labels", "hosts"].flatMap { folder in disk.allNames(in: "boot/\(folder)").map { "\(folder)/\($0)" } }
  }

  @Test func anAdmissionIsRefusedInWordsAndLeavesNothing() async throws {
    try await with { disk, reservations in
      try disk.fill()
      let error = #expect(throws: DriverError.self) { try reservations.admit(Self.macs, label: "w/admit") }
      #expect(error?.code == .busy, "it is tried again")
      #expect(
        error?.detail.hasSuffix("No space left on device; free space on the server's disk, then ask again") == true)
      #expect(error?.reason.sentence.contains("/proc/") == false)
      #expect(reservations.labels().isEmpty)
      #expect(files(disk) == [])
      disk.free()
      try reservations.admit(Self.macs, label: "w/admit")
      #expect(reservations.labels().count == 2)
    }
  }

  @Test func aMachineIsDeniedThoughThereIsNoRoom() async throws {
    try await with { disk, reservations in
      try reservations.admit(Self.macs, label: "w/admit")
      try disk.fill()
      try reservations.deny(Self.macs)
      #expect(reservations.labels().isEmpty)
      for mac in Self.macs {
        #expect(contents("\(disk.path)/boot/hosts/\(mac)") == "\(mac),ignore\n")
      }
      #expect(files(disk) == Self.macs.map { "hosts/\($0)" })
    }
  }

  /// The deployment that wanted the admission.
  @Test func aDeploymentEndsInWordsAndGoesOnWithRoomAgain() async throws {
    try await with { disk, reservations in
      let folder = "/tmp/steelyard-full-\(Identifier.uuid())"
      var parts = SiteParts()
      parts.boot = { world in
        struct Boot: BootInterface {
          let reservations: Reservations
          let world: WorldBoot
          func ensureAdmitted(_ macs: [MACAddress], label: String) async throws {
            try reservations.admit(macs, label: label)
            try await world.ensureAdmitted(macs, label: label)
          }
          func ensureVolumeBoot(_ mac: MACAddress, address: String, label: String) async throws {
            try await ensureAdmitted([mac], label: label)
          }
          func ensureDenied(_ macs: [MACAddress]) async throws {
            try await world.ensureDenied(macs)
            try reservations.deny(macs)
          }
          func admitted() async throws -> [MACAddress: String] { reservations.labels() }
        }
        return Boot(reservations: reservations, world: world)
      }
      try disk.fill()
      let first = try CrashSite(folder: folder, options: [:], parts: parts)
      let failed = try await first.play(.deploy)
      #expect(failed["state"] == "deploy failed")
      #expect(failed["last_error"]?.string?.contains("free space on the server's disk") == true)
      #expect(
        failed["public_error"]?.string?.hasPrefix("The site's network boot service is busy. Try again later") == true)
      #expect(failed["leftovers"] == [] && failed["reservation"] == .null)
      #expect(files(disk) == [])
      first.database.close()

      disk.free()
      let second = try CrashSite(folder: folder, options: [:], parts: parts)
      let mended = try await second.ask(.active)
      #expect(mended["state"] == "active" && mended["last_error"] == .null)
      #expect(mended["leftovers"] == [])
      second.database.close()
      _ = try await run("rm", ["-rf", folder])
    }
  }
}
