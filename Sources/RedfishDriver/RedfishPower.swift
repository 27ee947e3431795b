import Domain
import DriverInterfaces
import Wire

extension RedfishNode: PowerInterface {
  func observePower() async throws -> Power {
    switch try await connection.system()["PowerState"]?.string {
    case "On", "PoweringOff", "Paused": return .on
    case "Off", "PoweringOn": return .off
    default: throw failure(.busy, "it does not say now whether the machine is on.")
    }
  }

  func ensurePower(_ power: Power, graceful: Bool, patience: Duration) async throws {
    let start = ContinuousClock.now
    let end = start + patience
    var mayForce = power == .on || !graceful
    let (goal, opposite) = power == .on ? ("On", "Off") : ("Off", "On")
    var system = try await connection.system()
    var asked: String?
    var silence: DriverError?
    var pause = Pause()
    while true {
      let state = system["PowerState"]?.string
      if state == goal { return }
      if !mayForce && ContinuousClock.now >= start + patience / 2 { mayForce = true }
      if state == opposite || (mayForce && power == .off) {
        let type = resetType(power, force: mayForce, system)
        guard let type else {
          throw failure(.unsupported, "it offers no way to turn the machine \(power == .on ? "on" : "off").")
        }
        if asked != type {
          do {
            try await reset(type, system)
            asked = type
            pause = Pause()
          } catch let error as DriverError where error.isTransient {
            // It may have obeyed: look again first. Only On, ForceOn and ForceOff do no harm when asked twice.
            silence = error
            if error.code == .unreachable && ["PushPowerButton", "GracefulShutdown"].contains(type) { asked = type }
          } catch is DriverError where type == "GracefulShutdown" {
            mayForce = true
            continue
          }
        }
      }
      guard ContinuousClock.now < end else {
        if asked == nil, let silence { throw silence }
        throw failure(
          .notInForce,
          "it accepted \(asked ?? "nothing") and still reports \(state ?? "no power state") after"
            + " \(Int(patience.inSeconds)) s; look at the machine's console and the controller's own log.")
      }
      try await pause.sleep(until: mayForce ? end : start + patience / 2)
      do {
        system = try await connection.system()
      } catch let error as DriverError where error.isTransient && ContinuousClock.now < end {
        silence = error
      }
    }
  }

  /// What to ask for, of what the controller offers; nil when it offers nothing of use.
  private func resetType(_ power: Power, force: Bool, _ system: RedfishReply) -> String? {
    let offered = resetTypes(of: system)
    let wanted =
      switch (power, force) {
      case (.on, _): ["On", "ForceOn", "PushPowerButton"]
      case (.off, false): ["GracefulShutdown", "ForceOff", "PushPowerButton"]
      case (.off, true): ["ForceOff", "PushPowerButton"]
      }
    guard let offered, !offered.isEmpty else { return wanted[0] }
    return wanted.first { offered.contains($0) }
  }

  /// What the controller says it can be asked for; nil when it does not say.
  func resetTypes(of system: RedfishReply) -> [String]? {
    system["Actions"]?["#ComputerSystem.Reset"]?["ResetType@Redfish.AllowableValues"]?.array?.compactMap(\.string)
  }

  func reset(_ type: String, _ system: RedfishReply) async throws {
    let path = try await connection.systemPath()
    let target = system["Actions"]?["#ComputerSystem.Reset"]?["target"]?.string.flatMap { connection.localPath($0) }
    _ = try await connection.send(
      "POST", target ?? path + "/Actions/ComputerSystem.Reset", ["ResetType": .string(type)],
      "reset the machine (\(type))")
  }
}

/// Source: DMTF DSP0268, "ResetType", GracefulShutdown and PushPowerButton.
extension RedfishNode: PowerButtonInterface {
  func pressPowerButton() async throws {
    let system = try await connection.system()
    let types = ["GracefulShutdown", "PushPowerButton"]
    guard let type = types.first(where: { resetTypes(of: system)?.contains($0) ?? true }) else {
      throw failure(.unsupported, "it offers no way to press the power button.")
    }
    try await reset(type, system)
  }
}
