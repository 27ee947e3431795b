import Conductor
import Domain
import DriverInterfaces
import Glibc
import Logging
import Synchronization
import TestSupport
import Testing
import Wire

/// A machine whose console a test writes.
private final class PrintingMachine: ConsoleInterface {
  private let state = Mutex<(opened: Int, current: AsyncThrowingStream<[UInt8], any Error>.Continuation?)>((0, nil))
  var opened: Int { state.withLock { $0.opened } }
  var isOpen: Bool { state.withLock { $0.current != nil } }

  func open() -> AsyncThrowingStream<[UInt8], any Error> {
    AsyncThrowingStream { continuation in
      state.withLock { state in
        state.opened += 1
        state.current = continuation
      }
      continuation.onTermination = { _ in self.state.withLock { $0.current = nil } }
    }
  }
  func print(_ text: String) { _ = state.withLock { $0.current?.yield(Array(text.utf8)) } }
  func drop() {
    state.withLock { $0.current }?.finish(
      throwing: DriverError(.unreachable, device: .controller("10.0.0.1"), detail: "session lost"))
  }
  var driver: NodeDriver { NodeDriver(power: NoHardware(), management: NoHardware(), console: self) }
}

private struct NoHardware: PowerInterface, ManagementInterface {
  let error = DriverError(.unsupported, device: .node("test"), detail: "only a console")
  func observePower() async throws -> Power { throw error }
  func ensurePower(_ power: Power, graceful: Bool, patience: Duration) async throws { throw error }
  func verify() async throws -> JSONObject { throw error }
  func observeBootOverride() async throws -> BootOverride? { throw error }
  func ensureBootOverride(_ boot: BootOverride) async throws { throw error }
  func supportedBootDevices() async throws -> [BootDevice] { throw error }
  func inventory() async throws -> JSONObject { throw error }
}

/// Consoles in a folder of their own, ports from a range of their own.
private struct Bench {
  let node = Identifier.uuid()
  let machine = PrintingMachine()
  var settings: ConsoleSettings
  var consoles: Consoles

  init(fileLimit: Int = 8 << 20, folder: String? = nil) throws {
    var template = Array("/tmp/steelyard-consoles-XXXXXX".utf8CString)
    settings = ConsoleSettings(folder: folder ?? mkdtemp(&template).map { String(cString: $0) } ?? "/tmp")
    settings.fileLimit = fileLimit
    settings.firstPause = .milliseconds(20)
    let first = Int.random(in: 200...300) * 100
    settings.ports = first...(first + 99)
    consoles = try Consoles(settings: settings, logger: Logger(label: "test"))
  }
  func start() async throws {
    await consoles.start(node: node, driver: machine.driver)
    try await until { machine.isOpen }
  }
  func text(_ start: ConsoleStart = .oldest) async -> String {
    String(decoding: await consoles.text(node: node, since: start), as: UTF8.self)
  }
  /// Prints and waits for it to be in the log.
  func print(_ text: String) async throws {
    machine.print(text)
    try await until { await self.text().hasSuffix(text) }
  }
  func end() async {
    await consoles.stop(node: node)
    if let folder = opendir(settings.folder) {
      while let entry = readdir(folder) {
        let name = withUnsafePointer(to: entry.pointee.d_name) {
          $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        unlink("\(settings.folder)/\(name)")
      }
      closedir(folder)
    }
    rmdir(settings.folder)
  }
}

/// A TCP client of a console port.
private final class Client: Sendable {
  private let descriptor: Int32
  private let received = Mutex<[UInt8]>([])

  init?(_ url: String, smallBuffer: Bool = false) {
    guard let port = url.split(separator: ":").last.flatMap({ UInt16($0) }) else { return nil }
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    if smallBuffer {
      var size: Int32 = 4096
      setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, 4)
    }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    let result = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    if result != 0 { return nil }
  }
  deinit { close(descriptor) }

  func send(_ text: String) { _ = Glibc.send(descriptor, text, text.utf8.count, Int32(MSG_NOSIGNAL)) }
  /// Takes what is there; false when the connection is over.
  @discardableResult
  func receive() -> Bool {
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = recv(descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
      if count > 0 { received.withLock { $0 += buffer[..<count] } } else { return count < 0 && errno == EAGAIN }
    }
  }
  var text: String {
    receive()
    return received.withLock { String(decoding: $0, as: UTF8.self) }
  }
}

