import CLinux
import DriverInterfaces
import Glibc

/// Four network interfaces of this host, two in each of two networks: sends from the first of each and captures on the others. Blocks; for a
/// thread of its own.
final class ProbePorts {
  struct Failure: Error, CustomStringConvertible { let description: String }
  struct Port: Sendable {
    let interface: String
    let vlan: UInt16
    let mac: [UInt8]
  }
  private let ports: [Port]
  private var sockets: [Int32] = []
  /// How long after the last frame a straggler is waited for.
  private static let grace: Int32 = 300

  /// - Parameters:
  ///   - ports: sender and witness of the one network, sender and witness of the other.
  ///   - namespace: of the process that has the switch; the calling thread stays in it.
  init(_ ports: [Port], namespaceOf process: pid_t) throws(Failure) {
    self.ports = ports
    let space = open("/proc/\(process)/ns/net", O_RDONLY | O_CLOEXEC)
    defer { if space >= 0 { close(space) } }
    guard space >= 0, clinux_setns_network(space) == 0 else {
      throw Failure(
        description: "its network namespace cannot be entered (\(String(cString: strerror(errno)))): run as root")
    }
    for port in ports {
      let socket = clinux_open_packet_on(port.interface)
      guard socket >= 0 else {
        throw Failure(description: "frames cannot be sent on \(port.interface): \(String(cString: strerror(errno)))")
      }
      sockets.append(socket)
    }
  }
  deinit { for socket in sockets { close(socket) } }

  func run() throws(Failure) -> IsolationProbe {
    var counts: [String: IsolationProbe.Line] = [:]
    var order: [String] = []
    for sender in [0, 2] {
      let frames = ProbeFrames(
        from: ports[sender].mac, others: ports.indices.filter { $0 != sender }.map { ports[$0].mac },
        vlans: Array(Set(ports.map(\.vlan))).sorted())
      let found = try send(frames, from: sender)
      for (number, template) in frames.templates.enumerated() {
        let name = template.kind.name
        if counts[name] == nil {
          counts[name] = IsolationProbe.Line(kind: name, sent: 0, arrived: 0, crossed: 0)
          order.append(name)
        }
        counts[name]?.sent += 1
        if found.arrived.contains(UInt16(number)) { counts[name]?.arrived += 1 }
        if found.crossed.contains(UInt16(number)) { counts[name]?.crossed += 1 }
      }
    }
    return IsolationProbe(lines: order.compactMap { counts[$0] })
  }

  private func send(_ frames: ProbeFrames, from sender: Int) throws(Failure) -> (
    arrived: Set<UInt16>, crossed: Set<UInt16>
  ) {
    let last: UInt16 = 0xffff
    for socket in sockets { _ = Self.captured(socket) }
    var arrived: Set<UInt16> = [], crossed: Set<UInt16> = [], isThrough = false
    func listen() {
      for index in ports.indices where index != sender {
        for number in Self.captured(sockets[index]) {
          if ports[index].vlan != ports[sender].vlan {
            crossed.insert(number)
          } else if number == last {
            isThrough = true
          } else {
            arrived.insert(number)
          }
        }
      }
    }
    for (number, template) in frames.templates.enumerated() {
      try send(template.bytes(ProbeFrames.mark(UInt16(number))), on: sockets[sender])
      if number % 32 == 31 {
        usleep(2000)
        listen()
      }
    }
    // A switch that has just got its ports may take a moment.
    for _ in 0..<500 where !isThrough {
      try send(ProbeFrames.last(from: ports[sender].mac, last), on: sockets[sender])
      var ready = sockets.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
      poll(&ready, nfds_t(ready.count), 20)
      listen()
    }
    guard isThrough else {
      throw Failure(description: "frames do not pass even within VLAN \(ports[sender].vlan): nothing can be said")
    }
    usleep(useconds_t(Self.grace) * 1000)
    listen()
    return (arrived, crossed)
  }

  private func send(_ frame: [UInt8], on socket: Int32) throws(Failure) {
    for _ in 0..<100 {
      if Glibc.send(socket, frame, frame.count, 0) == frame.count { return }
      guard errno == EAGAIN || errno == ENOBUFS else {
        throw Failure(description: "a frame cannot be sent: \(String(cString: strerror(errno)))")
      }
      usleep(1000)
    }
    throw Failure(description: "the switch takes no more frames")
  }
  /// The numbers of our frames that have come in. What this host itself sent on the interface is not counted: a packet socket sees that too.
  private static func captured(_ socket: Int32) -> [UInt16] {
    var numbers: [UInt16] = []
    var buffer = [UInt8](repeating: 0, count: 2048)
    while true {
      let count = recv(socket, &buffer, buffer.count, 0)
      if count <= 0 { return numbers }
      if let number = ProbeFrames.number(in: Array(buffer[..<count])) { numbers.append(number) }
    }
  }
}
