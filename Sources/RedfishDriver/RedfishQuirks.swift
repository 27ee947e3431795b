/// Where a vendor's controllers want something other than the rule. Data, not code: a row is added when it is seen.
struct RedfishQuirks: OptionSet, Sendable {
  let rawValue: Int

  /// `BootSourceOverrideEnabled` must be in every write, also when it does not change; the others must not get it then.
  static let alwaysSendEnabled = RedfishQuirks(rawValue: 1)
  /// Virtual CDs are `UsbCd`.
  static let usbCD = RedfishQuirks(rawValue: 2)
  /// A new boot mode shows only after the next boot.
  static let modeShowsAfterBoot = RedfishQuirks(rawValue: 4)
  /// `Once` is taken and shown as `Continuous`.
  static let onceShowsAsContinuous = RedfishQuirks(rawValue: 8)

  /// By the beginning of the manufacturer's name, lower case.
  /// Sources: OpenStack stories 2007355 (Enabled not twice) and 2008547 (Supermicro: always), sushy's handling of UsbCd,
  /// Ironic's `set_boot_mode` (Dell and HPE change the mode as a BIOS setting).
  private static let table: [(vendor: String, quirks: RedfishQuirks)] = [
    ("supermicro", [.alwaysSendEnabled, .usbCD]),
    ("super micro", [.alwaysSendEnabled, .usbCD]),
    ("dell", [.modeShowsAfterBoot]),
    ("hpe", [.modeShowsAfterBoot]),
    // Seen with sushy-tools 2.2.0: its answer has the word written into it.
    ("sushy emulator", [.onceShowsAsContinuous]),
  ]

  static func of(manufacturer: String?) -> RedfishQuirks {
    let name = (manufacturer ?? "").lowercased()
    return table.first { name.hasPrefix($0.vendor) }?.quirks ?? []
  }
}
