import Domain
import DriverInterfaces
import Glibc
import Synchronization
import TestSupport
import Testing
import Wire

@testable import SwitchDrivers

/// Switches whose daemons die, stand still or lose the connection in the middle of a change.
@Suite struct SwitchFailureTests {
  @Test(.timeLimit(.minutes(1))) func aDatabaseThatDiesWithTheChangeInItsHands() async throws {
    try await VirtualSwitch.with { home, _ in
      try await home.addPorts((0..<20).map { "n\($0)" }, type: "dummy")
      let driver = try home.driver(limit: .seconds(10))
      _ = try await driver.listPorts()
      let wanted = Dictionary(uniqueKeysWithValues: (0..<20).map { ("n\($0)", PortConfiguration(native: 200 + $0)) })
      for round in 0..<3 {
        // What is asked for now is on its way and not read.
        try home.signalDatabase(SIGSTOP)
        let change = Task {
          try await driver.apply(round == 1 ? wanted.mapValues { _ in .quarantine } : wanted, label: "w/\(round)")
        }
        try await Task.sleep(for: .milliseconds(100))
        try await home.killDatabase()
        try await home.startDatabase()
        try await change.value
        #expect(
          try await driver.listPorts() == (round == 1 ? wanted.mapValues { _ in .quarantine } : wanted),
          "round \(round)")
        #expect(try await driver.labels().values.allSatisfy { $0 == "w/\(round)" })
      }
    }
  }

  @Test(.timeLimit(.minutes(1))) func aDaemonThatDiesBetweenTheDatabaseAndTheFrames() async throws {
    try await VirtualSwitch.with(taps: ["n1", "n2", "witness-a", "witness-b"]) { home, taps in
      let driver = try home.driver(limit: .seconds(10))
      let bench = PacketBench(taps, witness: ("witness-a", "witness-b"))
      try await driver.apply(
        [
          "n1": PortConfiguration(native: 101), "n2": PortConfiguration(native: 101),
          "witness-a": PortConfiguration(native: 999), "witness-b": PortConfiguration(native: 999),
        ], label: nil)
      #expect(try await bench.reach(from: "n1", vlans: []).keys.sorted() == ["n2"])
      // In the database and not yet in force when the daemon dies.
      try home.signalDaemon(SIGSTOP)
      let change = Task { try await driver.apply(["n1": .quarantine], label: nil) }
      try await until("the change is in the database") {
        try await home.vsctl(["--no-wait", "get", "port", "n1", "protected"]) == "true\n"
      }
      try await home.killDaemon()
      try await home.startDaemon()
      try await change.value
      // Done means in force.
      #expect(try await bench.reach(from: "n1", vlans: []).isEmpty)
      #expect(try await bench.reach(from: "n2", vlans: []).isEmpty)
    }
  }

  @Test(.timeLimit(.minutes(1))) func aServerThatReadsNothingForAWhileIsNotDeadlocked() async throws {
    try await VirtualSwitch.with { home, _ in
      try await home.addPorts((0..<50).map { "d\($0)" }, type: "dummy")
      let client = OVSDBClient(try #require(OVSDBEndpoint("unix:\(home.databaseSocket)")), limit: .seconds(50))
      // Questions of 10 kB with answers of tens of kilobytes: both directions fill every buffer on the way.
      let filler = JSON.string(String(repeating: "x", count: 10_000))
      let question: JSON = ["op": "select", "table": "Interface", "where": [["name", "!=", filler]]]
      try home.signalDatabase(SIGSTOP)
      let rows = try await withThrowingTaskGroup(of: Int.self) { group in
        for _ in 0..<300 {
          group.addTask {
            try await client.transact("Open_vSwitch", [question]).first?["rows"]?.array?.count ?? 0
          }
        }
        try await Task.sleep(for: .milliseconds(300))
        try home.signalDatabase(SIGCONT)
        return try await group.reduce(into: [Int: Int]()) { $0[$1, default: 0] += 1 }
      }
      #expect(rows == [51: 300])
      await client.close()
    }
  }

  @Test(.timeLimit(.minutes(1))) func aSwitchThatStandsStillCostsItsOwnTimeOnly() async throws {
    try await VirtualSwitch.with { still, _ in
      try await VirtualSwitch.with { home, _ in
        for bench in [still, home] { try await bench.addPorts(["n1"], type: "dummy") }
        let slow = SwitchQueue(try still.driver(limit: .seconds(50))), fast = SwitchQueue(try home.driver())
        try still.signalDatabase(SIGSTOP)
        let isDone = Mutex(false)
        let waiting = Task {
          try await slow.apply(["n1": PortConfiguration(native: 7)], label: nil)
          isDone.withLock { $0 = true }
        }
        try await until("the slow one is being told") { await slow.visits == 1 }
        for vlan in 101...110 { try await fast.apply(["n1": PortConfiguration(native: vlan)], label: nil) }
        #expect(!isDone.withLock { $0 }, "the slow one was not slow")
        try still.signalDatabase(SIGCONT)
        try await waiting.value
      }
    }
  }
}
