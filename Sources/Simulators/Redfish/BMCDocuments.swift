import Wire

func reference(_ path: String) -> JSON { ["@odata.id": .string(path)] }
let root = "/redfish/v1"
let healthy: JSON = ["State": "Enabled", "Health": "OK", "HealthRollup": "OK"]

/// What GET shows. Schema names and members: DMTF DSP0268 (the schema guide); only members that clients read.
extension SimulatedBMC {
  /// Nil when there is nothing at `path`.
  func document(_ path: String, user: String) async throws -> JSON? {
    let words = path.split(separator: "/").map { String($0) }
    guard words.first == "redfish" else { return nil }
    if words.count == 1 { return ["v1": "/redfish/v1/"] }
    guard words[1] == "v1" else { return nil }
    switch words.count > 2 ? words[2] : "" {
    case "": return serviceRoot()
    case "Systems": return try await systems(Array(words.dropFirst(3)))
    case "Managers": return managers(Array(words.dropFirst(3)))
    case "Chassis": return try await chassis(Array(words.dropFirst(3)))
    case "SessionService": return faults.noSessions ? nil : sessionService(Array(words.dropFirst(3)))
    case "UpdateService": return updateService(Array(words.dropFirst(3)))
    case "Registries": return registries(Array(words.dropFirst(3)))
    case "TaskService": return taskService(Array(words.dropFirst(3)))
    case "odata": return resource("odata", type: nil, id: nil, name: nil, ["value": []])
    default: return nil
    }
  }

  /// The members that every resource has, and its own.
  func resource(_ path: String, type: String?, id: String?, name: String?, _ members: JSONObject) -> JSON {
    var object: JSONObject = ["@odata.id": .string(root + (path.isEmpty ? "/" : "/" + path))]
    if let type { object["@odata.type"] = .string("#" + type) }
    if let id { object["Id"] = .string(id) }
    if let name { object["Name"] = .string(name) }
    for member in members { object[member.key] = member.value }
    return .object(object)
  }
  func collection(_ path: String, _ kind: String, _ members: [String]) -> JSON {
    resource(
      path, type: "\(kind)Collection.\(kind)Collection", id: nil, name: "\(kind) Collection",
      [
        "Members@odata.count": .int(members.count),
        "Members": .array(members.map { reference("\(root)/\(path)/\($0)") }),
      ])
  }

  private func serviceRoot() -> JSON {
    var members: JSONObject = [
      "RedfishVersion": "1.15.0", "UUID": .string(configuration.uuid), "Vendor": .string(manufacturer),
      "Product": "Steelyard Redfish simulator", "Systems": reference(root + "/Systems"),
      "Managers": reference(root + "/Managers"), "Chassis": reference(root + "/Chassis"),
      "UpdateService": reference(root + "/UpdateService"), "Registries": reference(root + "/Registries"),
      "Tasks": reference(root + "/TaskService"),
    ]
    if !faults.noSessions {
      members["SessionService"] = reference(root + "/SessionService")
      members["Links"] = ["Sessions": reference(root + "/SessionService/Sessions")]
    }
    return resource("", type: "ServiceRoot.v1_15_0.ServiceRoot", id: "RootService", name: "Root Service", members)
  }
  var manufacturer: String { faults.manufacturer ?? configuration.manufacturer }

  // MARK: Systems

