import Glibc
import Testing
import Wire

@testable import Agent

/// The machine's own controller, by the bytes of IPMI.
@Suite struct ManagementControllerTests {
  /// A controller with parameters by "channel/number/set".
  private func controller(_ parameters: [String: [UInt8]], lan: Set<UInt8> = [1]) -> ManagementController {
    ManagementController { function, command, data in
      switch (function, command) {
      case (0x06, 0x42): lan.contains(data[0]) ? [0, data[0], 0x04, 0x01] : [0xcc]
      case (0x0c, 0x02): parameters["\(data[0])/\(data[1])/\(data[2])"].map { [0, 0x11] + $0 } ?? [0x80]
      default: [0xc1]
      }
    }
  }
  private func v6(_ address: [UInt8], set: UInt8 = 0, source: UInt8 = 0x80, status: UInt8 = 0) -> [UInt8] {
    [set, source] + address + [UInt8](repeating: 0, count: 16 - address.count) + [64, status]
  }

  @Test func theFirstLANChannelWithAnAddressCounts() {
    let found = controller(
      ["1/3/0": [0, 0, 0, 0], "8/3/0": [10, 0, 3, 7], "8/5/0": [0x52, 0x54, 0, 0xaa, 0xbb, 1]], lan: [1, 8]
    ).address()
    #expect(found == ManagementController.Address(v4: "10.0.3.7", v6: nil, mac: "52:54:00:aa:bb:01"))
  }

  @Test func versionSixIsStaticBeforeDynamicAndNeverLinkLocal() {
    let fixed: [UInt8] = [0x20, 0x01, 0x0d, 0xb8, 0, 1], local: [UInt8] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 1]
    let both = ["1/56/0": v6(local), "1/56/1": v6(fixed, set: 1), "1/59/0": v6([0xfd, 9], source: 1)]
    #expect(controller(both).address()?.v6 == "2001:db8:1::")
    let dynamic = ["1/56/0": v6(fixed, source: 0), "1/59/0": v6([0xfd, 9], source: 1)]
    #expect(controller(dynamic).address()?.v6 == "fd09::")
    #expect(controller(["1/56/0": v6(fixed, status: 1)]).address() == nil, "disabled")
  }

  @Test(
    arguments: [
      [], [10, 0], [0, 0, 0, 0], [255, 255, 255, 255], [127, 0, 0, 1], [224, 0, 0, 1],
    ] as [[UInt8]])
  func whatIsNoAddressIsNone(_ bytes: [UInt8]) {
    #expect(controller(["1/3/0": bytes]).address() == nil)
  }

  @Test func oddAnswersAreNoAnswer() {
    for reply in [nil, [], [0], [0, 1], [0xff], [UInt8](repeating: 0, count: 300)] as [[UInt8]?] {
      #expect(ManagementController { _, _, _ in reply }.address() == nil)
    }
    var asked = 0
    _ = ManagementController { _, _, _ in
      asked += 1
      return nil
    }.address()
    #expect(asked == 11)
  }

  @Test func aMachineWithoutTheDeviceHasNoController() throws {
    let scratch = Scratch()
    let machine = try scratch.machine(diskBytes: 1 << 20)
    #expect(ManagementController.address(of: machine) == nil)
    // What is there and is no such device answers nothing.
    try scratch.write("dev/ipmi0", "")
    #expect(ManagementController.address(of: machine) == nil)
    #expect(Inventory(machine: machine).json()["bmc_address"] == .null)
  }
}
