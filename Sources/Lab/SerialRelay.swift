import Glibc

/// Joins each machine's serial port with its controller.
///
/// A machine's port comes and goes with its power, and `ipmi_sim` wants a port that stays: both call the relay. One poll
/// loop for the whole lab; bytes that nobody takes are dropped, as a wire does.
public enum SerialRelay {
  private struct Line {
    let controllerListener: Int32
    let machineListener: Int32
    var controller: Int32 = -1
    var machine: Int32 = -1
  }

  /// Runs until the process is ended. Blocks: for a process of its own.
  public static func run(_ lab: Laboratory) throws {
    var lines = try lab.machines().map { machine in
      Line(
        controllerListener: try listen(machine, machine.serialPort),
        machineListener: try listen(machine, machine.serialPort + 100))
    }
    try Files.write("\(lab.folder)/serial-relay.ready", "")
    while true {
      var polls: [pollfd] = []
      for line in lines {
        for descriptor in [line.controllerListener, line.machineListener, line.controller, line.machine] {
          polls.append(pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0))
        }
      }
      guard poll(&polls, nfds_t(polls.count), -1) > 0 else { continue }
      for index in lines.indices {
        let ready = (0..<4).map { polls[index * 4 + $0].revents != 0 }
        if ready[2] { forward(&lines[index].controller, to: lines[index].machine) }
        if ready[3] { forward(&lines[index].machine, to: lines[index].controller) }
        if ready[0] { take(lines[index].controllerListener, into: &lines[index].controller) }
        if ready[1] { take(lines[index].machineListener, into: &lines[index].machine) }
      }
    }
  }

  private static func forward(_ source: inout Int32, to target: Int32) {
    var buffer = [UInt8](repeating: 0, count: 1 << 14)
    let count = recv(source, &buffer, buffer.count, Int32(MSG_DONTWAIT))
    if count > 0 {
      if target >= 0 { _ = send(target, buffer, count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL)) }
    } else if count == 0 || (errno != EAGAIN && errno != EINTR) {
      close(source)
      source = -1
    }
  }
  private static func take(_ listener: Int32, into descriptor: inout Int32) {
    let new = accept(listener, nil, nil)
    guard new >= 0 else { return }
    if descriptor >= 0 { close(descriptor) }
    descriptor = new
  }

  private static func listen(_ machine: LabMachine, _ port: Int) throws -> Int32 {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    var one: Int32 = 1
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(UInt16(port)).bigEndian
    inet_pton(AF_INET, machine.serialAddress, &address.sin_addr)
    let code = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard code == 0, Glibc.listen(descriptor, 4) == 0 else {
      throw Laboratory.Failure("cannot listen on \(machine.serialAddress):\(port): \(String(cString: strerror(errno)))")
    }
    return descriptor
  }
}
