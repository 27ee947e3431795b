import Domain
import DriverInterfaces
import Wire

/// Inspection, cleaning and deployment that take as long as they are told to and do nothing else but remember BIOS settings.
struct FakeProvisioning: ProvisioningInterface {
  let conduct: FakeConduct
  let inventory: JSONObject?
  let bios: any BIOSInterface

  func advance(_ work: ProvisioningWork, key: String, elapsed: Duration) async throws -> WorkProgress {
    switch work {
    case .inspect(let properties):
      let found = inventory ?? Self.inventory(properties)
      return try conduct.advance(.inspect, key: key, elapsed: elapsed) ?? .done(["inventory": .object(found)])
    case .erase: return try conduct.advance(.clean, key: key, elapsed: elapsed) ?? .done(["disks": []])
    case .clean(let steps):
      if let going = try conduct.advance(.clean, key: key, elapsed: elapsed, times: steps.count) { return going }
      for step in steps where step.interface == .bios { try await bios.perform(step) }
      return .done(["disks": []])
    case .rescue, .unrescue: return try conduct.advance(.rescue, key: key, elapsed: elapsed) ?? .done([:])
    case .deploy, .capture: return try conduct.advance(.deploy, key: key, elapsed: elapsed) ?? .done([:])
    }
  }

  /// What somebody wrote down of a machine that has nothing itself, in the agent's words.
  private static func inventory(_ properties: JSONObject) -> JSONObject {
    var found: JSONObject = [:]
    found["cpus"] = properties["cpus"]?.lenientInt.map { .int($0) }
    found["memory_mb"] = properties["memory_mb"]?.lenientInt.map { .int($0) }
    found["cpu_arch"] = properties["cpu_arch"]?.string.map { .string($0) }
    if let size = properties["local_gb"]?.lenientInt, (1...1_000_000).contains(size) {
      found["disks"] = [["name": "/dev/sda", "size_bytes": .int(size << 30)]]
    }
    return found
  }
}
