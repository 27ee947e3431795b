import Domain
import Store
import Wire
import Workflows

extension Conductor {
  /// `inspect`: the agent boots and says what the machine has, or the driver knows. Params: what the hardware does without.
  static func inspectNode(_ parts: Parts) -> WorkflowDefinition {
    WorkflowDefinition(
      kind: "inspect-node",
      steps: [parts.provisioningNetwork()] + parts.agentSteps() + [
        parts.work("inspect", shownIn: \.cleanStep) { _ in
          [Parts.AgentCommand("inspect", ["lldp_seconds": .int(parts.settings.lldpSeconds)])]
        } work: { context in
          .inspect(properties: try await parts.node(context.subject).properties)
        },
        parts.endAgent(),
        parts.quarantine(),
        Step(
          "record-inventory",
          commit: { context, _, session in
            guard let inventory = context.outputs["inspect"]?["inventory"] else { return }
            try parts.recordInventory(inventory, of: context.subject, at: context.now, in: session)
          }),
      ],
      done: { context, session in
        try finish(context, session, .done, "Inspection finished.") { $0.inspectionFinishedAt = context.now }
      },
      undone: { context, session in try finish(context, session, .fail, context.failure) },
      stuck: giveToOperator)
  }
}

extension Parts {
  /// Fills a node from what its agent found: CPUs, memory, disks, NICs, wiring.
  ///
  /// A NIC that is not a port yet becomes one; wiring learnt by LLDP fills what the administrator left empty and never
  /// overwrites what he wrote: that is compared (``compareWiring(_:of:at:in:)``).
  func recordInventory(_ inventory: JSON, of uuid: String, at now: Timestamp, in session: any Session) throws {
    try NodeStore.setInventory(inventory, of: uuid, at: now, in: session)
    let sizes = (inventory["disks"]?.array ?? []).compactMap { $0["size_bytes"]?.int }.filter { $0 >= 1 << 30 }
    try change(uuid, session) { node in
      for name in ["cpus", "memory_mb", "cpu_arch"] {
        if let value = inventory[name], !value.isNull { node.properties[name] = value }
      }
      if let smallest = sizes.min() { node.properties["local_gb"] = .int(smallest >> 30) }
      if let mode = inventory["boot_mode"]?.string.flatMap({ BootMode(rawValue: $0) }) {
        node.noteBootMode(mode)
      }
      if let system = inventory["system"]?.object {
        for (ours, theirs) in [("vendor", "vendor"), ("product", "product"), ("serial", "serial")] {
          if let text = system[theirs]?.string, !text.isEmpty {
            node.properties[ours] = .string(String(text.prefix(128)))
          }
        }
      }
    }
    for interface in inventory["interfaces"]?.array ?? [] {
      guard let mac = interface["mac"]?.string.flatMap({ MACAddress($0) }) else { continue }
      var seen: JSONObject = [:]
      if let chassis = interface["lldp"]?["chassis_id"]?.string, let portID = interface["lldp"]?["port_id"]?.string {
        seen["switch_id"] = .string(String(chassis.prefix(255)))
        seen["port_id"] = .string(String(portID.prefix(255)))
        if let name = interface["lldp"]?["system_name"]?.string {
          seen["switch_info"] = .string(String(name.prefix(255)))
        }
      }
      if var port = try PortStore.byAddress(mac.description, in: session) {
        guard port.nodeUUID == uuid else {
          try NodeStore.addEvent(
            "NIC \(mac) is recorded as a port of another node.", type: "inspection", severity: "ERROR", of: uuid,
            at: now,
            in: session)
          continue
        }
        port.extra["lldp"] = seen.isEmpty ? nil : .object(seen)
        if port.localLinkConnection.isEmpty { try learnWiring(seen, of: &port, at: now, in: session) }
        port.updatedAt = now
        try PortStore.update(port, in: session)
      } else {
        var port = Port(uuid: Identifier.uuid(), nodeUUID: uuid, address: mac.description, createdAt: now)
        try learnWiring(seen, of: &port, at: now, in: session)
        try PortStore.insert(port, in: session)
      }
    }
    try compareWiring(inventory["interfaces"]?.array ?? [], of: uuid, at: now, in: session)
  }
}
