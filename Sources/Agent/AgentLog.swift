import CLinux
import Glibc
import Synchronization

/// What the agent says: a line on the console for each thing it does, and the last 64 KiB kept for the server.
public final class AgentLog: Sendable {
  /// How much is kept, in bytes.
  public static let limit = 65536

  private struct Kept {
    var lines: [String] = []
    var bytes = 0
    var secrets: [String] = []
  }
  private let kept = Mutex(Kept())
  private let output: Int32?
  private let started = clinux_monotonic_seconds()

  /// - Parameter output: the descriptor that lines are written to as well; nil for none.
  public init(output: Int32? = STDOUT_FILENO) { self.output = output }

  /// Keeps `secret` out of everything that is said or uploaded from now on. The kernel's own log has the boot token
  /// in its command line.
  public func hide(_ secret: String) {
    guard !secret.isEmpty else { return }
    kept.withLock { $0.secrets.append(secret) }
  }

  public func say(_ text: String) {
    let clean = mask(printable(text, limit: 2000))
    let seconds = Int((clinux_monotonic_seconds() - started) * 10)
    kept.withLock { kept in
      let line = "[\(seconds / 10).\(seconds % 10)] \(clean)\n"
      kept.lines.append(line)
      kept.bytes += line.utf8.count
      while kept.bytes > Self.limit {
        kept.bytes -= kept.lines.removeFirst().utf8.count
      }
    }
    guard let output else { return }
    // One write, so that lines of two threads do not mix.
    var line = "steelyard-agent: \(clean)\n"
    line.withUTF8 { _ = write(output, $0.baseAddress, $0.count) }
  }

  /// What was said, oldest first.
  public var text: String { kept.withLock { $0.lines.joined() } }

  /// What was said and then the end of the kernel's log: at most `limit` bytes.
  public func withKernelLog(limit: Int = AgentLog.limit) -> String {
    var kernel = [CChar](repeating: 0, count: 32768)
    let count = clinux_kernel_log(&kernel, kernel.count)
    let own = text
    guard count > 0 else { return tail(own, limit: limit) }
    let bytes = kernel[..<min(Int(count), kernel.count)].map { UInt8(bitPattern: $0) }
    let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n").map { printable(String($0), limit: 1000) }
    let ownPart = tail(own, limit: limit / 2)
    return ownPart + "--- kernel\n" + mask(tail(lines.joined(separator: "\n"), limit: limit - ownPart.utf8.count - 16))
  }

  private func tail(_ text: String, limit: Int) -> String {
    guard text.utf8.count > limit else { return text }
    return String(decoding: Array(text.utf8.suffix(limit)), as: UTF8.self)
  }

  private func mask(_ text: String) -> String {
    var text = text
    for secret in kept.withLock({ $0.secrets }) {
      while let found = text.utf8.firstRange(of: Array(secret.utf8)) {
        text.replaceSubrange(found, with: "(hidden)")
      }
    }
    return text
  }
}

/// Text of unknown origin made fit to be shown: no control characters, no more than `limit` characters.
func printable(_ text: String, limit: Int) -> String {
  var scalars = String.UnicodeScalarView()
  for scalar in text.unicodeScalars.prefix(limit) {
    let isControl =
      scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value) || (0x2028...0x202e).contains(scalar.value)
    scalars.append(isControl ? " " : scalar)
  }
  return String(scalars)
}
