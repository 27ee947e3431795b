import Conductor
import DriverInterfaces
import IPMIDriver
import Logging
import Processes
import Testing
import Wire

/// The whole way: serial port, controller, session, log and the TCP port that `esi node console connect` opens.
@Suite struct ConsolesOverIPMITests {
  @Test func whatASerialPortPrintsIsReadBySocatAndNothingComesBack() async throws {
    let controller = try await SimulatedController.start()
    let node = Identifier.uuid()
    var settings = ConsoleSettings(folder: controller.folder + "/consoles")
    let first = Int.random(in: 310...320) * 100
    settings.ports = first...(first + 99)
    let consoles = try Consoles(settings: settings, logger: Logger(label: "test"))
    let driver = try IPMIHardwareType(limits: quick).driver(node: node, driverInfo: info(controller))

    await consoles.start(node: node, driver: driver)
    try await until {
      controller.serial.send("Debian GNU/Linux 12 ttyS0\r\n")
      return await !consoles.text(node: node, since: .oldest).isEmpty
    }
    let url = try await consoles.openPort(node: node)
    let port = String(url.split(separator: ":").last ?? "")
    let result = try await run("sh", ["-c", "{ echo typed; sleep 1; } | timeout 5 socat - tcp:127.0.0.1:\(port)"])
    #expect(result.text.contains("Debian GNU/Linux 12 ttyS0\r\n"), "\(result)")
    #expect(controller.serial.received.filter { $0 != 0 }.isEmpty, "\(controller.serial.received)")

    await consoles.stop(node: node)
    try await until { !commandLines().contains { $0.contains("sol activate") && $0.contains("\(controller.port)") } }
    try await controller.remove()
  }
}
