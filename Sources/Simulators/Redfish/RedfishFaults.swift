import Wire

/// How a simulated controller misbehaves. All off by default; set through the faults endpoint as a JSON object with
/// the members named here.
public struct RedfishFaults: Sendable, Equatable {
  /// `refuse_credentials`: every log-in and every request with credentials is answered 401.
  public var refuseCredentials = false
  /// `stall_seconds`: every answer comes this late.
  public var stallSeconds = 0.0
  /// `unavailable`: so many requests are answered 503 with `Retry-After: 1`.
  public var unavailable = 0
  /// `drop_after_obeying`: so many changes are made and the connection is cut without an answer.
  public var dropAfterObeying = 0
  /// `lie`: changes answer success and do nothing.
  public var lie = false
  /// `settle_seconds`: changes answer success and take effect this late.
  public var settleSeconds = 0.0
  /// `tasks`: changes answer 202 with a task, which takes `settle_seconds`.
  public var tasks = false
  /// `require_etag`: PATCH without `If-Match` is answered 428.
  public var requireETag = false
  /// `ignore_shutdown`: GracefulShutdown answers success and the operating system stays up.
  public var ignoreShutdown = false
  /// `garbage`: answers are not JSON.
  public var garbage = false
  /// `huge`: answers have this many bytes of padding.
  public var huge = 0
  /// `redirect`: every request is answered 307 to this URL.
  public var redirect: String?
  /// `no_sessions`: no SessionService; Basic only.
  public var noSessions = false
  /// `no_continuous`: a Continuous boot override is refused.
  public var noContinuous = false
  /// `no_secure_boot`: there is no SecureBoot resource.
  public var noSecureBoot = false
  /// `one_boot_mode`: only UEFI is offered.
  public var oneBootMode = false
  /// `no_thermal`: the chassis has a collection of sensors in the place of Thermal and Power.
  public var noThermal = false
  /// `manufacturer`: the vendor that the system names.
  public var manufacturer: String?

  public init() {}

  /// - Throws: ``MachineError`` naming a member that is unknown or of the wrong type.
  public init(_ json: JSON) throws {
    guard let object = json.object else { throw MachineError("faults are a JSON object") }
    func flag(_ value: JSON) throws -> Bool {
      guard let flag = value.bool else { throw MachineError("expected true or false") }
      return flag
    }
    func count(_ value: JSON) throws -> Int {
      guard let count = value.int, count >= 0 else { throw MachineError("expected a count") }
      return count
    }
    func seconds(_ value: JSON) throws -> Double {
      switch value {
      case .int(let whole) where whole >= 0: Double(whole)
      case .double(let seconds) where seconds >= 0: seconds
      default: throw MachineError("expected seconds")
      }
    }
    for member in object {
      do {
        switch member.key {
        case "refuse_credentials": refuseCredentials = try flag(member.value)
        case "stall_seconds": stallSeconds = try seconds(member.value)
        case "unavailable": unavailable = try count(member.value)
        case "drop_after_obeying": dropAfterObeying = try count(member.value)
        case "lie": lie = try flag(member.value)
        case "settle_seconds": settleSeconds = try seconds(member.value)
        case "tasks": tasks = try flag(member.value)
        case "require_etag": requireETag = try flag(member.value)
        case "ignore_shutdown": ignoreShutdown = try flag(member.value)
        case "garbage": garbage = try flag(member.value)
        case "huge": huge = try count(member.value)
        case "redirect": redirect = member.value.string
        case "no_sessions": noSessions = try flag(member.value)
        case "no_continuous": noContinuous = try flag(member.value)
        case "no_secure_boot": noSecureBoot = try flag(member.value)
        case "one_boot_mode": oneBootMode = try flag(member.value)
        case "no_thermal": noThermal = try flag(member.value)
        case "manufacturer": manufacturer = member.value.string
        default: throw MachineError("unknown fault")
        }
      } catch { throw MachineError("\(member.key): \(error)") }
    }
  }

  var json: JSON {
    var object: JSONObject = [
      "refuse_credentials": .bool(refuseCredentials), "stall_seconds": .double(stallSeconds),
      "unavailable": .int(unavailable), "drop_after_obeying": .int(dropAfterObeying), "lie": .bool(lie),
      "settle_seconds": .double(settleSeconds), "tasks": .bool(tasks),
    ]
    object["require_etag"] = .bool(requireETag)
    object["ignore_shutdown"] = .bool(ignoreShutdown)
    object["garbage"] = .bool(garbage)
    object["huge"] = .int(huge)
    object["redirect"] = JSON(redirect)
    object["no_sessions"] = .bool(noSessions)
    object["no_continuous"] = .bool(noContinuous)
    object["no_secure_boot"] = .bool(noSecureBoot)
    object["one_boot_mode"] = .bool(oneBootMode)
    object["no_thermal"] = .bool(noThermal)
    object["manufacturer"] = JSON(manufacturer)
    return .object(object)
  }
}
