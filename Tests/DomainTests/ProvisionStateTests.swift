import Domain
import Testing

@Suite struct ProvisionStateTests {
  @Test func everyTransientStateHasAWayOutOnFailure() {
    for state in ProvisionState.allCases where state.isTransient {
      #expect(state.after(.fail) != nil, "\(state) would be stuck for ever")
      #expect(state.after(.fail)?.isTransient == false, "\(state) fails into another state that passes")
    }
  }

  @Test func everyTransientStateLeadsToAnEnd() {
    for start in ProvisionState.allCases where start.isTransient {
      let ends = reachable(from: [start], by: [.done, .resume, .wait, .clean]).filter { !$0.isTransient }
      #expect(!ends.isEmpty, "\(start) never ends well")
    }
  }

  @Test func everyStateIsReachedFromEnroll() {
    // `rebuild` is only a word of the API: a rebuilt node is shown as deploying.
    #expect(Set(ProvisionState.allCases).subtracting(reachable(from: [.enroll])) == [.rebuild])
  }

  @Test func everyStateThatRestsCanBeLeft() {
    for state in ProvisionState.allCases where !state.isTransient && state != .rebuild {
      #expect(ProvisionEvent.allCases.contains { state.after($0) != nil }, "\(state) is a dead end")
    }
  }

  @Test func everyNodeCanBecomeAvailableAgain() {
    for state in ProvisionState.allCases where state != .rebuild {
      #expect(reachable(from: [state]).contains(.available), "\(state)")
    }
  }

  @Test func theOnlyWayToAvailableIsThroughCleaning() {
    for state in ProvisionState.allCases {
      for event in ProvisionEvent.allCases where state.after(event) == .available {
        #expect(state == .cleaning || state == .cleanWait, "\(state) on \(event)")
      }
    }
    // A node that had a tenant does not even become manageable without it.
    for state in [
      ProvisionState.active, .deployFailed, .deleting, .error, .deployWait, .rescue, .rescueFailed, .unrescueFailed,
    ] {
      for event in ProvisionEvent.allCases { #expect(state.after(event) != .manageable, "\(state) on \(event)") }
    }
  }

  @Test func anAskingEventMeansNothingWhileAWorkflowWorks() {
    for state in ProvisionState.allCases where state.isTransient {
      for event in [ProvisionEvent.manage, .provide, .inspect, .deploy, .rebuild, .adopt, .rescue, .unrescue] {
        #expect(state.after(event) == nil, "\(state) on \(event)")
      }
    }
    // Only waiting can be aborted.
    let abortable = ProvisionState.allCases.filter { $0.after(.abort) != nil }
    #expect(Set(abortable) == [.inspectWait, .deployWait, .cleanWait, .cleanHold])
  }

  /// The words of ironic/common/states.py that this machine has.
  @Test func theWordsAreIronics() {
    #expect(
      Set(ProvisionState.allCases.map(\.rawValue)) == [
        "enroll", "verifying", "manageable", "available", "active", "deploying", "wait call-back", "deploy failed",
        "deleting",
        "error", "cleaning", "clean wait", "clean failed", "inspecting", "inspect wait", "inspect failed", "adopting",
        "adopt failed", "rebuild", "clean hold", "rescuing", "rescue", "rescue failed", "unrescuing", "unrescue failed",
      ])
    #expect(
      Set(ProvisionVerb.allCases.map(\.rawValue)) == [
        "manage", "provide", "inspect", "active", "rebuild", "deleted", "undeploy", "adopt", "abort", "clean", "rescue",
        "unrescue", "unhold",
      ])
    #expect(
      Set(PowerTarget.allCases.map(\.rawValue)) == [
        "power on", "power off", "rebooting", "soft power off", "soft rebooting",
      ])
  }

  @Test func applyingAnEventChangesTheNodeOrNothing() {
    var node = Node(uuid: "n", driver: "redfish", createdAt: .init(seconds: 1))

    let isMeant = node.apply(.manage, at: .init(seconds: 2))
    #expect(isMeant)
    #expect(node.provisionState == .verifying && node.provisionUpdatedAt == .init(seconds: 2))

    let before = node
    let isMeantAgain = node.apply(.deploy, at: .init(seconds: 3))
    #expect(!isMeantAgain && node == before)
  }

  private func reachable(from start: Set<ProvisionState>, by events: [ProvisionEvent] = ProvisionEvent.allCases)
    -> Set<ProvisionState>
  {
    var (found, edge) = (start, start)
    while !edge.isEmpty {
      edge = Set(edge.flatMap { state in events.compactMap { state.after($0) } }).subtracting(found)
      found.formUnion(edge)
    }
    return found
  }
}
