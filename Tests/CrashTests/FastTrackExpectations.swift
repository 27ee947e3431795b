import TestSupport
import Testing
import Wire

extension CrashTests {
  /// In no moment was the agent on a tenant's network, nor what is on the disk on the provisioning network.
  func expectApart(_ life: JSON, _ what: String) {
    var runs = "", carries = ""
    for line in life["ledger"]?.array?.compactMap(\.string) ?? [] {
      let parts = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map { String($0) }
      switch parts.first {
      case "runs/n1": runs = parts.last ?? ""
      case "switch/n1": carries = parts.last ?? ""
      default: continue
      }
      #expect(runs != "agent" || ["", "100"].contains(carries), "\(what): the agent was on VLAN \(carries)")
      #expect(!runs.hasPrefix("disk") || carries != "100", "\(what): \(runs) was on the provisioning network")
    }
  }
  /// What there is to a machine that stands by, when nothing goes wrong.
  func expectFastTrack(_ clean: JSON, _ scenario: Scenario) {
    let ledger = clean["ledger"]?.array?.compactMap(\.string) ?? []
    let offs = ledger.count { $0 == "power/n1=power off" }
    let world = clean["world"]
    expectApart(clean, "\(scenario)")
    switch scenario {
    case .provideFastTrack:
      #expect(offs == 1, "off before the scene and never again: \(ledger)")
      #expect(clean["power"] == "power on" && world?["runs/n1"] == "agent" && world?["stands-by/n1"] == "yes")
      #expect(world?["switch/n1"] == nil && world?["dhcp/n1"] == nil)
    case .deployFastTrack:
      #expect(offs == 1, "off before it boots its image and never else: \(ledger)")
      #expect(world?["switch/n1"] == "205" && clean["vif"]?.string?.hasPrefix("ACTIVE ") == true)
    case .attachFastTrack:
      #expect(offs == 0 && world?["switch/n1"] == nil && world?["runs/n1"] == "agent")
      #expect(clean["vif"]?.string?.hasPrefix("DOWN ") == true, "it is attached, and carries nothing yet")
    default:
      #expect(clean["power"] == "power on" && world?["runs/n1"] == "disk: zeros")
    }
  }
}
