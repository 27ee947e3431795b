import Wire

/// A size of machine that servers are asked for by. Source: Nova API v2.1, "Flavors".
///
/// A machine is given whole, so the numbers are the least that it must have, and ``extraSpecs`` say which machines: the
/// resource class (`resources:CUSTOM_GOLD=1`) and traits (`trait:CUSTOM_GPU=required`).
public struct Flavor: Sendable, Equatable {
  /// A UUID, or what the administrator chose.
  public var id: String
  /// Unique in the site.
  public var name: String
  /// MiB.
  public var memory: Int
  public var vcpus: Int
  /// GiB.
  public var disk: Int
  /// GiB.
  public var ephemeral: Int
  /// MiB.
  public var swap: Int
  public var rxtxFactor: Double
  public var isPublic: Bool
  public var description: String?
  /// Texts by their names.
  public var extraSpecs: JSONObject
  /// Projects that may use one that is not public.
  public var projectIDs: [String]
  public var createdAt: Timestamp
  public var updatedAt: Timestamp?

  public init(id: String = Identifier.uuid(), name: String, memory: Int, vcpus: Int, disk: Int, createdAt: Timestamp) {
    self.id = id
    self.name = name
    self.memory = memory
    self.vcpus = vcpus
    self.disk = disk
    self.createdAt = createdAt
    ephemeral = 0
    swap = 0
    rxtxFactor = 1
    isPublic = true
    extraSpecs = [:]
    projectIDs = []
  }

  /// What a server keeps of its flavor, whatever becomes of that: the members of `flavor` from 2.47 on, and `id`.
  public var snapshot: JSONObject {
    [
      "id": .string(id), "original_name": .string(name), "ram": .int(memory), "vcpus": .int(vcpus), "disk": .int(disk),
      "ephemeral": .int(ephemeral), "swap": .int(swap), "extra_specs": .object(extraSpecs),
    ]
  }

  /// What the extra specs ask of a machine.
  public var demands: MachineDemands {
    var demands = MachineDemands()
    demands.memory = memory
    demands.vcpus = vcpus
    demands.disk = disk
    for spec in extraSpecs {
      let value = spec.value.string ?? ""
      if spec.key.hasPrefix("resources:") {
        let name = String(spec.key.dropFirst("resources:".count))
        switch name {
        // Nova's way to say that the numbers are not to be counted.
        case "VCPU": demands.vcpus = Int(value) ?? demands.vcpus
        case "MEMORY_MB": demands.memory = Int(value) ?? demands.memory
        case "DISK_GB": demands.disk = Int(value) ?? demands.disk
        default: if name.hasPrefix("CUSTOM_"), value != "0" { demands.resourceClasses.append(name) }
        }
      } else if spec.key.hasPrefix("trait:") {
        let trait = String(spec.key.dropFirst("trait:".count))
        if value == "required" { demands.required.append(trait) }
        if value == "forbidden" { demands.forbidden.append(trait) }
      }
    }
    return demands
  }
}

/// What a server asks of a machine.
public struct MachineDemands: Sendable, Equatable {
  /// As Placement spells them: `CUSTOM_BAREMETAL_GOLD`.
  public var resourceClasses: [String] = []
  public var required: [String] = []
  public var forbidden: [String] = []
  /// MiB; 0 does not matter, as with the following.
  public var memory = 0
  public var vcpus = 0
  /// GiB.
  public var disk = 0
  /// NICs that networks go to.
  public var ports = 0
  /// The node of `--availability-zone zone::node`, by name or UUID.
  public var node: String?
  /// Until when the project must have the machine (a lease may end before).
  public var until: Timestamp?
  /// Members of the same server group stand on these chassis: other ones are taken first, or only, if `isStrict`.
  public var chassisInUse: Set<String> = []
  public var isSpreadStrict = false

  public init() {}

  /// A resource class as Placement spells it: upper case, what is no letter or digit an underscore. Source: Ironic, "Scheduling
  /// based on resource classes".
  public static func placementName(_ resourceClass: String) -> String {
    "CUSTOM_"
      + String(
        resourceClass.uppercased().map { character in
          character.isASCII && (character.isLetter || character.isNumber) ? character : "_"
        })
  }
}
