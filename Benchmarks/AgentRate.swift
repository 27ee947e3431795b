// Compiled together with Sources/Agent by `agent-rate`, because what it measures is not public.
//
//   agent-rate-program SERVER PATH SIZE SHA256 DISK     writes one image as the agent does and prints what it cost, as JSON
//   agent-rate-program hash SIZE                        only the hash, of memory
import CLinux
import Glibc
import Wire

@main enum AgentRate {
  static func main() throws {
    let arguments = CommandLine.arguments
    if arguments.count == 3, arguments[1] == "hash", let size = Int(arguments[2]) {
      let block = [UInt8](repeating: 0x5a, count: 1 << 20)
      try measured { _ in
        var hash = SHA256()
        for _ in 0..<(size >> 20) { hash.update(block) }
        return hash.hexDigest()
      }
    } else if arguments.count == 6, let server = ServerAddress(arguments[1]), let size = Int(arguments[3]) {
      let source = try ImageSource(
        ["url": .string(arguments[2]), "size_bytes": .int(size), "sha256": .string(arguments[4])], what: "image")
      let device = try BlockDevice(path: arguments[5])
      let session = ServerSession(server: server, timing: Timing(), log: AgentLog(output: nil))
      try measured { _ in
        let transfer = ImageTransfer(source, to: device, session: session) { _ in }
        try transfer.run()
        try device.sync()
        return "\(transfer.writer.bytesWritten) written, \(transfer.writer.bytesZeroed) zeroed"
      }
    } else {
      print("usage: agent-rate-program SERVER PATH SIZE SHA256 DISK | hash SIZE")
      exit(2)
    }
  }

  private static func measured(_ body: (Int) throws -> String) throws {
    let (wall, processor) = (clinux_monotonic_seconds(), processorSeconds())
    let result = try body(0)
    let answer: JSON = [
      "seconds": .double(clinux_monotonic_seconds() - wall), "cpu_seconds": .double(processorSeconds() - processor),
      "result": .string(result), "sha_instructions": .bool(clinux_has_sha256() == 1),
    ]
    print(answer.description)
  }

  /// User and system time of all threads.
  private static func processorSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }
}
