import Testing
import Wire

@testable import Agent

/// A folder as efivarfs shows one.
@Suite struct FirmwareVariablesTests {
  private let scratch = Scratch()
  private let global = "8be4df61-93ca-11d2-aa0d-00e098032b8c"

  private func write(_ name: String, _ vendor: String, _ bytes: [UInt8]) throws {
    let device = try BlockDevice(path: scratch.disk("\(name)-\(vendor)", bytes: bytes.count + 4))
    try device.write([7, 0, 0, 0] + bytes, at: 0)
  }
  /// A load option whose device path has these nodes, each with two bytes of content.
  private func entry(_ description: String, _ nodes: [(UInt8, UInt8)]) -> [UInt8] {
    let path: [UInt8] = nodes.flatMap { [$0.0, $0.1, 6, 0, 1, 2] as [UInt8] } + [0x7f, 0xff, 4, 0]
    let text: [UInt8] = (Array(description.utf16) + [0]).flatMap { [UInt8($0 & 0xff), UInt8($0 >> 8)] as [UInt8] }
    return [1, 0, 0, 0, UInt8(path.count), 0] + text + path
  }

  @Test func whatSystemsLeftGoesAndTheFirmwaresOwnStaysInItsOrder() throws {
    try write("Boot0000", global, entry("UEFI PXEv4", [(1, 1), (3, 11), (3, 12)]))
    try write("Boot0001", global, entry("debian", [(4, 1), (4, 4)]))
    try write("Boot0002", global, entry("EFI Internal Shell", [(4, 7), (4, 6)]))
    try write("Boot001A", global, entry("mirror", [(3, 11), (3, 24)]))
    try write("BootOrder", global, [1, 0, 0x1a, 0, 0, 0, 2, 0])
    try write("BootNext", global, [1, 0])
    try write("Driver0000", global, entry("implant", [(4, 4)]))
    try write("DriverOrder", global, [0, 0])
    try write("LoaderEntryDefault", "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f", [1])
    try write("db", "d719b2cb-3d3a-4596-a3bc-dad00e67656f", [1])
    try write("BootCurrent", global, [0, 0])

    let outcome = try #require(FirmwareVariables(folder: scratch.path).reset())

    #expect(
      outcome.removed == [
        "Boot0001 debian", "Boot001A mirror", "BootNext", "Driver0000", "DriverOrder", "LoaderEntryDefault",
      ])
    #expect(outcome.failed.isEmpty && outcome.order == ["Boot0000", "Boot0002"])
    #expect(Machine.bytes(of: "\(scratch.path)/BootOrder-\(global)") == [7, 0, 0, 0, 0, 0, 2, 0])
    let kept = Machine.names(in: scratch.path).map { $0.prefix { $0 != "-" } }
    #expect(kept == ["Boot0000", "Boot0002", "BootCurrent", "BootOrder", "db"])
    // Once more finds nothing to do.
    #expect(FirmwareVariables(folder: scratch.path).reset()?.removed == [])
  }

  @Test func aMachineWithoutUEFIHasNothingToReset() {
    #expect(FirmwareVariables(folder: scratch.path + "/none").reset() == nil)
  }

  @Test func entriesThatAreNoneAreLeftAlone() throws {
    let texts: [[UInt8]] = [[], [1], [1, 0, 0, 0, 255, 255, 65], [1, 0, 0, 0, 8, 0, 0, 0, 4, 1, 0, 0]]
    for (index, bytes) in texts.enumerated() {
      try write("Boot000\(index)", global, bytes)
    }
    #expect(FirmwareVariables(folder: scratch.path).reset()?.removed == [])
  }
}
