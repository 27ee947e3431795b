import Domain
import DriverInterfaces

/// Power through the chassis commands. Source: IPMI 2.0, sections 28.2 and 28.3.
struct IPMIPower: PowerInterface {
  let tool: Ipmitool

  func observePower() async throws -> Power {
    let text = try await tool.run("power", "status").lowercased()
    if text.contains("power is on") { return .on }
    if text.contains("power is off") { return .off }
    throw DriverError(
      .badReply, device: tool.settings.device, detail: "no power state in its answer (\(IPMIFailure.lastWords(text)))")
  }

  func ensurePower(_ power: Power, graceful: Bool, patience: Duration) async throws {
    if try await observePower() == power { return }
    let clock = ContinuousClock()
    let half = clock.now + patience / 2
    let end = clock.now + patience
    let word = power == .on ? "on" : "off"

    var isAsked = false
    if power == .off, graceful {
      do {
        try await tool.run("power", "soft")
        isAsked = true
      } catch let error as DriverError where !error.isTransient {
        // A controller without a soft shutdown: only force is left.
      }
    }
    if !isAsked { try await tool.run("power", word) }
    if try await reached(power, before: half) { return }
    // Forced now; and a controller that lost the first word while it was busy hears it again.
    try await tool.run("power", word)
    if try await reached(power, before: end) { return }
    throw DriverError(
      .notInForce, device: tool.settings.device,
      detail: "told to power \(word), and after \(patience) it still reports power \(power == .on ? "off" : "on")")
  }

  /// Looks until the machine is there. One look at least; a controller that does not answer now may do so at the next.
  private func reached(_ power: Power, before deadline: ContinuousClock.Instant) async throws -> Bool {
    var failure: DriverError?
    // Short at first: most controllers are there at the second look, and a deployment waits for each.
    var pause = min(.milliseconds(100), tool.limits.poll)
    repeat {
      do {
        if try await observePower() == power { return true }
        failure = nil
      } catch let error as DriverError where error.isTransient {
        failure = error
      }
      let left = deadline - ContinuousClock.now
      if left > .zero { try await Task.sleep(for: min(left, pause)) }
      pause = min(pause * 3 / 2, tool.limits.poll)
    } while ContinuousClock.now < deadline
    if let failure { throw failure }
    return false
  }
}

/// Source: IPMI 2.0, section 28.3, "Chassis Control Command", pulse diagnostic interrupt.
struct IPMIInterrupt: InterruptInterface {
  let tool: Ipmitool

  func sendInterrupt() async throws { try await tool.run("power", "diag") }
}

/// Source: IPMI 2.0, section 28.3, "Chassis Control Command", soft shutdown.
struct IPMIPowerButton: PowerButtonInterface {
  let tool: Ipmitool

  func pressPowerButton() async throws { try await tool.run("power", "soft") }
}
