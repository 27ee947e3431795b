import Glibc
import Processes
import Wire

extension Laboratory {
  /// What runs, as text for a person, and whether all of it does that `up` has started. Machines may be on or off.
  public func status() async -> (text: String, isWhole: Bool) {
    let machines = machines()
    guard !machines.isEmpty || Files.exists("\(folder)/namespace") else {
      return ("There is no lab in \(folder).\n", false)
    }
    var text = ""
    for machine in machines {
      let path = machineFolder(machine.index)
      let isOn = Files.isRunning("\(path)/pid", naming: folder)
      // (a QEMU that ends by itself removes the file)
      let power = isOn ? "on " : Files.exists("\(path)/pid") ? "off (its QEMU was killed)" : "off"
      let boot = ((try? Files.read("\(path)/boot")) ?? "disk continuous").filter { $0 != "\n" }
      text += "\(machine.name)  \(power)  boots \(boot)  \(machine.firmware.rawValue)  "
      text +=
        "\(machine.controller.rawValue) at \(machine.controllerAddress)  \(machine.macs.joined(separator: " "))  \(path)/serial.log\n"
    }
    let missing = missingParts(machines)
    if !missing.isEmpty {
      text += "NOT RUNNING: \(missing.joined(separator: ", ")).\n"
      text += "`lab up` starts what is missing and leaves the rest alone; `lab down` removes the lab.\n"
    }
    if LabSwitch(self).isDatabaseRunning { text += await LabSwitch(self).ports() }
    return (text, missing.isEmpty)
  }

  /// What a lab that is up has running, and this one has not.
  private func missingParts(_ machines: [LabMachine]) -> [String] {
    var parts: [(name: String, isRunning: Bool)] = [
      ("network namespace \(namespace)", Files.exists("/run/netns/\(namespace)")),
      ("the switch's database", LabSwitch(self).isDatabaseRunning), ("the switch", LabSwitch(self).isRunning),
      ("the serial relay", isSerialRelayRunning),
    ]
    if LabOVN(self).isWanted { parts += LabOVN(self).missing.map { ($0, false) } }
    for machine in machines where machine.controller == .ipmi {
      parts.append(("the controller of \(machine.name)", IPMISimulator(self, machine).isRunning))
    }
    if machines.contains(where: { $0.controller == .redfish }) {
      parts.append(("the Redfish controllers", RedfishControllers(self).isRunning))
    }
    // The last thing that `up` writes.
    parts.append(("the end of `lab up`, which was interrupted", Files.exists(inventoryFile)))
    return parts.filter { !$0.isRunning }.map(\.name)
  }

  /// Runs a command in the tiny test system on a machine, through its second serial port.
  /// - Returns: the command's output and its status.
  public func shell(_ index: Int, _ command: String, limit: Duration) async throws -> (output: String, status: Int) {
    let mark = "lab-\(getpid())-done"
    // The shell reads a line and runs it; the mark is put together by the shell, so the echo of the line is not it.
    let line = "\(command.replacing("\n", with: " ")); echo \"\(mark.prefix(4))\"\"\(mark.dropFirst(4)) $?\"\n"
    let path = "\(machineFolder(index))/shell.sock"
    let text = await withCheckedContinuation { continuation in
      startThread("lab-shell") {
        continuation.resume(returning: Self.converse(path, line, until: "\(mark) ", limit: limit))
      }
    }
    guard let text, let found = text.firstRange(of: "\(mark) ") else {
      throw Failure(
        "machine \(index) did not answer on its shell within \(Int(limit.inSeconds)) s: is the tiny test system running there?"
      )
    }
    let status = Int(text[found.upperBound...].prefix { $0.isNumber }) ?? -1
    return (String(text[..<found.lowerBound]), status)
  }

  /// Types a line and reads until `mark` and the rest of its line; nil when that does not come. Blocks.
  private static func converse(_ path: String, _ line: String, until mark: String, limit: Duration) -> String? {
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    guard bytes.count < 108 else { return nil }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    let code = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    let request = Array(line.utf8)
    guard code == 0, send(descriptor, request, request.count, Int32(MSG_NOSIGNAL)) == request.count else { return nil }
    var answer: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 14)
    let end = ContinuousClock.now + limit
    while ContinuousClock.now < end {
      var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      guard poll(&wait, 1, 200) > 0 else { continue }
      let count = recv(descriptor, &buffer, buffer.count, 0)
      guard count > 0 else { return nil }
      answer += buffer.prefix(count).filter { $0 != 13 }
      let text = String(decoding: answer, as: UTF8.self)
      if let found = text.firstRange(of: mark), text[found.upperBound...].contains("\n") { return text }
    }
    return nil
  }

  /// How often a text stands on a machine's disk, byte for byte, whatever the file system says.
  /// - Throws: ``Failure`` for a machine that is not there, a text that is empty, a disk that cannot be read.
  public func search(_ index: Int, _ text: String) async throws -> Int {
    let disk = "\(machineFolder(index))/disk.qcow2"
    guard Files.exists(disk) else { throw Failure("there is no machine \(index) in \(folder)") }
    return try await DiskSearch.count(of: text, inDisk: disk)
  }
}
