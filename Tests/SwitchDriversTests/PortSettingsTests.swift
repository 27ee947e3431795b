import Domain
import Testing
import Wire

@testable import SwitchDrivers

@Suite struct PortSettingsTests {
  @Test func whatIsWrittenReadsBackAsWhatWasWanted() {
    let wanted = [
      PortConfiguration(native: 1), PortConfiguration(native: 4094),
      PortConfiguration(native: 101, tagged: [103, 102]),
      PortConfiguration.quarantine,
    ]
    for configuration in wanted {
      let settings = PortSettings(PortSettings(configuration).row.asRow)
      #expect(settings == PortSettings(configuration))
      #expect(settings.configuration == configuration)
    }
  }

  @Test func settingsThatWeNeverMakeDifferFromEverythingThatCanBeWanted() {
    let foreign: [PortSettings] = [
      // As a port is when it is new: a trunk of everything.
      PortSettings(row: [:]),
      PortSettings(mode: .access, tag: 101, trunks: [], protected: true),
      PortSettings(mode: .access, tag: 4095, trunks: [], protected: false),
      PortSettings(mode: .access, tag: 0, trunks: [], protected: false),
      PortSettings(mode: .trunk, tag: nil, trunks: [4095], protected: false),
      PortSettings(mode: .trunk, tag: nil, trunks: [101], protected: false),
      PortSettings(mode: .nativeTagged, tag: 101, trunks: [102], protected: false),
      PortSettings(mode: .tunnel, tag: 101, trunks: [], protected: false),
    ]
    for settings in foreign {
      #expect(settings.configuration != .quarantine, "\(settings)")
      #expect(settings.configuration.native == 0 && settings.configuration.problem != nil, "\(settings)")
    }
    // Native-untagged without a list carries every VLAN.
    let open = PortSettings(mode: .nativeUntagged, tag: 101, trunks: [], protected: false).configuration
    #expect(open.native == 101 && open.tagged.count == 4093)
  }

  @Test func columnsOfEveryShapeAreRead() {
    #expect(PortSettings(row: ["tag": 101]) == PortSettings(PortConfiguration(native: 101)))
    #expect(
      PortSettings(row: ["tag": 7, "trunks": ["set", [9, 8]], "vlan_mode": "native-untagged"])
        == PortSettings(PortConfiguration(native: 7, tagged: [8, 9])))
    #expect(PortSettings(row: ["tag": ["set", []], "trunks": 5]).trunks == [5])
    #expect(
      PortSettings(row: ["tag": 101, "trunks": ["set", [1, 2]]]).trunks.isEmpty, "an access port has no trunks")
  }

  @Test func impossibleWishesAreToldInWords() {
    #expect(PortConfiguration(native: 0).problem == "VLAN 0 is not between 1 and 4094")
    #expect(PortConfiguration(native: 4095).problem == "VLAN 4095 is not between 1 and 4094")
    #expect(PortConfiguration(native: 5, tagged: [4095]).problem != nil)
    #expect(PortConfiguration(native: 5, tagged: [5]).problem == "VLAN 5 is both native and tagged")
    #expect(PortConfiguration(native: 5, tagged: [6, 6]).problem != nil)
    #expect(PortConfiguration(native: nil, tagged: [6]).problem != nil)
    #expect(PortConfiguration.quarantine.problem == nil)
    #expect(PortConfiguration(native: 5, tagged: [6, 7, 9]).summary == "VLAN 5 (tagged 6-7, 9)")
  }
}

extension JSONObject {
  fileprivate var asRow: JSON { .object(self) }
}
extension PortSettings {
  fileprivate init(_ row: JSON) { self.init(row: row) }
}