  private func systems(_ words: [String]) async throws -> JSON? {
    if words.isEmpty { return collection("Systems", "ComputerSystem", ["1"]) }
    guard words[0] == "1" else { return nil }
    if words.count == 1 { return try await system() }
    let path = "Systems/" + words.joined(separator: "/")
    let index = words.count > 2 ? Int(words[2]) ?? -1 : -1
    switch (words[1], words.count) {
    case ("EthernetInterfaces", 2):
      return collection(path, "EthernetInterface", configuration.macs.indices.map { String($0 + 1) })
    case ("EthernetInterfaces", 3) where configuration.macs.indices.contains(index - 1):
      return resource(
        path, type: "EthernetInterface.v1_9_0.EthernetInterface", id: words[2], name: "NIC \(index)",
        [
          "MACAddress": .string(configuration.macs[index - 1]),
          "PermanentMACAddress": .string(configuration.macs[index - 1]), "SpeedMbps": 1000, "LinkStatus": "LinkUp",
          "Status": healthy,
        ])
    case ("Processors", 2): return collection(path, "Processor", ["CPU1"])
    case ("Processors", 3) where words[2] == "CPU1":
      return resource(
        path, type: "Processor.v1_17_0.Processor", id: "CPU1", name: "Processor",
        [
          "Socket": "CPU1", "ProcessorType": "CPU", "ProcessorArchitecture": "x86", "InstructionSet": "x86-64",
          "Manufacturer": "QEMU", "Model": .string(configuration.cpuModel), "MaxSpeedMHz": 2000,
          "TotalCores": .int(configuration.cpus), "TotalThreads": .int(configuration.cpus), "Status": healthy,
        ])
    case ("Memory", 2): return collection(path, "Memory", ["DIMM1"])
    case ("Memory", 3) where words[2] == "DIMM1":
      return resource(
        path, type: "Memory.v1_17_0.Memory", id: "DIMM1", name: "DIMM 1",
        ["CapacityMiB": .int(configuration.memoryMiB), "MemoryDeviceType": "DDR4", "Status": healthy])
    case ("SimpleStorage", 2): return collection(path, "SimpleStorage", ["1"])
    case ("SimpleStorage", 3) where words[2] == "1":
      let devices = configuration.disks.map { disk -> JSON in
        ["Name": .string(disk.name), "CapacityBytes": .int(disk.bytes), "Status": healthy]
      }
      return resource(
        path, type: "SimpleStorage.v1_3_1.SimpleStorage", id: "1", name: "Simple Storage",
        ["Devices": .array(devices), "Status": healthy])
    case ("Storage", 2): return collection(path, "Storage", ["1"])
    case ("Storage", 3) where words[2] == "1":
      let drives = configuration.disks.indices.map { reference("\(root)/\(path)/Drives/\($0 + 1)") }
      return resource(
        path, type: "Storage.v1_14_0.Storage", id: "1", name: "Storage",
        [
          "Drives": .array(drives), "Drives@odata.count": .int(drives.count),
          "StorageControllers": [["MemberId": "0", "Name": "Controller", "Status": healthy]], "Status": healthy,
        ])
    case ("Storage", 5) where words[2] == "1" && words[3] == "Drives":
      let number = Int(words[4]) ?? 0
      guard configuration.disks.indices.contains(number - 1) else { return nil }
      let disk = configuration.disks[number - 1]
      return resource(
        path, type: "Drive.v1_17_0.Drive", id: words[4], name: disk.name,
        [
          "CapacityBytes": .int(disk.bytes), "SerialNumber": .string(disk.serial), "Model": "Simulated disk",
          "MediaType": "SSD", "Protocol": "NVMe", "Status": healthy,
        ])
    case ("Bios", 2):
      return resource(
        path, type: "Bios.v1_2_0.Bios", id: "Bios", name: "BIOS",
        [
          "Attributes": .object(biosAttributes), "AttributeRegistry": .string(Self.biosRegistry),
          "@Redfish.Settings": [
            "@odata.type": "#Settings.v1_3_5.Settings", "SettingsObject": reference("\(root)/\(path)/Settings"),
          ], "Actions": ["#Bios.ResetBios": ["target": .string("\(root)/\(path)/Actions/Bios.ResetBios")]],
        ])
    case ("Bios", 3) where words[2] == "Settings":
      var attributes = biosAttributes
      for member in pendingBIOS { attributes[member.key] = member.value }
      return resource(
        path, type: "Bios.v1_2_0.Bios", id: "Settings", name: "Pending BIOS settings",
        ["Attributes": .object(attributes)])
    case ("SecureBoot", 2): return faults.noSecureBoot ? nil : secureBootDocument(path)
    case ("VirtualMedia", _): return virtualMedia(path, Array(words.dropFirst(2)))
    default: return nil
    }
  }