private func until(_ condition: () async throws -> Bool) async throws {
  let deadline = ContinuousClock.now + .seconds(10)
  while try await !condition() {
    guard ContinuousClock.now < deadline else {
      Issue.record("waited 10 s in vain")
      throw CancellationError()
    }
    try await Task.sleep(for: .milliseconds(5))
  }
}

@Suite struct ConsolesTests {
  @Test func everythingIsLoggedByteForByteAndReadableByTheServerOnly() async throws {
    let bench = try Bench()
    try await bench.start()
    try await bench.print("\u{1b}[1m<script>\0ü\r\n")

    #expect(await bench.text() == "\u{1b}[1m<script>\0ü\r\n")
    var information = stat()
    #expect(stat("\(bench.settings.folder)/\(bench.node).log", &information) == 0)
    #expect(information.st_mode & 0o777 == 0o600)
    await bench.end()
    #expect(!bench.machine.isOpen)
  }

  @Test func sincePowerOnBeginsAtTheMarkAlsoAfterARestart() async throws {
    var bench = try Bench()
    try await bench.start()
    try await bench.print("the tenant before\n")
    await bench.consoles.markPowerOn(node: bench.node)
    try await bench.print("POST\n")

    #expect(await bench.text(.powerOn) == "POST\n")
    await bench.consoles.stop(node: bench.node)
    bench.consoles = try Consoles(settings: bench.settings, logger: Logger(label: "test"))
    #expect(await bench.text(.powerOn) == "POST\n")
    #expect(await bench.text(.oldest) == "the tenant before\nPOST\n")
    await bench.end()
  }

  @Test func theLogRotatesAndReadersPassTheSeam() async throws {
    var bench = try Bench(fileLimit: 1000)
    try await bench.start()
    await bench.consoles.markPowerOn(node: bench.node)
    let reader = bench.consoles.follow(node: bench.node, since: .oldest)
    var expected = ""
    for number in 0..<30 {
      let line = "line \(number) \(String(repeating: "x", count: 50))\n"
      expected += line
      try await bench.print(line)
    }

    // 30 lines of about 58 bytes: 17 in the file before, 13 in the current one.
    #expect(await bench.text() == expected)
    #expect(await bench.text(.powerOn) == expected)
    var followed = ""
    for await bytes in reader {
      followed += String(decoding: bytes, as: UTF8.self)
      if followed.utf8.count >= expected.utf8.count { break }
    }
    #expect(followed == expected)

    // Once the mark is rotated away, what is left is all since power-on; also after a restart.
    for number in 30..<60 { try await bench.print("line \(number) \(String(repeating: "y", count: 50))\n") }
    let text = await bench.text()
    #expect(text.hasSuffix("y\n") && !text.contains("line 0 ") && text.utf8.count <= 2000)
    await bench.consoles.stop(node: bench.node)
    bench.consoles = try Consoles(settings: bench.settings, logger: Logger(label: "test"))
    #expect(await bench.text(.powerOn) == text)
    await bench.end()
  }

