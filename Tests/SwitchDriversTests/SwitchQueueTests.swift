import Domain
import DriverInterfaces
import Synchronization
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
  init(refusing port: String? = nil) { refused = port }

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
      if let refused, request.ports[refused] != nil {
        return .failure(
          DriverError(.misconfigured, device: .networkSwitch("gate", port: refused), detail: "no such port"))
      }
      return .success(())
    }
  }
  func open() {
    let gates = state.withLock { state in
      state.isOpen = true
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
}
