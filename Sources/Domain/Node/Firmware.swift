import Wire

/// One setting of a machine's BIOS. Source: Ironic API reference v1, "Node Bios"; DMTF DSP0268, "AttributeRegistry".
public struct BIOSSetting: Sendable, Equatable {
  public var name: String
  /// As text, whatever it is to the controller: "Enabled", "4", "True". Nil when there is none, or it is a password.
  public var value: String?
  /// What it may be; all nil where the controller does not tell.
  public var details = Details()

  public struct Details: Sendable, Equatable {
    /// "Enumeration", "String", "Integer", "Boolean", "Password".
    public var type: String?
    public var allowed: [String]?
    public var lowerBound: Int?
    public var upperBound: Int?
    public var minLength: Int?
    public var maxLength: Int?
    public var isReadOnly: Bool?
    public var needsReset: Bool?
    /// Means something in this one machine only, such as an asset tag.
    public var isUnique: Bool?
    public init() {}
  }
  public init(_ name: String, _ value: String?, _ details: Details = Details()) {
    self.name = name
    self.value = value
    self.details = details
  }

  /// What somebody wants a setting to be.
  public struct Choice: Sendable, Equatable {
    public var name: String
    public var value: String
    public init(_ name: String, _ value: String) {
      self.name = name
      self.value = value
    }
  }
  /// How many may be chosen at once.
  public static let mostChoices = 500

  /// Reads `[{"name", "value"}]`, 1 to ``mostChoices`` of them; nil for anything else. Numbers and flags become text.
  public static func choices(_ json: JSON?) -> [Choice]? {
    guard let items = json?.array, (1...mostChoices).contains(items.count) else { return nil }
    var choices: [Choice] = []
    for item in items {
      guard let object = item.object, object.keys.allSatisfy({ $0 == "name" || $0 == "value" }),
        let name = object["name"]?.string, (1...255).contains(name.utf8.count), let value = text(object["value"]),
        value.utf8.count <= 4096
      else { return nil }
      choices.append(Choice(name, value))
    }
    return choices
  }
  /// A controller's value in the API's words; nil for none, and for what is no value.
  public static func text(_ json: JSON?) -> String? {
    switch json {
    case .string(let text)?: text
    case .int(let number)?: String(number)
    case .double(let number)?: String(number)
    case .bool(let flag)?: flag ? "True" : "False"
    default: nil
    }
  }
}

/// A part of a machine that has firmware. Source: Ironic API reference v1, "Node Firmware".
public struct FirmwareComponent: Sendable, Equatable {
  /// "bios", "bmc".
  public var name: String
  public var version: String
  public init(_ name: String, _ version: String) {
    self.name = name
    self.version = version
  }
}
