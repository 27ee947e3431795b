import Glibc

/// TCP ports that carry consoles, read-only: what the machine printed since it was powered on, and then what it prints.
/// What a client sends is thrown away. Only ``ConsoleThread`` touches it.
///
/// `baremetal node console enable` and `esi node console connect` (which runs `socat tcp:HOST:PORT -`) want a plain port
/// without a password. So it is on loopback unless the operator says otherwise: whoever reaches it reads the console.
struct ConsolePorts {
  private struct Listener {
    var descriptor: Int32
    var port: Int
  }
  private struct Client {
    var descriptor: Int32
    var node: String
    /// What has been sent: its place in the log. A slow client lags behind, and costs nobody anything.
    var place: Int
    /// It has closed its side, and was sent what there was.
    var hasFinished = false
  }

  private let settings: ConsoleSettings
  private var listeners: [String: Listener] = [:]
  private var clients: [Client] = []

  init(settings: ConsoleSettings) { self.settings = settings }

  func port(of node: String) -> Int? { listeners[node]?.port }

  /// Listens for a node's readers; safe to repeat.
  /// - Returns: the port. The same node gets the same one again while it is free.
  /// - Throws: ``ConductorError``.
  mutating func open(node: String) throws -> Int {
    if let listener = listeners[node] { return listener.port }
    let count = settings.ports.count
    let hash = node.utf8.reduce(UInt64(0xcbf2_9ce4_8422_2325)) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    let first = Int(hash % UInt64(count))
    var reason = "all are in use"
    for step in 0..<count {
      let port = settings.ports.lowerBound + (first + step) % count
      switch Self.listen(host: settings.host, port: port) {
      case .success(let descriptor):
        listeners[node] = Listener(descriptor: descriptor, port: port)
        return port
      case .failure(let error):
        if error.number == EADDRINUSE { continue }
        reason = String(cString: strerror(error.number))
        throw ConductorError(.conflict, "No console port can be opened on \(settings.host): \(reason).")
      }
    }
    throw ConductorError(
      .conflict,
      "No console port is free on \(settings.host) from \(settings.ports.lowerBound) to \(settings.ports.upperBound): \(reason)."
    )
  }

  /// Stops listening and cuts every reader of the node.
  mutating func close(node: String) {
    if let listener = listeners.removeValue(forKey: node) { Glibc.close(listener.descriptor) }
    for client in clients where client.node == node { Self.cut(client.descriptor) }
    clients.removeAll { $0.node == node }
  }
  mutating func closeAll() { for node in Array(listeners.keys) { close(node: node) } }

  /// What poll(2) should look at.
  func items(_ logs: [String: ConsoleLog]) -> [pollfd] {
    listeners.values.map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) }
      + clients.map { client in
        let isBehind = client.place < (logs[client.node]?.end ?? 0)
        return pollfd(fd: client.descriptor, events: Int16(isBehind ? POLLIN | POLLOUT : POLLIN), revents: 0)
      }
  }

  /// Does what poll(2) has found.
  mutating func serve(_ items: ArraySlice<pollfd>, _ logs: [String: ConsoleLog]) {
    for item in items where item.revents != 0 {
      if let index = clients.firstIndex(where: { $0.descriptor == item.fd }) {
        if !serve(index, events: Int32(item.revents), logs) {
          if clients[index].hasFinished { Glibc.close(item.fd) } else { Self.cut(item.fd) }
          clients.remove(at: index)
        }
      } else if let node = listeners.first(where: { $0.value.descriptor == item.fd })?.key {
        accept(node, item.fd, logs)
      }
    }
  }

  /// False when the client is gone.
  private mutating func serve(_ index: Int, events: Int32, _ logs: [String: ConsoleLog]) -> Bool {
    let client = clients[index]
    if events & (POLLIN | POLLHUP | POLLERR) != 0 {
      var buffer = [UInt8](repeating: 0, count: 4096)
      let count = recv(client.descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
      if count == 0 {
        // It says no more (`socat` without a terminal), and still wants what was printed so far.
        if let log = logs[client.node] { flush(index, log) }
        clients[index].hasFinished = true
        return false
      }
      if count < 0 && errno != EAGAIN && errno != EINTR { return false }
    }
    if events & POLLOUT != 0, let log = logs[client.node] {
      let (bytes, next) = log.read(from: client.place, limit: 65536)
      let count = send(client.descriptor, bytes, bytes.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
      if count < 0 { return errno == EAGAIN || errno == EINTR }
      clients[index].place = next - bytes.count + count
    }
    return true
  }

  /// Sends what the log has, as far as the socket takes it at once.
  private mutating func flush(_ index: Int, _ log: ConsoleLog) {
    while true {
      let (bytes, next) = log.read(from: clients[index].place, limit: 65536)
      if bytes.isEmpty { return }
      let count = send(clients[index].descriptor, bytes, bytes.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
      guard count > 0 else { return }
      clients[index].place = next - bytes.count + count
    }
  }

  private mutating func accept(_ node: String, _ listener: Int32, _ logs: [String: ConsoleLog]) {
    let descriptor = Glibc.accept(listener, nil, nil)
    guard descriptor >= 0 else { return }
    guard clients.count(where: { $0.node == node }) < settings.readersPerNode else {
      Self.cut(descriptor)
      return
    }
    _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    var one: Int32 = 1
    setsockopt(descriptor, SOL_SOCKET, SO_KEEPALIVE, &one, socklen_t(MemoryLayout<Int32>.size))
    clients.append(Client(descriptor: descriptor, node: node, place: logs[node]?.powerOn ?? 0))
  }

  /// What is still on its way is thrown away too: a lease that has ended shows nothing more.
  private static func cut(_ descriptor: Int32) {
    var now = linger(l_onoff: 1, l_linger: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &now, socklen_t(MemoryLayout<linger>.size))
    Glibc.close(descriptor)
  }

  private struct SocketError: Error { var number: Int32 }

  private static func listen(host: String, port: Int) -> Result<Int32, SocketError> {
    var v4 = sockaddr_in()
    v4.sin_family = sa_family_t(AF_INET)
    v4.sin_port = UInt16(port).bigEndian
    var v6 = sockaddr_in6()
    v6.sin6_family = sa_family_t(AF_INET6)
    v6.sin6_port = UInt16(port).bigEndian
    let isV4 = inet_pton(AF_INET, host, &v4.sin_addr) == 1
    guard isV4 || inet_pton(AF_INET6, host, &v6.sin6_addr) == 1 else { return .failure(SocketError(number: EINVAL)) }
    let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
    let descriptor = socket(isV4 ? AF_INET : AF_INET6, kind, 0)
    guard descriptor >= 0 else { return .failure(SocketError(number: errno)) }
    var one: Int32 = 1
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
    func bound<Address>(_ address: inout Address) -> Bool {
      withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          bind(descriptor, $0, socklen_t(MemoryLayout<Address>.size)) == 0
        }
      }
    }
    guard isV4 ? bound(&v4) : bound(&v6), Glibc.listen(descriptor, 16) == 0 else {
      let number = errno
      Glibc.close(descriptor)
      return .failure(SocketError(number: number))
    }
    return .success(descriptor)
  }
}
