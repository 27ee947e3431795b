import Store
import Testing
import Wire

@testable import Workflows

/// A workflow whose undo does not succeed is the operator's.
@Suite struct StuckTests {
  /// Three steps; the last fails, and the middle one cannot be undone until the switch is on.
  private func definition(_ isUndoable: Switch, _ journal: Journal) -> WorkflowDefinition {
    func step(_ name: String, fails: Bool = false, isHard: Bool = false) -> Step {
      Step(
        name, run: { _ in if fails { throw Trouble(isTransient: false) } else { .done } },
        undo: { _ in
          journal.note("undo \(name)")
          if isHard, !isUndoable.isOn { throw Trouble(isTransient: true) }
        }, uncommit: { _, _ in journal.note("uncommit \(name)") })
    }
    return WorkflowDefinition(
      kind: "k", steps: [step("first"), step("hard", isHard: true), step("last", fails: true)],
      undone: { context, _ in journal.note("undone: \(context.failure?.whole ?? "")") },
      stuck: { _, why, _ in journal.note("stuck: \(why.whole)") })
  }

  /// Brings it to where it is stuck, and lets `body` go on from there.
  private func stuck(_ body: @Sendable (Bench, WorkflowRunner, Switch, String) async throws -> Void) async throws {
    try await Bench.with { bench in
      let isUndoable = Switch()
      let definition = definition(isUndoable, bench.journal)
      try await bench.life([definition]) { runner in
        let id = try await bench.start(definition, on: runner)
        try await bench.wait(id, for: .stuck)
        #expect(
          bench.journal.all == [
            "undo last", "undo hard", "undo hard", "undo hard", "stuck: undo of hard failed: no answer",
          ])
        try await body(bench, runner, isUndoable, id)
      }
    }
  }

  @Test func afterSoManyFailedUndosItIsStuckAndStaysSo() async throws {
    try await stuck { bench, runner, isUndoable, id in
      isUndoable.isOn = true
      runner.wake(workflow: id)
      runner.signal("anything")
      let other = WorkflowDefinition(kind: "other", steps: [])
      try await bench.start(other, on: runner)
      let record = try await bench.record(id)
      #expect(record.state == .stuck && record.reason?.whole == "refused")
      #expect(bench.journal.all.count == 5)
    }
  }

  @Test func aRestartLeavesItStuck() async throws {
    try await Bench.with { bench in
      let isUndoable = Switch()
      let definition = definition(isUndoable, bench.journal)
      let id = try await bench.start(definition)
      try await bench.life([definition]) { _ in try await bench.wait(id, for: .stuck) }
      isUndoable.isOn = true
      let quick = WorkflowDefinition(kind: "quick", steps: [])
      try await bench.life([definition, quick]) { runner in
        let other = try await bench.start(quick, on: runner)
        try await bench.wait(other, for: .done)
      }
      #expect(try await bench.record(id).state == .stuck)
      #expect(bench.journal.count("undo hard") == 3)
    }
  }

  @Test func retryBeginsAFreshCount() async throws {
    try await stuck { bench, runner, isUndoable, id in
      #expect(try await bench.intervene(.retry, id))
      runner.wake(workflow: id)
      try await until("it is stuck again") { bench.journal.all.count { $0.hasPrefix("stuck") } == 2 }
      #expect(bench.journal.count("undo hard") == 6)

      isUndoable.isOn = true
      #expect(try await bench.intervene(.retry, id))
      runner.wake(workflow: id)
      try await bench.wait(id, for: .undone)
      #expect(
        Array(bench.journal.all.suffix(5)) == [
          "undo hard", "uncommit hard", "undo first", "uncommit first", "undone: refused",
        ])
      #expect(try await !bench.intervene(.retry, id), "what has ended is not stuck")
    }
  }

  @Test func aRunningServerFindsWhatTheOperatorWroteFromAnotherProcess() async throws {
    try await stuck { bench, _, isUndoable, id in
      isUndoable.isOn = true
      #expect(try await bench.intervene(.retry, id))
      try await bench.wait(id, for: .undone)
    }
  }

  @Test func skipStepTakesTheUndoAsDoneAndStillTakesBackWhatTheApiShows() async throws {
    try await stuck { bench, runner, _, id in
      #expect(try await bench.intervene(.skipStep, id))
      runner.wake(workflow: id)
      try await bench.wait(id, for: .undone)
      #expect(bench.journal.count("undo hard") == 3)
      #expect(
        Array(bench.journal.all.suffix(4)) == ["uncommit hard", "undo first", "uncommit first", "undone: refused"])
      #expect(try await bench.events(id).contains("hard operator: skip-step"))
    }
  }

  @Test func abandonEndsItAsItIsAndGivesItsSubjectBack() async throws {
    try await stuck { bench, runner, _, id in
      #expect(try await bench.intervene(.abandon, id))
      runner.wake(workflow: id)
      let record = try await bench.wait(id, for: .undone)
      #expect(record.reason?.whole == "refused")
      #expect(bench.journal.count("undo first") == 0 && bench.journal.count("uncommit hard") == 0)
      #expect(bench.journal.all.last == "undone: refused")
      #expect(try await bench.events(id).last == "hard operator: abandon")
    }
  }

  @Test func whatIsNotStuckIsNobodysToHelp() async throws {
    try await Bench.with { bench in
      let id = try await bench.start(WorkflowDefinition(kind: "k", steps: []))
      for intervention in [WorkflowStore.Intervention.retry, .skipStep, .abandon] {
        #expect(try await !bench.intervene(intervention, id))
      }
      #expect(try await !bench.intervene(.retry, "no-such-workflow"))
      #expect(try await bench.events(id).isEmpty)
    }
  }

  @Test func onlyWhatEndedLongAgoIsPruned() async throws {
    try await stuck { bench, runner, _, id in
      let quick = WorkflowDefinition(kind: "k", steps: [])
      let ended = try await bench.database.write { session in
        try WorkflowStore.insert(quick, subject: "s", params: [:], at: now(), in: session)
      }
      _ = try await bench.database.write { session in
        try session.execute("UPDATE workflows SET state = 'done' WHERE id = $1", [.text(ended)])
      }
      let count = try await bench.database.write { try WorkflowStore.prune(before: now() + .seconds(1), in: $0) }
      #expect(count == 1)
      #expect(try await bench.record(id).state == .stuck)
    }
  }
}
