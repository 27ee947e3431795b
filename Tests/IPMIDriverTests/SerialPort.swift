import Glibc
import Processes
import Synchronization

/// Stands in for a machine's serial port: `ipmi_sim` connects here when a serial session starts.
final class SerialPort: Sendable {
  private struct State {
    var connections: [Int32] = []
    var accepted = 0
    var received: [UInt8] = []
  }
  private let state = Mutex(State())
  private let listener: Int32
  private let interruption: Interruption

  /// A free port of loopback.
  let port: Int

  init() throws {
    interruption = try Interruption()
    let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    self.listener = listener
    var one: Int32 = 1
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, 4)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let bound = withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(listener, $0, length) == 0 ? getsockname(listener, $0, &length) : -1
      }
    }
    port = Int(UInt16(bigEndian: address.sin_port))
    guard bound == 0, listen(listener, 4) == 0 else {
      throw CommandError(program: "serial port", reason: .notStarted(errno))
    }
    startThread("serial") { self.serve() }
  }

  /// How often the controller has opened the port.
  var accepted: Int { state.withLock { $0.accepted } }
  /// What was typed at the machine.
  var received: [UInt8] { state.withLock { $0.received } }
  var isOpen: Bool { state.withLock { !$0.connections.isEmpty } }

  /// The machine prints.
  func send(_ text: String) {
    let bytes = Array(text.utf8)
    for connection in state.withLock({ $0.connections }) {
      _ = Glibc.send(connection, bytes, bytes.count, Int32(MSG_NOSIGNAL))
    }
  }
  func close() { interruption.signal() }

  private func serve() {
    while true {
      let connections = state.withLock { $0.connections }
      var items = ([interruption.descriptor, listener] + connections).map {
        pollfd(fd: $0, events: Int16(POLLIN), revents: 0)
      }
      guard poll(&items, nfds_t(items.count), -1) >= 0, items[0].revents == 0 else { break }
      if items[1].revents != 0 {
        let connection = accept(listener, nil, nil)
        state.withLock { state in
          state.connections.append(connection)
          state.accepted += 1
        }
      }
      for item in items[2...] where item.revents != 0 {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = recv(item.fd, &buffer, buffer.count, 0)
        state.withLock { state in
          if count > 0 {
            state.received += buffer[..<count]
          } else {
            state.connections.removeAll { $0 == item.fd }
            Glibc.close(item.fd)
          }
        }
      }
    }
    for descriptor in state.withLock({ $0.connections }) + [listener] { Glibc.close(descriptor) }
  }
}