  @Test(.enabled(if: geteuid() == 0, "a small disk needs root")) func aFullDiskLosesOutputAndSaysWhere() async throws {
    try await SmallDisk.with(megabytes: 1) { disk in
      let said = Complaints()
      var bench = try Bench(folder: disk.path + "/consoles")
      bench.consoles = try Consoles(settings: bench.settings, logger: said.logger)
      try await bench.start()
      try await bench.print("before")
      try disk.fill()
      // More than is left in the last block of the file.
      bench.machine.print(String(repeating: "lost ", count: 2000))
      try await until { !said.all.isEmpty }
      #expect(bench.machine.isOpen, "the session goes on: the machine's console must not be taken by another")

      disk.free()
      try await bench.print("after")

      #expect(await bench.text().hasPrefix("before"))
      let ending = String(await bench.text().suffix(150))
      #expect(
        ending.hasSuffix(
          "\r\n[steelyard: output is missing here; the server could not write it (see its log)]\r\nafter"))
      // Once for the whole time, with what to do.
      #expect(said.all.count == 1)
      #expect(said.all.first?.contains("No space left on device; free space on the server's disk") == true)
      try await bench.print("!")
      #expect(await bench.text().hasSuffix("after!"))
      await bench.end()
    }
  }

  @Test func aLostSessionIsOpenedAgainAndItsReasonKnown() async throws {
    let bench = try Bench()
    try await bench.start()
    try await bench.print("one\n")

    bench.machine.drop()
    try await until { bench.machine.opened == 2 && bench.machine.isOpen }
    #expect(bench.consoles.problem(node: bench.node)?.contains("session lost") == true)
    try await bench.print("two\n")
    #expect(bench.consoles.problem(node: bench.node) == nil)
    #expect(await bench.text() == "one\ntwo\n")
    await bench.end()
  }

  @Test func startingTwiceKeepsOneSession() async throws {
    let bench = try Bench()
    try await bench.start()
    await bench.consoles.start(node: bench.node, driver: bench.machine.driver)
    try await bench.print("one\n")
    #expect(bench.machine.opened == 1)
    await bench.end()
  }

  @Test func aPortSendsWhatWasPrintedSincePowerOnAndThenWhatIs() async throws {
    let bench = try Bench()
    try await bench.start()
    try await bench.print("secret of the tenant before\n")
    await bench.consoles.markPowerOn(node: bench.node)
    try await bench.print("POST\n")

    let url = try await bench.consoles.openPort(node: bench.node)
    #expect(url.hasPrefix("tcp://127.0.0.1:"))
    #expect(try await bench.consoles.openPort(node: bench.node) == url)
    #expect(await bench.consoles.url(node: bench.node) == url)
    let first = try #require(Client(url))
    let second = try #require(Client(url))
    first.send("rm -rf /\n")
    try await bench.print("login: ")
    try await until { first.text == "POST\nlogin: " && second.text == "POST\nlogin: " }

    let started = ContinuousClock.now
    await bench.consoles.closePort(node: bench.node)
    try await until { !first.receive() && !second.receive() }
    #expect(ContinuousClock.now - started < .seconds(1))
    #expect(Client(url) == nil, "nobody listens any more")
    #expect(await bench.consoles.url(node: bench.node) == nil)
    await bench.end()
  }

  @Test func aReaderWhoStandsStillHurtsNobodyAndLosesNothing() async throws {
    let bench = try Bench()
    try await bench.start()
    let url = try await bench.consoles.openPort(node: bench.node)
    let slow = try #require(Client(url, smallBuffer: true))
    let quick = try #require(Client(url))
    let parked = bench.consoles.follow(node: bench.node)
    let chunk = String(repeating: "0123456789abcdef", count: 4096)
    for _ in 0..<60 { bench.machine.print(chunk) }
    bench.machine.print("end")

    try await until { quick.text.hasSuffix("end") }
    #expect(quick.text.utf8.count == 60 * 65536 + 3)
    try await until { slow.text.hasSuffix("end") }
    #expect(slow.text == quick.text)
    _ = parked
    await bench.end()
  }

  @Test func followersEndWithTheirTaskTheLeaseAndTheServer() async throws {
    let bench = try Bench()
    try await bench.start()
    try await bench.print("x")
    func follower() async throws -> Task<Void, Never> {
      let stream = bench.consoles.follow(node: bench.node, since: .powerOn)
      let (begun, signal) = AsyncStream.makeStream(of: Void.self)
      let task = Task { for await _ in stream { signal.yield() } }
      for await _ in begun { break }
      return task
    }

    let cancelled = try await follower()
    cancelled.cancel()
    await cancelled.value
    let cut = try await follower()
    await bench.consoles.closePort(node: bench.node)
    await cut.value
    let stopped = try await follower()
    await bench.consoles.stop(node: bench.node)
    await stopped.value
    await bench.end()
  }

  @Test func whenTheServerStopsReadersAreCutAndSessionsEnd() async throws {
    let bench = try Bench()
    try await bench.start()
    let serving = Task { try await bench.consoles.run() }
    let client = try #require(Client(try await bench.consoles.openPort(node: bench.node)))
    try await bench.print("x")
    try await until { client.text == "x" }

    let started = ContinuousClock.now
    serving.cancel()
    try await serving.value
    try await until { !client.receive() }
    #expect(ContinuousClock.now - started < .seconds(1))
    #expect(!bench.machine.isOpen)
    await bench.consoles.start(node: bench.node, driver: bench.machine.driver)
    #expect(bench.machine.opened == 1, "nothing is opened after the stop")
    await bench.end()
  }

  @Test func whenNoPortIsFreeTheErrorSaysSo() async throws {
    var bench = try Bench()
    bench.settings.ports = bench.settings.ports.lowerBound...bench.settings.ports.lowerBound
    bench.consoles = try Consoles(settings: bench.settings, logger: Logger(label: "test"))
    _ = try await bench.consoles.openPort(node: bench.node)
    await #expect(throws: ConductorError.self) { _ = try await bench.consoles.openPort(node: Identifier.uuid()) }
    await #expect(throws: ConductorError.self) { _ = try await bench.consoles.openPort(node: "../../etc/passwd") }
    await bench.end()
  }
}
