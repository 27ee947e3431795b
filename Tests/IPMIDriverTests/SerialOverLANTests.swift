import DriverInterfaces
import Glibc
import IPMIDriver
import Processes
import Synchronization
import Testing

/// What a console has printed so far, and how it ended.
final class Transcript: Sendable {
  private let state = Mutex<(bytes: [UInt8], error: DriverError?, isOver: Bool)>(([], nil, false))
  var text: String { state.withLock { String(decoding: $0.bytes, as: UTF8.self) } }
  var error: DriverError? { state.withLock { $0.error } }
  var isOver: Bool { state.withLock { $0.isOver } }

  func follow(_ console: any ConsoleInterface) async {
    do {
      for try await bytes in console.open() { state.withLock { $0.bytes += bytes } }
    } catch {
      state.withLock { $0.error = error as? DriverError }
    }
    state.withLock { $0.isOver = true }
  }
}

@Suite struct SerialOverLANTests {
  private func console(_ controller: SimulatedController, password: String = "password") throws -> any ConsoleInterface
  {
    let driver = try IPMIHardwareType(limits: quick).driver(
      node: "n", driverInfo: info(controller, ["ipmi_password": .string(password)]))
    return try #require(driver.console)
  }

  @Test func whatTheMachinePrintsArrivesAndNothingIsTyped() async throws {
    let controller = try await SimulatedController.start()
    let serial = controller.serial
    let transcript = Transcript()
    let console = try console(controller)
    let following = Task { await transcript.follow(console) }

    try await until { serial.isOpen }
    try await until {
      serial.send("Booting\r\n\u{1b}[1m<b>Grüße\r\n")
      return transcript.text.contains("\u{1b}[1m<b>Grüße\r\n")
    }
    #expect(!transcript.text.contains("SOL Session"), "ipmitool's words are not the machine's")
    #expect(!commandLines().contains { $0.contains("sol activate") && $0.contains(" password") })
    #expect(serial.received.filter { $0 != 0 }.isEmpty, "a console types nothing: \(serial.received)")

    let started = ContinuousClock.now
    following.cancel()
    await following.value
    #expect(ContinuousClock.now - started < .seconds(3))
    try await until { !commandLines().contains { $0.contains("sol activate") && $0.contains("\(controller.port)") } }
    try await controller.remove()
  }

  @Test func aSessionThatSomebodyHoldsIsTakenOver() async throws {
    let controller = try await SimulatedController.start()
    let serial = controller.serial
    let first = Transcript()
    let second = Transcript()
    let console = try console(controller)
    let firstTask = Task { await first.follow(console) }
    try await until {
      serial.send("one\r\n")
      return first.text.contains("one")
    }

    let secondTask = Task { await second.follow(console) }
    try await until {
      serial.send("two\r\n")
      return second.text.contains("two")
    }
    firstTask.cancel()
    secondTask.cancel()
    await firstTask.value
    await secondTask.value
    try await controller.remove()
  }

  /// Slow: ipmitool notices after its keepalive of 15 s.
  @Test func aControllerThatLosesPowerEndsTheSession() async throws {
    let controller = try await SimulatedController.start()
    let serial = controller.serial
    let transcript = Transcript()
    let console = try console(controller)
    let following = Task { await transcript.follow(console) }
    try await until {
      serial.send("one\r\n")
      return transcript.text.contains("one")
    }

    try await controller.unplug()
    try await until(.seconds(60)) { transcript.isOver }
    #expect(transcript.error?.isTransient == true)

    // And the server's next try finds it back.
    try await controller.run()
    let again = Transcript()
    let reopened = Task { await again.follow(console) }
    try await until {
      serial.send("back\r\n")
      return again.text.contains("back")
    }
    reopened.cancel()
    await reopened.value
    await following.value
    try await controller.remove()
  }

  @Test func wrongPasswordAndSilenceAreErrorsInWords() async throws {
    let controller = try await SimulatedController.start()
    let refused = Transcript()
    await refused.follow(try console(controller, password: "wrong"))
    #expect(refused.error?.code == .refused && refused.error?.detail.contains("ipmi_password") == true)

    try await controller.unplug()
    let silent = Transcript()
    await silent.follow(try console(controller))
    #expect(silent.error?.code == .unreachable)
    try await controller.remove()
  }
}
