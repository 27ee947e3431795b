import CLinux
import Glibc

/// Runs `body` on a thread of its own, for calls that block. The thread ends with it.
///
/// No signal is delivered to it; writing to a pipe that nobody reads gives EPIPE, not death.
/// - Parameter name: up to 15 bytes, as `ps -L` shows it.
public func startThread(_ name: String, _ body: @escaping @Sendable () -> Void) {
  final class Box {
    let name: String
    let body: @Sendable () -> Void
    init(_ name: String, _ body: @escaping @Sendable () -> Void) { (self.name, self.body) = (name, body) }
  }
  let box = Unmanaged.passRetained(Box(String(name.prefix(15)), body))
  var attributes = pthread_attr_t()
  pthread_attr_init(&attributes)
  defer { pthread_attr_destroy(&attributes) }
  pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
  pthread_attr_setstacksize(&attributes, 512 << 10)
  var thread = pthread_t()
  var attempts = 0
  while true {
    let failure = pthread_create(
      &thread, &attributes,
      { pointer in
        guard let pointer else { return nil }
        let box = Unmanaged<Box>.fromOpaque(pointer).takeRetainedValue()
        var all = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_BLOCK, &all, nil)
        clinux_name_thread(box.name)
        box.body()
        return nil
      }, box.toOpaque())
    if failure == 0 { return }
    // EAGAIN is the limit of threads: others end soon. Anything else would be our mistake.
    attempts += 1
    precondition(failure == EAGAIN && attempts < 1000, "cannot start a thread: \(errorText(failure))")
    usleep(10_000)
  }
}

/// The system's words for an errno.
public func errorText(_ number: Int32) -> String {
  var buffer = [CChar](repeating: 0, count: 128)
  guard strerror_r(number, &buffer, buffer.count) == 0 else { return "error \(number)" }
  return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

/// Tells a thread that waits in poll(2) to stop: a descriptor that becomes readable once and stays so.
public final class Interruption: Sendable {
  /// To poll for POLLIN; valid as long as this object.
  public let descriptor: Int32

  /// - Throws: ``CommandError`` when the process has no descriptor left.
  public init() throws {
    descriptor = clinux_eventfd()
    guard descriptor >= 0 else { throw CommandError(program: "eventfd", reason: .notStarted(errno)) }
  }
  deinit { close(descriptor) }

  /// May be called from anywhere, also twice.
  public func signal() {
    var one: UInt64 = 1
    _ = write(descriptor, &one, 8)
  }
  /// True once ``signal()`` was called.
  public var isSignalled: Bool {
    var item = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return poll(&item, 1, 0) > 0
  }
}
