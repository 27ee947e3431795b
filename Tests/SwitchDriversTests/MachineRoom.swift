import Domain
import Synchronization
import TestSupport

/// A machine with one network card: enough of an operating system to get an address by DHCP, to answer ARP, echo requests
/// and datagrams, and to send its own. Its frames are written here, so that it may also lie.
final class Machine: Sendable {
  struct State {
    var address: IPAddress?
    var subnet: CIDR?
    var gateway: IPAddress?
    var neighbours: [IPAddress: [UInt8]] = [:]
    /// Packets for us that nothing here answers: IPv4, without the Ethernet header.
    var inbox: [[UInt8]] = []
    var frames: [[UInt8]] = []
  }
  let name: String
  let mac: MACAddress
  let tap: Tap
  let state = Mutex(State())

  init(_ name: String, mac: MACAddress, tap: Tap) {
    self.name = name
    self.mac = mac
    self.tap = tap
  }

  func configure(_ address: String, gateway: String? = nil) {
    let parts = address.split(separator: "/")
    state.withLock { state in
      state.address = IPAddress(String(parts[0]))
      state.subnet = CIDR.recommended(for: address).flatMap { CIDR($0) }
      state.gateway = gateway.flatMap { IPAddress($0) }
      state.neighbours = [:]
    }
  }

  var hardware: [UInt8] { mac.description.split(separator: ":").compactMap { UInt8($0, radix: 16) } }

  /// Answers what has come.
  func pump() {
    for frame in tap.receivedBytes() where frame.count >= 34 {
      guard Array(frame[0..<6]) == hardware || frame[0] & 1 == 1 else { continue }
      state.withLock { if $0.frames.count < 1000 { $0.frames.append(frame) } }
      switch (frame[12], frame[13]) {
      case (8, 6): arp(frame)
      case (8, 0): packet(Array(frame[14...]), from: Array(frame[6..<12]))
      default: break
      }
    }
  }

  private func arp(_ frame: [UInt8]) {
    let sender = Packet.address(frame[28..<32]), target = Packet.address(frame[38..<42])
    let isForUs = state.withLock { state in
      if state.neighbours[sender] != nil || target == state.address {
        state.neighbours[sender] = Array(frame[22..<28])
      }
      return target == state.address
    }
    if isForUs, frame[21] == 1 {
      tap.send(bytes: Packet.arp(.answer, from: hardware, target, to: Array(frame[22..<28]), sender))
    }
  }

  private func packet(_ packet: [UInt8], from sender: [UInt8]) {
    guard packet.count >= 28, state.withLock({ $0.address == Packet.address(packet[16..<20]) }) else { return }
    let source = Packet.address(packet[12..<16]), own = Packet.address(packet[16..<20])
    let length = min(Int(packet[2]) << 8 | Int(packet[3]), packet.count)
    let body = Array(packet[20..<length])
    switch packet[9] {
    case 1 where body[0] == 8:
      // To where it came from: a machine has one way out.
      send(Packet.icmp(from: own, to: source, type: 0, rest: Array(body[4...])), to: sender)
    case 17 where body.count >= 8 && Array(body[2..<4]) == [0, 7]:
      let said = "\(name) hears \(source)"
      let port = UInt16(body[0]) << 8 | UInt16(body[1])
      send(Packet.udp(from: own, 7, to: source, port, Array(said.utf8)), to: sender)
    case 6 where body.count >= 20 && Array(body[2..<4]) == [0, 22] && body[13] == 2:
      let port = UInt16(body[0]) << 8 | UInt16(body[1])
      let sequence = body[4..<8].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
      send(Packet.tcp(from: own, 22, to: source, port, acknowledges: sequence &+ 1, flags: 0x12), to: sender)
    default: state.withLock { $0.inbox.append(packet) }
    }
  }

  func send(_ packet: [UInt8], to hardware: [UInt8]) { tap.send(bytes: hardware + self.hardware + [8, 0] + packet) }
  func takeInbox() -> [[UInt8]] {
    state.withLock { state in
      defer { state.inbox = [] }
      return state.inbox
    }
  }
}

/// Machines that answer one another while something is waited for.
struct MachineRoom: Sendable {
  let machines: [Machine]

  /// Waits until the condition holds.
  /// - Returns: false when it did not in the time.
  func wait(_ limit: Duration, _ condition: () -> Bool) async throws -> Bool {
    let end = ContinuousClock.now + limit
    while true {
      for machine in machines { machine.pump() }
      if condition() { return true }
      if ContinuousClock.now >= end { return false }
      try await Task.sleep(for: .milliseconds(1))
    }
  }

  /// The hardware address of the next hop to an address.
  func resolve(_ machine: Machine, _ destination: IPAddress) async throws -> [UInt8]? {
    let (own, hop) = machine.state.withLock { state in
      (state.address, state.subnet?.contains(destination) == true ? destination : state.gateway)
    }
    guard let own, let hop else { return nil }
    if let known = machine.state.withLock({ $0.neighbours[hop] }), !known.isEmpty { return known }
    machine.state.withLock { $0.neighbours[hop] = [] }
    for _ in 0..<3 {
      machine.tap.send(
        bytes: Packet.arp(
          .question, from: machine.hardware, own, to: [UInt8](repeating: 255, count: 6), hop))
      if try await wait(.milliseconds(300), { machine.state.withLock { $0.neighbours[hop]?.isEmpty == false } }) {
        return machine.state.withLock { $0.neighbours[hop] }
      }
    }
    machine.state.withLock { $0.neighbours[hop] = nil }
    return nil
  }

