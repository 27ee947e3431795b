import CLinux
import Glibc
import Synchronization

/// Listens for LLDP on all interfaces in a thread of its own, from the agent's start on.
final class LLDPListener: Sendable {
  private let heard = Mutex<[Int32: LLDPNeighbor]>([:])

  /// What was heard last on each interface, by its index.
  var neighbors: [Int32: LLDPNeighbor] { heard.withLock { $0 } }

  /// Starts listening; a machine that does not allow it (no root) hears nothing.
  func start(on interfaces: [Int32], log: AgentLog) {
    let socket = clinux_open_packet_socket(0x88cc)
    guard socket >= 0 else {
      log.say("cannot listen for LLDP: \(errorText(errno))")
      return
    }
    // The three groups of IEEE 802.1AB table 7-1: nearest bridge, nearest non-TPMR bridge, nearest customer bridge.
    for interface in interfaces {
      for last in [0x0e, 0x03, 0x00] as [UInt8] {
        _ = clinux_join_multicast(socket, interface, [0x01, 0x80, 0xc2, 0x00, 0x00, last])
      }
    }
    startThread { [self] in
      var frame = [UInt8](repeating: 0, count: 2048)
      while true {
        var interface: Int32 = 0
        let count = clinux_receive_frame(socket, &frame, frame.count, &interface, 60000)
        // An interface that goes down makes a receive fail once.
        if count < 0 { usleep(100_000) }
        guard count > 0, interfaces.contains(interface),
          let neighbor = LLDPNeighbor(frame: Array(frame[..<min(Int(count), frame.count)]))
        else { continue }
        let isNew = heard.withLock { heard in
          let isNew = heard[interface] != neighbor
          heard[interface] = neighbor
          return isNew
        }
        if isNew { log.say("LLDP: interface \(interface) is at \(neighbor.chassisID), port \(neighbor.portID)") }
      }
    }
  }

  /// Waits until every one of `interfaces` has been heard, at most `seconds`.
  func wait(for interfaces: [Int32], seconds: Int) {
    let end = clinux_monotonic_seconds() + Double(seconds)
    while clinux_monotonic_seconds() < end {
      let heard = neighbors
      if interfaces.allSatisfy({ heard[$0] != nil }) { return }
      usleep(100_000)
    }
  }
}

/// Runs `body` in a thread of its own that nobody waits for.
func startThread(_ body: @escaping @Sendable () -> Void) {
  final class Box {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }
  var thread = pthread_t()
  let box = Unmanaged.passRetained(Box(body))
  let result = pthread_create(
    &thread, nil,
    { raw in
      guard let raw else { return nil }
      Unmanaged<Box>.fromOpaque(raw).takeRetainedValue().body()
      return nil
    }, box.toOpaque())
  if result == 0 { pthread_detach(thread) } else { box.release() }
}