  private func system() async throws -> JSON {
    let isOn = try await machine.isOn()
    let boot = try await machine.boot()
    let target = Self.targets.first { $0.0 == boot.device }?.1 ?? "None"
    let bootMembers: JSON = [
      "BootSourceOverrideEnabled": boot.device == .none ? "Disabled" : boot.once ? "Once" : "Continuous",
      "BootSourceOverrideTarget": .string(target),
      "BootSourceOverrideTarget@Redfish.AllowableValues": JSON(Self.targets.map(\.1)),
      "BootSourceOverrideMode": firmware == .uefi ? "UEFI" : "Legacy",
      "BootSourceOverrideMode@Redfish.AllowableValues": faults.oneBootMode ? ["UEFI"] : ["Legacy", "UEFI"],
    ]
    let path = root + "/Systems/1"
    let reset: JSON = [
      "target": .string(path + "/Actions/ComputerSystem.Reset"),
      "ResetType@Redfish.AllowableValues": JSON(Self.resetTypes),
    ]
    let links: JSON = [
      "Chassis": [reference(root + "/Chassis/1")], "ManagedBy": [reference(root + "/Managers/1")],
    ]
    var members: JSONObject = [
      "SystemType": "Physical", "Manufacturer": .string(manufacturer), "Model": .string(configuration.model),
      "SerialNumber": .string(configuration.serial), "UUID": .string(configuration.uuid),
      "BiosVersion": .string(configuration.biosVersion), "PowerState": isOn ? "On" : "Off",
      "IndicatorLED": .string(indicator), "Status": healthy, "Boot": bootMembers,
    ]
    members["ProcessorSummary"] = [
      "Count": 1, "CoreCount": .int(configuration.cpus), "LogicalProcessorCount": .int(configuration.cpus),
      "Model": .string(configuration.cpuModel), "Status": healthy,
    ]
    // Whole gibibytes where possible, as controllers write them.
    let gib = Double(configuration.memoryMiB) / 1024
    members["MemorySummary"] = [
      "TotalSystemMemoryGiB": gib.rounded() == gib ? .int(Int(gib)) : .double(gib), "Status": healthy,
    ]
    members["TrustedModules"] = [["InterfaceType": "TPM2_0", "Status": ["State": "Disabled"]]]
    for name in ["EthernetInterfaces", "Processors", "Memory", "SimpleStorage", "Storage", "Bios", "SecureBoot"] {
      members[name] = reference("\(path)/\(name)")
    }
    if faults.noSecureBoot { members["SecureBoot"] = nil }
    members["VirtualMedia"] = reference(path + "/VirtualMedia")
    members["Links"] = links
    members["Actions"] = ["#ComputerSystem.Reset": reset]
    return resource("Systems/1", type: "ComputerSystem.v1_20_0.ComputerSystem", id: "1", name: name, members)
  }

  private func secureBootDocument(_ path: String) -> JSON {
    resource(
      path, type: "SecureBoot.v1_1_0.SecureBoot", id: "SecureBoot", name: "Secure Boot",
      [
        "SecureBootEnable": .bool(secureBoot), "SecureBootCurrentBoot": isSecurelyBooted ? "Enabled" : "Disabled",
        "SecureBootMode": "UserMode",
        "Actions": [
          "#SecureBoot.ResetKeys": [
            "target": .string("\(root)/\(path)/Actions/SecureBoot.ResetKeys"),
            "ResetKeysType@Redfish.AllowableValues": ["ResetAllKeysToDefault", "DeleteAllKeys", "DeletePK"],
          ]
        ],
      ])
  }

  private func virtualMedia(_ path: String, _ words: [String]) -> JSON? {
    if words.isEmpty { return collection(path, "VirtualMedia", media.keys.sorted()) }
    guard words.count == 1, let medium = media[words[0]] else { return nil }
    let actions = "\(root)/\(path)/Actions/VirtualMedia."
    let imageName = medium.image?.split(separator: "/").last.map { String($0) }
    return resource(
      path, type: "VirtualMedia.v1_6_0.VirtualMedia", id: words[0], name: "Virtual \(words[0])",
      [
        "MediaTypes": words[0] == "Cd" ? ["CD", "DVD"] : ["Floppy", "USBStick"], "Image": JSON(medium.image ?? ""),
        "ImageName": JSON(imageName ?? ""), "ConnectedVia": medium.inserted ? "URI" : "NotConnected",
        "Inserted": .bool(medium.inserted), "WriteProtected": .bool(medium.writeProtected),
        "Actions": [
          "#VirtualMedia.InsertMedia": ["target": .string(actions + "InsertMedia")],
          "#VirtualMedia.EjectMedia": ["target": .string(actions + "EjectMedia")],
        ],
      ])
  }

