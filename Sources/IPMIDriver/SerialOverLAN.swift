import DriverInterfaces
import Processes

/// The controller's serial port over the network (SOL), through `ipmitool sol activate` in a pseudo terminal: it refuses
/// to work without one. Reads only; nothing is ever typed. Source: IPMI 2.0, section 26.
struct SerialOverLAN: ConsoleInterface {
  let tool: Ipmitool

  func open() -> AsyncThrowingStream<[UInt8], any Error> {
    // A reader that stands still loses the oldest output, not the server's memory: 512 pieces of up to 4 KiB.
    AsyncThrowingStream(bufferingPolicy: .bufferingNewest(512)) { continuation in
      let session = Task {
        do {
          try await read(into: continuation)
          continuation.finish()
        } catch {
          continuation.finish(throwing: error)
        }
      }
      continuation.onTermination = { _ in session.cancel() }
    }
  }

  private func read(into continuation: AsyncThrowingStream<[UInt8], any Error>.Continuation) async throws {
    // A session left by a server that was killed would keep us out. Also finds wrong credentials, in clear words.
    try await deactivate()
    let terminal: Terminal
    do {
      terminal = try await Terminal.start(
        "ipmitool", tool.arguments() + ["sol", "activate"], environment: tool.environment)
    } catch let error as CommandError {
      throw DriverError(.misconfigured, device: tool.settings.device, detail: error.description)
    }
    let impatience = Task {
      try await Task.sleep(for: tool.limits.consoleStart)
      terminal.end()
    }
    defer { impatience.cancel() }

    var preface: [UInt8]? = []
    var tail: [UInt8] = []
    for await bytes in terminal.output {
      if let waiting = preface {
        // ipmitool's own words come first and are not the machine's.
        guard let rest = Self.afterBanner(waiting + bytes) else {
          preface = (waiting + bytes).suffix(4096)
          continue
        }
        impatience.cancel()
        preface = nil
        if !rest.isEmpty { continuation.yield(rest) }
      } else {
        tail = (tail + bytes).suffix(256)
        continuation.yield(bytes)
      }
    }
    _ = await terminal.ending()
    if Task.isCancelled {
      // In a task of its own, since in this one every call ends at once.
      await Task { try? await deactivate() }.value
      throw CancellationError()
    }
    let words = String(decoding: preface ?? tail, as: UTF8.self)
    if preface != nil {
      let reason = IPMIFailure.error(words, device: tool.settings.device)
      throw words.isEmpty
        ? DriverError(
          .unreachable, device: tool.settings.device, detail: "no serial session within \(tool.limits.consoleStart)")
        : DriverError(reason.code, device: reason.device, detail: "no serial session: \(reason.detail)")
    }
    throw DriverError(.unreachable, device: tool.settings.device, detail: "the serial session ended")
  }

  /// Ends whatever session there is; that there is none is well, in whatever words the controller says so. Throws when
  /// it could not be asked.
  private func deactivate() async throws {
    do {
      try await tool.run("sol", "deactivate")
    } catch let error as DriverError
      where
      (error.code == .refused || error.code == .unsupported) && !error.detail.contains("check ipmi_")
    {}
  }

  /// What follows "[SOL Session operational.  Use ~? for help]" and its line end; nil while that has not come.
  static func afterBanner(_ bytes: [UInt8]) -> [UInt8]? {
    let words = Array("[SOL Session operational.".utf8)
    var index = 0
    while index + words.count <= bytes.count {
      if bytes[index..<index + words.count].elementsEqual(words) {
        guard let end = bytes[index...].firstIndex(of: 0x0a) else { return nil }
        return Array(bytes[(end + 1)...])
      }
      index += 1
    }
    return nil
  }
}
