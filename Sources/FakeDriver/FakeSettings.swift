import Domain
import DriverInterfaces
import Wire

/// What can be slow or broken by itself.
enum FakePart: String, CaseIterable, Sendable {
  case power, management, console, inspect, clean, deploy, rescue

  var words: String {
    switch self {
    case .power: "a look at the power or a change of it"
    case .management: "the verification, or a look at the boot device or an indicator or a change of them"
    case .console: "opening the console"
    case .inspect: "an inspection"
    case .clean: "cleaning, each step of a manual one"
    case .deploy: "a deployment"
    case .rescue: "a rescue, or its end"
    }
  }
}

/// How a part fails.
struct FakeFault: Sendable, Equatable {
  enum Kind: String, CaseIterable, Sendable {
    case unreachable, refused, unsupported, busy, misconfigured
    case badReply = "bad-reply"
    case notInForce = "not-in-force"
    /// It obeys, and its answer is lost.
    case lost

    var code: DriverError.Code {
      switch self {
      case .unreachable, .lost: .unreachable
      case .refused: .refused
      case .unsupported: .unsupported
      case .busy: .busy
      case .misconfigured: .misconfigured
      case .badReply: .badReply
      case .notInForce: .notInForce
      }
    }
    static var list: String { allCases.map(\.rawValue).joined(separator: ", ") }
  }
  var kind: Kind
  var words: String
  /// Of all calls, 0 to 1.
  var share: Double
}

/// `driver_info` of a fake, read.
struct FakeSettings: Sendable, Equatable {
  /// Seconds, from and to.
  var delays: [FakePart: ClosedRange<Double>] = [:]
  var faults: [FakePart: FakeFault] = [:]
  /// What an inspection finds; nil is what the node's properties say.
  var inventory: JSONObject?
  var firmware: [FirmwareComponent] = []

  struct Problems: Error, Equatable { var sentences: [String] }
  /// Seconds.
  static let longestDelay = 3600.0

  /// Keys that do not begin with "fake_" are somebody else's and let pass.
  static func read(_ info: JSONObject) -> Result<FakeSettings, Problems> {
    var settings = FakeSettings()
    var problems: [String] = []
    for member in info where member.key.hasPrefix("fake_") && !member.value.isNull && !isKnown(member.key) {
      problems.append("\(member.key) is no key of fake-hardware; `openstack baremetal driver property list` has them.")
    }
    for part in FakePart.allCases {
      if let value = given(info, "fake_\(part.rawValue)_delay") {
        if let delay = delay(value) {
          settings.delays[part] = delay
        } else {
          problems.append(
            "fake_\(part.rawValue)_delay is not a number of seconds from 0 to 3600, or two such numbers \"from,to\".")
        }
      }
      var share = 1.0
      if let value = given(info, "fake_\(part.rawValue)_fault_share") {
        if let number = number(value), (0...1).contains(number) {
          share = number
        } else {
          problems.append("fake_\(part.rawValue)_fault_share is not a number from 0 to 1.")
        }
      }
      if let value = given(info, "fake_\(part.rawValue)_fault") {
        if let fault = fault(value, share) {
          settings.faults[part] = fault
        } else {
          problems.append("fake_\(part.rawValue)_fault does not begin with one of \(FakeFault.Kind.list).")
        }
      }
    }
    if let value = given(info, "fake_inventory") {
      if let inventory = value.object ?? value.string.flatMap({ try? JSON(parsing: $0) })?.object {
        settings.inventory = inventory
      } else {
        problems.append("fake_inventory is not an object.")
      }
    }
    if let value = given(info, "fake_firmware") {
      let versions = value.object ?? value.string.flatMap({ try? JSON(parsing: $0) })?.object
      if let versions, versions.count <= 50, versions.allSatisfy({ isWord($0.key) && isWord($0.value.string) }) {
        settings.firmware = versions.map { FirmwareComponent($0.key, $0.value.string ?? "") }
      } else {
        problems.append(
          "fake_firmware is not an object of up to 50 versions by component, each of 1 to 255 characters.")
      }
    }
    return problems.isEmpty ? .success(settings) : .failure(Problems(sentences: problems))
  }

  private static func isWord(_ text: String?) -> Bool { (1...255).contains(text?.utf8.count ?? 0) }
  private static func isKnown(_ key: String) -> Bool {
    key == "fake_inventory" || key == "fake_firmware"
      || FakePart.allCases.contains { part in
        ["delay", "fault", "fault_share"].contains { key == "fake_\(part.rawValue)_\($0)" }
      }
  }
  private static func given(_ info: JSONObject, _ key: String) -> JSON? {
    guard let value = info[key], !value.isNull, value.string != "" else { return nil }
    return value
  }
  /// A number, or a string that spells one: command lines send both.
  private static func number(_ json: JSON) -> Double? {
    switch json {
    case .int(let number): Double(number)
    case .double(let number): number
    case .string(let text): Double(text)
    default: nil
    }
  }
  private static func delay(_ json: JSON) -> ClosedRange<Double>? {
    if let number = number(json) { return (0...longestDelay).contains(number) ? number...number : nil }
    let parts = (json.string ?? "").split(separator: ",", omittingEmptySubsequences: false)
    let numbers = parts.compactMap { Double($0) }
    guard parts.count == 2, numbers.count == 2, numbers[0] <= numbers[1],
      numbers.allSatisfy({ (0...longestDelay).contains($0) })
    else { return nil }
    return numbers[0]...numbers[1]
  }
  private static func fault(_ json: JSON, _ share: Double) -> FakeFault? {
    guard let text = json.string else { return nil }
    let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    guard let kind = FakeFault.Kind(rawValue: String(parts[0])) else { return nil }
    let words = parts.count > 1 ? parts[1].drop { $0 == " " }.prefix(200) : ""
    return FakeFault(kind: kind, words: words.isEmpty ? "failed on request" : String(words), share: share)
  }
}
