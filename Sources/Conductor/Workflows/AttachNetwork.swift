import Domain
import DriverInterfaces
import Store
import Wire
import Workflows

extension Conductor {
  /// A network port on a NIC or a port group of a running machine. Params: `port` or `port_group`, `vif` (network port).
  ///
  /// The transaction that inserts it records the attachment; the network port is ACTIVE only when the switch was read back
  /// with the network on it: one that is administratively down is attached and stays DOWN.
  static func attachNetwork(_ parts: Parts) -> WorkflowDefinition {
    WorkflowDefinition(
      kind: "attach-network",
      steps: [
        Step(
          "attach-port",
          run: { context in
            try await parts.applyNetworks(.tenant, node: context.subject, label: context.key)
            return .done
          },
          commit: { context, _, session in try parts.showVIFs(node: context.subject, at: context.now, in: session) },
          undo: { context in
            // The attachment is taken back: what could not be put in force is not shown as attached. The network port is
            // freed only when the switch was read back without it, so that its VLAN is not given to somebody else before.
            let vif = context.params["vif"]?.string ?? ""
            try await parts.database.write { session in
              guard let holder = try VIFStore.holder(of: vif, in: session) else { return }
              try VIFStore.set(nil, on: holder, at: context.now, in: session)
              try NetworkPortStore.setStatus(.error, of: vif, at: context.now, in: session)
            }
            do {
              try await parts.applyNetworksWherePossible(.tenant, node: context.subject, label: context.key)
              try await parts.database.write { try NetworkPortStore.release(vif, at: context.now, in: $0) }
            } catch let error as DriverError where error.isTransient {
              // A switch that cannot be reached must not keep the machine reserved: the intent is written, the drift
              // reconciler brings it about and frees the port then.
            }
          })
      ],
      done: { context, session in try endAttachment(parts, context, session) },
      undone: { context, session in try endAttachment(parts, context, session) },
      stuck: giveToOperator)
  }

  /// Takes a network port off a NIC or a port group. Params: `port` or `port_group`, `vif`.
  static func detachNetwork(_ parts: Parts) -> WorkflowDefinition {
    WorkflowDefinition(
      kind: "detach-network",
      steps: [
        Step(
          "detach-port", retries: 5,
          run: { context in
            try await parts.applyNetworks(.tenant, node: context.subject, label: context.key)
            return .done
          },
          commit: { context, _, session in
            if let vif = context.params["vif"]?.string {
              try NetworkPortStore.release(vif, at: context.now, in: session)
            }
          })
      ],
      done: { context, session in try endAttachment(parts, context, session) },
      undone: { context, session in
        // The switch may still carry the network: the attachment stays, in error, and can be detached again.
        let id = (context.params["port"] ?? context.params["port_group"])?.string
        if let vif = context.params["vif"]?.string,
          let place = try VIFStore.places(node: context.subject, in: session).first(where: { $0.uuid == id }),
          place.vifPortID == nil
        {
          try VIFStore.set(vif, on: place, at: context.now, in: session)
          try NetworkPortStore.setStatus(.error, of: vif, at: context.now, in: session)
        }
        try endAttachment(parts, context, session)
      },
      stuck: giveToOperator)
  }
}

private func endAttachment(_ parts: Parts, _ context: StepContext, _ session: any Session) throws {
  // What was asked of the node's other NICs meanwhile waits for this.
  session.afterCommit {
    parts.wakeups.signal(Conductor.rewiringName)
    parts.wakeups.signal(Conductor.routingName)
  }
  try change(context.subject, session) { node in
    guard node.reservation == context.workflow else { return }
    node.reservation = nil
    node.lastError = context.failure
  }
  if let failure = context.failure { try recordEnd(failure, type: "network", context, session) }
}