  // MARK: Managers, chassis

  private func managers(_ words: [String]) -> JSON? {
    if words.isEmpty { return collection("Managers", "Manager", ["1"]) }
    guard words[0] == "1" else { return nil }
    let path = "Managers/" + words.joined(separator: "/")
    if words.count == 1 {
      return resource(
        path, type: "Manager.v1_15_0.Manager", id: "1", name: "Manager",
        [
          "ManagerType": "BMC", "FirmwareVersion": "1.0.0", "Model": "Steelyard Redfish simulator",
          "UUID": .string(configuration.uuid), "PowerState": "On", "Status": healthy,
          "EthernetInterfaces": reference(root + "/Managers/1/EthernetInterfaces"),
          "VirtualMedia": reference(root + "/Managers/1/VirtualMedia"),
          "Links": [
            "ManagerForServers": [reference(root + "/Systems/1")],
            "ManagerForChassis": [reference(root + "/Chassis/1")],
          ],
          "Actions": [
            "#Manager.Reset": [
              "target": .string(root + "/Managers/1/Actions/Manager.Reset"),
              "ResetType@Redfish.AllowableValues": ["GracefulRestart", "ForceRestart"],
            ]
          ],
        ])
    }
    switch (words[1], words.count) {
    case ("EthernetInterfaces", 2): return collection(path, "EthernetInterface", ["1"])
    case ("EthernetInterfaces", 3) where words[2] == "1":
      return resource(
        path, type: "EthernetInterface.v1_9_0.EthernetInterface", id: "1", name: "Manager NIC",
        [
          "MACAddress": "52:54:00:5e:ff:01", "PermanentMACAddress": "52:54:00:5e:ff:01", "SpeedMbps": 100,
          "IPv4Addresses": [["Address": .string(configuration.host)]], "Status": healthy,
        ])
    case ("VirtualMedia", _): return virtualMedia(path, Array(words.dropFirst(2)))
    default: return nil
    }
  }

  // MARK: Services

  private func sessionService(_ words: [String]) -> JSON? {
    if words.isEmpty {
      return resource(
        "SessionService", type: "SessionService.v1_1_8.SessionService", id: "SessionService", name: "Session Service",
        [
          "ServiceEnabled": true, "SessionTimeout": 600, "Status": healthy,
          "Sessions": reference(root + "/SessionService/Sessions"),
        ])
    }
    guard words[0] == "Sessions" else { return nil }
    if words.count == 1 { return collection("SessionService/Sessions", "Session", sessions.map(\.id)) }
    guard words.count == 2 else { return nil }
    return sessions.first { $0.id == words[1] }.map { sessionDocument($0) }
  }
  func sessionDocument(_ session: Session) -> JSON {
    resource(
      "SessionService/Sessions/\(session.id)", type: "Session.v1_5_0.Session", id: session.id, name: "User Session",
      ["UserName": .string(session.user)])
  }

  private func updateService(_ words: [String]) -> JSON? {
    switch words.first {
    case nil:
      return resource(
        "UpdateService", type: "UpdateService.v1_11_1.UpdateService", id: "UpdateService", name: "Update Service",
        [
          "ServiceEnabled": true, "Status": healthy,
          "FirmwareInventory": reference(root + "/UpdateService/FirmwareInventory"),
          "Actions": [
            "#UpdateService.SimpleUpdate": [
              "target": .string(root + "/UpdateService/Actions/UpdateService.SimpleUpdate"),
              "TransferProtocol@Redfish.AllowableValues": ["HTTP", "HTTPS"],
            ]
          ],
        ])
    case "FirmwareInventory" where words.count == 1:
      return collection("UpdateService/FirmwareInventory", "SoftwareInventory", ["BMC", "BIOS"])
    case "FirmwareInventory" where words.count == 2 && ["BMC", "BIOS"].contains(words[1]):
      return resource(
        "UpdateService/FirmwareInventory/\(words[1])", type: "SoftwareInventory.v1_8_0.SoftwareInventory",
        id: words[1], name: words[1],
        ["Version": .string(words[1] == "BMC" ? "1.0.0" : configuration.biosVersion), "Updateable": true])
    default: return nil
    }
  }

