import Store
import Synchronization
import Testing
import Wire

@testable import Workflows

@Suite struct ForwardTests {
  @Test func stepsRunInOrderAndHandTheirOutputsOn() async throws {
    try await Bench.with { bench in
      let journal = bench.journal
      let definition = WorkflowDefinition(
        kind: "k",
        steps: [
          Step("one", run: { _ in .done(7) }, commit: { _, output, _ in journal.note("commit \(output)") }),
          Step(
            "two",
            run: { context in
              journal.note(
                "two \(context.key == "\(context.workflow)/two") \(context.outputs["one"] ?? .null) \(JSON.object(context.params))"
              )
              return .done
            }),
        ], done: { context, _ in journal.note("done \(context.subject)") }, undone: { _, _ in journal.note("undone") })
      try await bench.life([definition]) { runner in
        let id = try await bench.start(definition, on: runner, params: ["a": 1])
        let record = try await bench.wait(id, for: .done)
        #expect(record.reason == nil && record.wakeAt == nil)
        #expect(try await bench.events(id) == ["one started", "one succeeded: 7", "two started", "two succeeded"])
      }
      #expect(journal.all == ["commit 7", #"two true 7 {"a":1}"#, "done node-1"])
    }
  }

  @Test func aTransientErrorIsTriedAgainWithGrowingPauses() async throws {
    try await Bench.with { bench in
      let journal = bench.journal
      let definition = WorkflowDefinition(
        kind: "k",
        steps: [
          Step(
            "call", retries: 3,
            run: { context in
              journal.note("call")
              journal.note("attempt \(context.attempt)")
              if context.attempt < 3 { throw Trouble(isTransient: true) }
              return .done
            })
        ])
      let warm = WorkflowDefinition(kind: "warm", steps: [])
      try await bench.life([definition, warm]) { runner in
        // Once this is done the runner has taken up what there was: from then on a wake is a wake.
        let quick = try await bench.start(warm, on: runner)
        try await bench.wait(quick, for: .done)
        let id = try await bench.start(definition, on: runner)
        // Unrelated events come all the time in a busy site; they must not cut the pauses short.
        let noise = Task {
          while !Task.isCancelled { runner.signal("other/event"); try await Task.sleep(for: .milliseconds(1)) }
        }
        try await bench.wait(id, for: .done)
        noise.cancel()
        #expect(try await bench.events(id) == ["call started", "call succeeded"])
      }
      #expect(journal.all.filter { $0.hasPrefix("attempt") } == (0...3).map { "attempt \($0)" })
      let times = journal.times("call")
      for (index, pause) in [20, 40, 80].enumerated() {
        #expect(times[index + 1] - times[index] >= .milliseconds(pause), "pause \(index)")
      }
    }
  }

  @Test func whatIsTransientTooOftenOrNotAtAllFails() async throws {
    try await Bench.with { bench in
      for isTransient in [true, false] {
        let journal = Journal()
        let definition = WorkflowDefinition(
          kind: "k\(isTransient)",
          steps: [
            Step(
              "call", retries: 1,
              run: { _ in
                journal.note("call")
                throw Trouble(isTransient: isTransient)
              }, undo: { context in journal.note("undo because \(context.failure?.whole ?? "")") })
          ])
        try await bench.life([definition]) { runner in
          let id = try await bench.start(definition, on: runner)
          let record = try await bench.wait(id, for: .undone)
          #expect(record.reason?.whole == (isTransient ? "no answer" : "refused"))
        }
        #expect(
          journal.all == (isTransient ? ["call", "call", "undo because no answer"] : ["call", "undo because refused"]))
      }
    }
  }

  @Test func manyRunAtOnceButNotMoreThanTheLimit() async throws {
    try await Bench.with { bench in
      let inside = Gauge()
      var settings = Bench.quick
      settings.concurrency = 5
      let definition = WorkflowDefinition(
        kind: "k",
        steps: [
          Step(
            "work",
            run: { _ in
              inside.enter()
              try await Task.sleep(for: .milliseconds(5))
              inside.leave()
              return .done
            })
        ])
      try await bench.life([definition], settings: settings) { runner in
        for _ in 0..<30 { try await bench.start(definition, on: runner) }
        try await until("all are done") {
          try await bench.database.read { try WorkflowStore.open(in: $0).isEmpty }
        }
      }
      #expect(inside.most > 1 && inside.most <= 5)
    }
  }
}

