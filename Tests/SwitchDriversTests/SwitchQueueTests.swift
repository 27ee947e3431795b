import Domain
import DriverInterfaces
import Synchronization
import TestSupport
import Testing

@testable import SwitchDrivers

/// A switch that takes a visit only when it is let: for the order of things in the queue.
private final class GatedSwitch: BatchingSwitch {
  let name = "gate"
  let capabilities: SwitchCapabilities = []
  private struct State {
    var batches: [[SwitchRequest]] = []
    var gates: [CheckedContinuation<Void, Never>] = []
    var isOpen = false
    var inside = 0
    var mostInside = 0
  }
  private let state = Mutex(State())
  let refused: String?
  /// Nobody is there.
  let isSilent: Mutex<Bool>
  init(refusing port: String? = nil, isSilent: Bool = false) {
    refused = port
    self.isSilent = Mutex(isSilent)
  }

  var batches: [[SwitchRequest]] { state.withLock { $0.batches } }
  var mostInside: Int { state.withLock { $0.mostInside } }

  func apply(_ requests: [SwitchRequest]) async -> [Result<Void, DriverError>] {
    state.withLock {
      $0.batches.append(requests)
      $0.inside += 1
      $0.mostInside = max($0.mostInside, $0.inside)
    }
    await withCheckedContinuation { gate in
      let open = state.withLock { state in
        if !state.isOpen { state.gates.append(gate) }
        return state.isOpen
      }
      if open { gate.resume() }
    }
    state.withLock { $0.inside -= 1 }
    return requests.map { request in
      if isSilent.withLock({ $0 }) {
        return .failure(DriverError(.unreachable, device: .networkSwitch("gate"), detail: "no answer"))
      }
      if let refused, request.ports[refused] != nil {
        return .failure(
          DriverError(.misconfigured, device: .networkSwitch("gate", port: refused), detail: "no such port"))
      }
      return .success(())
    }
  }
  func shut() { state.withLock { $0.isOpen = false } }
  func open() {
    let gates = state.withLock { state in
      state.isOpen = true
      defer { state.gates = [] }
      return state.gates
    }
    for gate in gates { gate.resume() }
  }
  func probe() async throws {}
  func listPorts() async throws -> [String: PortConfiguration] { [:] }
  func readPort(_ port: String) async throws -> PortConfiguration { .quarantine }
  func macTable() async throws -> [(port: String, vlan: Int, mac: MACAddress)] { [] }
  func watch() -> AsyncThrowingStream<Set<String>, any Error> { AsyncThrowingStream { $0.finish() } }
}

@Suite struct SwitchQueueTests {
  @Test func aHundredCallersThatWaitShareOneVisit() async throws {
    let gate = GatedSwitch(refusing: "p7")
    let queue = SwitchQueue(gate)

    try await withThrowingTaskGroup(of: (Int, DriverError?).self) { group in
      // Whatever fails here, the callers at the gate must not be waited for for ever.
      defer { gate.open() }
      group.addTask {
        try await queue.apply(["first": PortConfiguration(native: 1)], label: nil)
        return (-1, nil)
      }
      try await until("the first visit begins") { gate.batches.count == 1 }
      for index in 0..<100 {
        group.addTask {
          do {
            try await queue.apply(["p\(index)": PortConfiguration(native: 2)], label: "w/\(index)")
            return (index, nil)
          } catch let error as DriverError { return (index, error) }
        }
      }
      try await until("all of them wait") { await queue.waitingCount == 100 }
      gate.open()
      for try await (index, error) in group {
        // Each caller gets the result of its own port.
        #expect((error == nil) == (index != 7))
      }
    }

    #expect(gate.batches.map(\.count) == [1, 100])
    #expect(gate.mostInside == 1)
    #expect(Set(gate.batches[1].compactMap(\.label)).count == 100)
  }

  @Test func requestsForOnePortKeepTheirOrderAndNeverShareAVisit() async throws {
    let gate = GatedSwitch()
    let queue = SwitchQueue(gate)

    try await withThrowingTaskGroup(of: Void.self) { group in
      // Whatever fails here, the callers at the gate must not be waited for for ever.
      defer { gate.open() }
      group.addTask { try await queue.apply(["a": PortConfiguration(native: 1)], label: nil) }
      try await until("the first visit begins") { gate.batches.count == 1 }
      // Each joins the line before the next one comes: the order is part of the test.
      let line: [[String: PortConfiguration]] = [
        ["a": PortConfiguration(native: 2), "b": PortConfiguration(native: 2)], ["b": PortConfiguration(native: 3)],
        ["c": PortConfiguration(native: 4)], ["b": PortConfiguration(native: 5), "c": PortConfiguration(native: 5)],
      ]
      for (index, ports) in line.enumerated() {
        group.addTask { try await queue.apply(ports, label: nil) }
        try await until("number \(index) waits") { await queue.waitingCount == index + 1 }
      }
      gate.open()
      try await group.waitForAll()
    }

    var last: [String: Int] = [:]
    for batch in gate.batches {
      var seen: Set<String> = []
      for request in batch {
        for (port, configuration) in request.ports {
          #expect(seen.insert(port).inserted, "port \(port) is twice in one visit")
          #expect((configuration.native ?? 0) > last[port] ?? 0, "port \(port) went back")
          last[port] = configuration.native
        }
      }
    }
    #expect(last == ["a": 2, "b": 5, "c": 5])
    #expect(gate.batches.count == 4)
  }

  @Test func aCancelledCallerDoesNotSpoilTheVisitOfOthers() async throws {
    let gate = GatedSwitch()
    let queue = SwitchQueue(gate)

    let leader = Task { try await queue.apply(["a": .quarantine], label: nil) }
    try await until("the visit begins") { gate.batches.count == 1 }
    let follower = Task { try await queue.apply(["b": .quarantine], label: nil) }
    try await until("the other waits") { await queue.waitingCount == 1 }
    leader.cancel()
    gate.open()

    try await follower.value
    #expect(gate.batches.count == 2)
  }

  @Test func aSwitchThatIsSilentKeepsOneCallerWaitingAndNotAll() async throws {
    let gate = GatedSwitch(isSilent: true)
    let queue = SwitchQueue(gate)
    func ask(_ port: String) -> Task<DriverError.Code?, any Error> {
      Task {
        do {
          try await queue.apply([port: .quarantine], label: nil)
          return nil
        } catch let error as DriverError { return error.code }
      }
    }
    // Who waits behind the first one learns with it that nobody is there.
    let first = (0..<20).map { ask("p\($0)") }
    try await until("one visits and the others wait") { await queue.waitingCount == 19 }
    let reader = Task { try await queue.listPorts() }
    try await until("a reader waits too") { await queue.waitingCount == 20 }
    gate.open()
    for caller in first { #expect(try await caller.value == .unreachable) }
    await #expect(throws: DriverError.self) { try await reader.value }
    #expect(gate.batches.count == 1)

    // While somebody tries again, others are told at once.
    gate.shut()
    let second = ask("p1")
    try await until("it is tried again") { gate.batches.count == 2 }
    for port in 2..<10 { #expect(try await ask("p\(port)").value == .unreachable) }
    #expect(gate.batches.count == 2)
    // It is back: the one that tried is done, and from then on everybody is.
    gate.isSilent.withLock { $0 = false }
    gate.open()
    #expect(try await second.value == nil)
    for port in 2..<10 { #expect(try await ask("p\(port)").value == nil) }
  }
}
