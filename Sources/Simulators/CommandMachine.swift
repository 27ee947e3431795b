import Processes

/// A machine behind a machine control command (docs/lab.md): `COMMAND… get power` and so on, one process per verb.
public struct CommandMachine: SimulatedMachine {
  /// The program and its first arguments.
  private let command: [String]

  /// - Throws: ``MachineError`` for an empty command.
  public init(_ command: [String]) throws {
    if command.isEmpty { throw MachineError("the machine control command is empty") }
    self.command = command
  }

  private func call(_ arguments: String...) async throws -> [Substring] {
    let result: CommandResult
    do {
      result = try await run(command[0], Array(command.dropFirst()) + arguments, timeout: .seconds(30))
    } catch { throw MachineError("\(error)") }
    guard result.status == 0 else {
      throw MachineError("the machine control command failed (\(result.status)): \(result.lastErrorLine)")
    }
    return result.text.split(whereSeparator: \.isWhitespace)
  }

  public func isOn() async throws -> Bool {
    let words = try await call("get", "power")
    switch words.first {
    case "on": return true
    case "off": return false
    default: throw MachineError("get power answered \"\(words.joined(separator: " "))\"")
    }
  }
  public func setPower(on: Bool) async throws { _ = try await call("set", "power", on ? "on" : "off") }
  public func shutDown() async throws { _ = try await call("shutdown") }
  public func boot() async throws -> MachineBoot {
    let words = try await call("get", "boot")
    guard let device = words.first.flatMap({ MachineBoot.Device(rawValue: String($0)) }) else {
      throw MachineError("get boot answered \"\(words.joined(separator: " "))\"")
    }
    return MachineBoot(device, once: device != .none && words.last == "once")
  }
  public func setBoot(_ boot: MachineBoot) async throws {
    _ = try await call("set", "boot", boot.device.rawValue, boot.once ? "once" : "continuous")
  }
  public func setFirmware(_ firmware: MachineFirmware) async throws {
    _ = try await call("set", "mode", firmware.rawValue)
  }
}