@Suite struct WaitingTests {
  /// A step that waits until the switch is on; the event is "go".
  private func waits(for isOpen: Switch, _ journal: Journal, limit: Duration = .seconds(3600)) -> WorkflowDefinition {
    WorkflowDefinition(
      kind: "k",
      steps: [
        Step(
          "wait",
          run: { context in
            journal.note("look")
            if isOpen.isOn || context.elapsed >= limit { return .done(.bool(isOpen.isOn)) }
            return .wait(until: context.startedAt + limit, on: "go")
          }, undo: { _ in journal.note("undo") })
      ])
  }

  @Test func anEventWakesAndOthersDoNot() async throws {
    try await Bench.with { bench in
      let (isOpen, journal) = (Switch(), bench.journal)
      let definition = waits(for: isOpen, journal)
      try await bench.life([definition]) { runner in
        let id = try await bench.start(definition, on: runner)
        let record = try await bench.wait(id, for: .waiting)
        #expect(record.wakeOn == "go")
        for _ in 0..<50 { runner.signal("no") }
        // An event that comes too soon is only a hint: the step looks, and waits again.
        runner.signal("go")
        try await until("the step has looked again") { journal.count("look") == 2 }
        isOpen.isOn = true
        runner.signal("go")
        try await bench.wait(id, for: .done)
      }
      #expect(journal.count("look") == 3)
    }
  }

  @Test func anEventWakesAtWhateverMomentItComes() async throws {
    try await Bench.with { bench in
      let journal = bench.journal
      // Each workflow is signalled at the moment that it has written down that it waits, once and never again.
      let definition = WorkflowDefinition(
        kind: "k",
        steps: [
          Step(
            "wait",
            run: { context in
              let event = "go/\(context.workflow)"
              if journal.count(event) > 0 { return .done }
              return .wait(until: context.now + .seconds(3600), on: event)
            })
        ])
      let waiting = AsyncStream<Void>.makeStream()
      try await bench.life([definition], probe: { if $0 == "wait:after-waiting" { waiting.continuation.yield() } }) {
        runner in
        let signaller = Task {
          for await _ in waiting.stream {
            let open = try await bench.database.read { try WorkflowStore.open(in: $0).filter { $0.state == .waiting } }
            for record in open where journal.count("go/\(record.id)") == 0 {
              journal.note("go/\(record.id)")
              runner.signal("go/\(record.id)")
            }
          }
        }
        for _ in 0..<300 { try await bench.start(definition, on: runner) }
        try await until("all are done") {
          try await bench.database.read { try WorkflowStore.open(in: $0).isEmpty }
        }
        signaller.cancel()
      }
    }
  }

  @Test func aWaitEndsInTimeWithoutAnyEvent() async throws {
    try await Bench.with { bench in
      let definition = waits(for: Switch(), bench.journal, limit: .milliseconds(300))
      try await bench.life([definition]) { runner in
        let id = try await bench.start(definition, on: runner)
        try await bench.wait(id, for: .done)
        #expect(try await bench.events(id).last == "wait succeeded: false")
      }
    }
  }

  @Test func aWaitOutlivesTheServerAndItsClockRunsOn() async throws {
    try await Bench.with { bench in
      let (isOpen, journal) = (Switch(), bench.journal)
      let definition = waits(for: isOpen, journal)
      let id = try await bench.start(definition)
      try await bench.life([definition]) { _ in try await bench.wait(id, for: .waiting) }
      let before = try await bench.record(id)

      // act: a second life, and in a third the event
      let quick = WorkflowDefinition(kind: "quick", steps: [])
      try await bench.life([definition, quick]) { runner in
        let other = try await bench.start(quick, on: runner)
        try await bench.wait(other, for: .done)
        #expect(try await bench.record(id).wakeAt == before.wakeAt)
      }
      #expect(journal.count("look") == 1, "who waits is not run at a start")
      isOpen.isOn = true
      try await bench.life([definition]) { runner in
        try await until("it is done") {
          runner.signal("go")
          return try await bench.record(id).state == .done
        }
      }

      #expect(try await bench.events(id) == ["wait started", "wait succeeded: true"])
      #expect(try await bench.record(id).epoch > before.epoch)
    }
  }

