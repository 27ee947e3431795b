import CLinux
import Glibc

/// A listening TCP socket, made where it must be: in this process's network namespace or in a named one.
///
/// The provisioning network may live in a namespace of its own, so that nothing but the agents' listener is there: a thread
/// enters the namespace, makes the socket and ends; the socket stays where it was made.
public struct ListeningSocket: Sendable {
  public let descriptor: Int32
  /// As bound: tells which port the system chose for port 0.
  public let host: String
  public let port: Int

  public struct Failure: Error, CustomStringConvertible {
    public let description: String
  }

  /// - Parameters:
  ///   - host: a numeric IPv4 address.
  ///   - namespace: the name of a network namespace under /run/netns; nil is this process's own.
  public static func open(host: String, port: Int, namespace: String? = nil) throws -> ListeningSocket {
    guard let namespace else { return try bound(host: host, port: port) }
    let box = Box(host: host, port: port, namespace: namespace)
    var thread = pthread_t()
    let code = pthread_create(
      &thread, nil,
      { pointer in
        guard let pointer else { return nil }
        Unmanaged<Box>.fromOpaque(pointer).takeUnretainedValue().run()
        return nil
      }, Unmanaged.passUnretained(box).toOpaque())
    guard code == 0 else { throw Failure(description: "no thread for namespace \(namespace)") }
    pthread_join(thread, nil)
    guard let result = box.result else { throw Failure(description: "no answer from namespace \(namespace)") }
    return try result.get()
  }

  private final class Box {
    let host: String, port: Int, namespace: String
    var result: Result<ListeningSocket, any Error>?
    init(host: String, port: Int, namespace: String) {
      (self.host, self.port, self.namespace) = (host, port, namespace)
    }
    func run() {
      result = Result {
        let file = Glibc.open("/run/netns/\(namespace)", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else {
          throw Failure(description: "network namespace \(namespace): \(ListeningSocket.words(errno))")
        }
        defer { close(file) }
        guard clinux_setns_network(file) == 0 else {
          throw Failure(description: "cannot enter namespace \(namespace): \(ListeningSocket.words(errno))")
        }
        return try ListeningSocket.bound(host: host, port: port)
      }
    }
  }

  private static func bound(host: String, port: Int) throws -> ListeningSocket {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(UInt16(truncatingIfNeeded: port)).bigEndian
    guard inet_pton(AF_INET, host == "localhost" ? "127.0.0.1" : host, &address.sin_addr) == 1,
      (0...65535).contains(port)
    else {
      throw Failure(description: "\(host):\(port) is not a numeric IPv4 address and port")
    }
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { throw Failure(description: words(errno)) }
    var one: Int32 = 1
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
    let code = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard code == 0, listen(descriptor, 1024) == 0 else {
      let reason = words(errno)
      close(descriptor)
      throw Failure(description: "cannot listen on \(host):\(port): \(reason)")
    }
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    _ = withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
    }
    return ListeningSocket(descriptor: descriptor, host: host, port: Int(UInt16(bigEndian: address.sin_port)))
  }

  fileprivate static func words(_ code: Int32) -> String { String(cString: strerror(code)) }
}
