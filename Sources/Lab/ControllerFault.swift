/// How a machine's controller misbehaves, for tests of what the product says to that.
public enum ControllerFault: Sendable {
  /// Not at all.
  case none
  /// Nothing answers at its address.
  case unreachable
  /// It answers, and takes no password that anybody knows.
  case refusesPassword
}

extension Laboratory {
  /// Makes the IPMI controller of a machine misbehave, or well again. The machine goes on as it is.
  ///
  /// Redfish controllers misbehave through their own endpoint, `redfish-faults.sock`.
  /// - Throws: ``Failure`` when there is no such machine or its controller is not IPMI.
  public func setControllerFault(_ fault: ControllerFault, ofMachine index: Int) async throws {
    guard let machine = machines().first(where: { $0.index == index }) else {
      throw Failure("there is no machine \(index) in \(folder)")
    }
    guard machine.controller == .ipmi else {
      throw Failure("the controller of \(machine.name) is Redfish: its faults are set at \(folder)/redfish-faults.sock")
    }
    let simulator = IPMISimulator(self, machine)
    await simulator.stop()
    switch fault {
    case .none: try await simulator.start()
    case .unreachable: break
    case .refusesPassword: try await simulator.start(password: "not-\(Self.controllerPassword)")
    }
  }
}
