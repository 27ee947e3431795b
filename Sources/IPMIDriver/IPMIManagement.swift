import Domain
import DriverInterfaces
import Wire

/// Identity, boot device and inventory. Source: IPMI 2.0, sections 20.1, 28.12, 28.13 and the FRU specification.
struct IPMIManagement: ManagementInterface {
  let tool: Ipmitool

  func verify() async throws -> JSONObject {
    let values = IPMIReply.values(try await tool.namingManufacturers.run("mc", "info"))
    // Also the rights: a user that may not look at the chassis is of no use here.
    try await tool.run("power", "status")
    var result = JSONObject()
    result["vendor"] = values["Manufacturer Name"].map { .string($0) }
    result["product"] = values["Product Name"].map { .string($0) }
    result["firmware"] = values["Firmware Revision"].map { .string($0) }
    return result
  }

  func observeBootOverride() async throws -> BootOverride? {
    do {
      return try await observeBootFlags().override
    } catch let error as DriverError where error.code == .unsupported || error.code == .badReply {
      return nil
    }
  }

  func ensureBootOverride(_ boot: BootOverride) async throws {
    let before = try? await observeBootFlags()
    // IPMI has no "leave the mode": every setting says it. So what is there is said again.
    let isEFI = boot.mode.map { $0 == .uefi } ?? before?.isEFI ?? false
    let wanted = BootOverride(boot.device, persistent: boot.persistent, mode: isEFI ? .uefi : .bios)
    if before?.override == wanted { return }

    // Boot parameter 3, bit 3: do not forget the flags when the machine is not started within 60 seconds. A constant;
    // ipmitool has a word for it that it does not accept. Controllers without the parameter keep the flags anyway.
    do {
      try await tool.run("raw", "0x00", "0x08", "0x03", "0x08")
    } catch let error as DriverError where !error.isTransient {}
    var options: [String] = []
    if boot.persistent { options.append("persistent") }
    if isEFI { options.append("efiboot") }
    if options.isEmpty {
      try await tool.run("chassis", "bootdev", boot.device.rawValue)
    } else {
      try await tool.run("chassis", "bootdev", boot.device.rawValue, "options=\(options.joined(separator: ","))")
    }

    // Controllers that cannot report ("Boot Flag Invalid") are believed; one that reports otherwise is not.
    if let after = try await observeBootOverride(), after != wanted {
      throw DriverError(
        .notInForce, device: tool.settings.device,
        detail: "told to boot from \(wanted.words), it reports \(after.words)")
    }
  }

  func supportedBootDevices() async throws -> [BootDevice] { BootDevice.allCases }

  func inventory() async throws -> JSONObject {
    // Device 0 only: without a number ipmitool walks the SDR repository, slow on real controllers.
    let text: String
    do {
      text = try await tool.run("fru", "print", "0")
    } catch let error as DriverError where error.code == .unsupported || error.code == .refused {
      return JSONObject()
    }
    let values = IPMIReply.values(text)
    var system = JSONObject()
    system["vendor"] = (values["Product Manufacturer"] ?? values["Board Mfg"]).map { .string($0) }
    system["product"] = (values["Product Name"] ?? values["Board Product"]).map { .string($0) }
    system["serial"] = (values["Product Serial"] ?? values["Chassis Serial"] ?? values["Board Serial"]).map {
      .string($0)
    }
    return system.isEmpty ? JSONObject() : ["system": .object(system)]
  }

  private func observeBootFlags() async throws -> IPMIReply.BootFlags {
    let text = try await tool.run("chassis", "bootparam", "get", "5")
    guard let flags = IPMIReply.bootFlags(text) else {
      throw DriverError(.badReply, device: tool.settings.device, detail: "its boot flags cannot be read")
    }
    return flags
  }
}

extension BootOverride {
  fileprivate var words: String {
    "\(device.rawValue) (\(mode?.rawValue ?? "any mode"), \(persistent ? "always" : "next boot only"))"
  }
}