  @Test func aPauseBeforeARetryOutlivesTheServerWithItsCount() async throws {
    try await Bench.with { bench in
      let journal = bench.journal
      var settings = Bench.quick
      settings.retryDelay = .milliseconds(400)
      let definition = WorkflowDefinition(
        kind: "k",
        steps: [
          Step(
            "call", retries: 1,
            run: { context in
              journal.note("attempt \(context.attempt)")
              throw Trouble(isTransient: true)
            })
        ])
      let id = try await bench.start(definition)
      try await bench.life([definition], settings: settings) { _ in try await bench.wait(id, for: .waiting) }
      #expect(try await bench.record(id).attempt == 1)
      try await bench.life([definition], settings: settings) { _ in try await bench.wait(id, for: .undone) }
      #expect(journal.all == ["attempt 0", "attempt 1"])
    }
  }

  @Test func cancellingUnwindsWhatWaits() async throws {
    try await Bench.with { bench in
      let journal = bench.journal
      var definition = waits(for: Switch(), journal)
      definition = WorkflowDefinition(
        kind: "k",
        steps: [
          Step("first", undo: { _ in journal.note("undo first") }, uncommit: { _, _ in journal.note("uncommit first") })
        ]
          + definition.steps + [
            Step(
              "never",
              run: { _ in
                journal.note("never")
                return .done
              })
          ])
      let final = definition
      try await bench.life([final]) { runner in
        let id = try await bench.start(final, on: runner)
        try await bench.wait(id, for: .waiting)
        let wasOpen = try await bench.database.write { session in
          session.afterCommit { runner.wake(workflow: id) }
          return try WorkflowStore.requestCancel(id, reason: "the lease has ended", in: session)
        }
        #expect(wasOpen)
        let record = try await bench.wait(id, for: .undone)
        #expect(record.reason?.whole == "the lease has ended")
        #expect(
          try await bench.events(id) == [
            "first started", "first succeeded", "wait started", "wait failed: the lease has ended", "wait undo_started",
            "wait undone", "first undo_started", "first undone",
          ])
        let late = try await bench.database.write { try WorkflowStore.requestCancel(id, reason: "again", in: $0) }
        #expect(!late, "what has ended cannot be cancelled")
      }
      #expect(journal.all.filter { $0 != "look" } == ["undo", "undo first", "uncommit first"])
    }
  }
}

@Suite struct OwnershipTests {
  @Test func aVersionThatThisProgramDoesNotKnowIsLeftAlone() async throws {
    try await Bench.with { bench in
      let journal = bench.journal
      let old = WorkflowDefinition(kind: "k", version: 1, steps: [Step("old", run: { _ in .done })])
      let new = WorkflowDefinition(
        kind: "k", version: 2,
        steps: [
          Step(
            "new",
            run: { _ in
              journal.note("new")
              return .done
            })
        ])
      let strange = WorkflowDefinition(kind: "other", steps: [])
      let ids = [try await bench.start(old), try await bench.start(strange)]
      try await bench.life([new]) { runner in
        let known = try await bench.start(new, on: runner)
        for id in ids { runner.wake(workflow: id) }
        try await bench.wait(known, for: .done)
      }
      for id in ids {
        #expect(try await bench.record(id).state == .running)
        #expect(try await bench.events(id).isEmpty)
      }
      #expect(journal.all == ["new"])

      // The program that knows it takes it up.
      try await bench.life([old]) { _ in try await bench.wait(ids[0], for: .done) }
    }
  }

  @Test func anEarlierOwnerCanRecordNothingMore() async throws {
    try await Bench.with { bench in
      let journal = bench.journal
      let gate = Switch()
      let slow = WorkflowDefinition(
        kind: "k",
        steps: [
          Step(
            "slow",
            run: { _ in
              journal.note("run")
              while !gate.isOn { try? await Task.sleep(for: .milliseconds(2)) }
              return .done("the first's")
            }, commit: { _, _, _ in journal.note("commit of the first") })
        ])
      let other = WorkflowDefinition(kind: "k", steps: [Step("slow", run: { _ in .done("the second's") })])
      let id = try await bench.start(slow)
      try await bench.life([slow]) { _ in
        try await until("the first runs the step") { journal.count("run") == 1 }
        // Another server takes the site over while the first is still at it.
        try await bench.life([other]) { _ in try await bench.wait(id, for: .done) }
        gate.isOn = true
      }
      #expect(try await bench.events(id).filter { $0.contains("succeeded") } == [#"slow succeeded: "the second's""#])
      #expect(journal.count("commit of the first") == 0)
    }
  }
}

private final class Gauge: Sendable {
  private let values = Mutex((inside: 0, most: 0))
  func enter() {
    values.withLock { values in
      values.inside += 1
      values.most = max(values.most, values.inside)
    }
  }
  func leave() { values.withLock { $0.inside -= 1 } }
  var most: Int { values.withLock { $0.most } }
}