  private static let biosRegistry = "SimulatedBios.v1_0_0"

  private func registries(_ words: [String]) -> JSON? {
    if words.isEmpty { return collection("Registries", "MessageRegistryFile", [Self.biosRegistry]) }
    let path = "Registries/" + words.joined(separator: "/")
    guard words[0] == Self.biosRegistry else { return nil }
    if words.count == 1 {
      return resource(
        path, type: "MessageRegistryFile.v1_1_0.MessageRegistryFile", id: words[0], name: "BIOS attributes",
        [
          "Languages": ["de", "en"], "Registry": .string(words[0]),
          "Location": [
            ["Language": "de", "Uri": .string("\(root)/\(path)/de")],
            ["Language": "en", "Uri": .string("\(root)/\(path)/en")],
          ],
        ])
    }
    guard words.count == 2, words[1] == "en" else { return nil }
    func attribute(_ name: String, _ type: String, _ more: JSONObject) -> JSON {
      var entry: JSONObject = [
        "AttributeName": .string(name), "Type": .string(type), "ReadOnly": false, "ResetRequired": true,
      ]
      for member in more { entry[member.key] = member.value }
      return .object(entry)
    }
    func choice(_ values: String...) -> JSONObject { ["Value": .array(values.map { ["ValueName": .string($0)] })] }
    return resource(
      path, type: "AttributeRegistry.v1_3_6.AttributeRegistry", id: "en", name: "BIOS attributes",
      [
        "RegistryEntries": [
          "Attributes": [
            attribute("AdminPassword", "Password", ["MinLength": 8, "MaxLength": 32]),
            attribute("BootMode", "Enumeration", choice("Uefi", "Legacy")),
            attribute("NumLock", "Enumeration", choice("On", "Off")),
            attribute("PostDelay", "Integer", ["LowerBound": 0, "UpperBound": 60]),
            attribute("ProcTurboMode", "Enumeration", choice("Enabled", "Disabled")),
            attribute("QuietBoot", "Boolean", [:]),
          ]
        ]
      ])
  }

  private func taskService(_ words: [String]) -> JSON? {
    switch (words.first, words.count) {
    case (nil, _):
      return resource(
        "TaskService", type: "TaskService.v1_2_0.TaskService", id: "TaskService", name: "Task Service",
        ["ServiceEnabled": true, "Tasks": reference(root + "/TaskService/Tasks"), "Status": healthy])
    case ("Tasks", 1): return collection("TaskService/Tasks", "Task", tasks.indices.map { String($0) })
    case ("Tasks", 2):
      guard let number = Int(words[1]), tasks.indices.contains(number) else { return nil }
      return taskDocument(number)
    default: return nil
    }
  }
  func taskDocument(_ number: Int) -> JSON {
    let task = tasks[number]
    return resource(
      "TaskService/Tasks/\(number)", type: "Task.v1_7_1.Task", id: String(number), name: "Task \(number)",
      [
        "TaskState": .string(task.state), "TaskStatus": task.state == "Exception" ? "Critical" : "OK",
        "Messages": [["MessageId": "Base.1.18.Success", "Message": .string(task.message)]],
        "TaskMonitor": .string("\(root)/TaskService/TaskMonitors/\(number)"),
      ])
  }
  /// DSP0266 1.15, 12.2: the monitor answers 202 until the task is over, then as the request would have.
  func taskMonitor(_ path: String) -> RedfishAnswer? {
    let prefix = root + "/TaskService/TaskMonitors/"
    guard path.hasPrefix(prefix), let number = Int(path.dropFirst(prefix.count)), tasks.indices.contains(number) else {
      return nil
    }
    switch tasks[number].state {
    case "Running":
      return RedfishAnswer(
        status: 202, headers: [("Location", path), ("Retry-After", "1")], body: taskDocument(number))
    case "Completed": return .done
    default: return .error(500, "InternalError", tasks[number].message)
    }
  }
}