  /// Sends a packet until an answer to it is there, at most three times.
  private func exchange(
    _ machine: Machine, _ destination: IPAddress, tries: Int, _ packet: (IPAddress) -> [UInt8],
    _ answer: ([UInt8]) -> Bool
  ) async throws -> [UInt8]? {
    guard let own = machine.state.withLock({ $0.address }) else { return nil }
    for _ in 0..<tries {
      guard let hop = try await resolve(machine, destination) else { return nil }
      _ = machine.takeInbox()
      machine.send(packet(own), to: hop)
      var found: [UInt8]?
      let isThere = try await wait(.milliseconds(300)) {
        found = machine.takeInbox().first { $0.count >= 28 && answer($0) }
        return found != nil
      }
      if isThere { return found }
    }
    return nil
  }

  func pings(_ machine: Machine, _ destination: String, tries: Int = 3) async throws -> Bool {
    guard let target = IPAddress(destination) else { return false }
    let mark: [UInt8] = (0..<4).map { _ in UInt8.random(in: 0...255) }
    return try await exchange(machine, target, tries: tries) { own in
      Packet.icmp(from: own, to: target, type: 8, rest: mark + [UInt8](repeating: 0x61, count: 32))
    } _: {
      $0[9] == 1 && $0[20] == 0 && Array($0[24..<28]) == mark && Packet.address($0[12..<16]) == target
    } != nil
  }

  /// What answers a datagram to a port: who it is, and whom it heard it from. Port 7 of a machine answers.
  func asks(_ machine: Machine, _ destination: String, port: UInt16 = 7, tries: Int = 3) async throws -> String? {
    guard let target = IPAddress(destination) else { return nil }
    let source = UInt16.random(in: 20_000...60_000)
    let answer = try await exchange(machine, target, tries: tries) { own in
      Packet.udp(from: own, source, to: target, port, Array("who?".utf8))
    } _: {
      $0[9] == 17 && Array($0[22..<24]) == Packet.bytes(source) && Packet.address($0[12..<16]) == target
    }
    return answer.map { String(decoding: $0[28...], as: UTF8.self) }
  }

  /// Whether a connection is answered (SYN, ACK). Port 22 of a machine answers.
  func connects(_ machine: Machine, _ destination: String, port: UInt16 = 22, tries: Int = 3) async throws -> Bool {
    guard let target = IPAddress(destination) else { return false }
    let source = UInt16.random(in: 20_000...60_000)
    return try await exchange(machine, target, tries: tries) { own in
      Packet.tcp(from: own, source, to: target, port, acknowledges: nil, flags: 2)
    } _: {
      $0[9] == 6 && $0.count >= 40 && Array($0[22..<24]) == Packet.bytes(source) && $0[33] == 0x12
    } != nil
  }

  /// Gets an address by DHCP and takes it.
  func lease(_ machine: Machine, as mac: MACAddress? = nil, tries: Int = 2) async throws -> DHCPMessage.Answer? {
    func ask(_ kind: DHCPMessage.Kind, _ options: [UInt8]) async throws -> DHCPMessage.Answer? {
      try await askServer(machine, mac ?? machine.mac, kind, options, nil)
    }
    for _ in 0..<tries {
      guard let offer = try await ask(.discover, []) else { continue }
      let request = [50, 4] + Packet.bytes(offer.address) + [54, 4] + (offer.options[54] ?? [])
      guard let answer = try await ask(.request, request), answer.kind == .acknowledge else { continue }
      let mask = (answer.options[1] ?? []).reduce(0) { $0 + $1.nonzeroBitCount }
      let router = answer.options[3].map { Packet.address($0[...]) }
      machine.configure("\(answer.address)/\(mask)", gateway: router?.description)
      return answer
    }
    return nil
  }

  /// Asks the server that gave the address to keep it, as a machine does after half the time.
  func renew(_ machine: Machine, _ lease: DHCPMessage.Answer) async throws -> DHCPMessage.Answer? {
    guard let server = lease.options[54].map({ Packet.address($0[...]) }),
      let hardware = try await resolve(machine, server)
    else { return nil }
    return try await askServer(
      machine, machine.mac, .request, [], .init(address: lease.address, server: server, hardware: hardware))
  }

  private func askServer(
    _ machine: Machine, _ mac: MACAddress, _ kind: DHCPMessage.Kind, _ options: [UInt8],
    _ renewal: DHCPMessage.Renewal?
  ) async throws -> DHCPMessage.Answer? {
    let transaction = UInt32.random(in: 1 ... .max)
    machine.state.withLock { $0.frames = [] }
    machine.tap.send(
      bytes: DHCPMessage.frame(mac, kind, transaction: transaction, options: options, renewing: renewal))
    var answer: DHCPMessage.Answer?
    _ = try await wait(.milliseconds(600)) {
      answer = machine.state.withLock { state in
        state.frames.lazy.compactMap { DHCPMessage.answer($0, to: transaction) }.first
      }
      return answer != nil
    }
    return answer
  }
}
