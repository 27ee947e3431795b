import APISupport
import ArgumentParser
import Wire

/// Boots a leased machine from a disk, with the verb of BMI (M2). The same is done by `openstack baremetal volume target
/// create` and `openstack baremetal node deploy`.
struct ProvisionCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "provision", abstract: "Boots a machine from a disk.",
    discussion: "The machine is reached by a NIC that has no network attached. \(cloudCredentialsHelp)",
    aliases: ["pro"])
  @Argument(help: "The machine's name or UUID.") var node: String
  @Argument(help: "The disk's name or id.") var disk: String
  @Option(help: "Seconds to wait until the machine has it.") var timeout = 1800

  func run() async throws {
    try await CloudClient.session { client in
      let metal = try client.endpoint("baremetal") + "/v1"
      let volume = try await client.find("disk", disk, in: client.endpoint("block-storage") + "/volumes", "volumes")
      let machine = try await client.ask("GET", "\(metal)/nodes/\(percentEncoded(node))")
      let (uuid, id) = (machine["uuid"]?.string ?? "", volume["id"] ?? "")
      guard machine["provision_state"]?.string == "available" else {
        throw Failure(
          "\(node) is \(machine["provision_state"]?.string ?? "nowhere"): only a machine that is available is provisioned; "
            + "`steelyard deprovision \(node)` makes it so")
      }
      // What an earlier command left, which another disk would stand beside.
      for target in try await client.list("\(metal)/volume/targets?node=\(uuid)&detail=true", "targets")
      where target["boot_index"]?.lenientInt == 0 {
        if target["volume_id"] == id { continue }
        try await client.ask("DELETE", "\(metal)/volume/targets/\(target["uuid"]?.string ?? "")")
      }
      let target: JSONObject = ["node_uuid": .string(uuid), "volume_type": "iscsi", "boot_index": 0, "volume_id": id]
      let made = try await client.send("POST", "\(metal)/volume/targets", .object(target))
      // It is there already when this command is given again.
      guard made.status == 201 || made.status == 409 else { throw Failure(made.fault) }
      do { try await client.setProvisionState("active", of: uuid) } catch {
        if let target = made.json["uuid"]?.string, made.status == 201 {
          _ = try? await client.send("DELETE", "\(metal)/volume/targets/\(target)")
        }
        throw error
      }
      let end = try await client.waitForMachine(uuid, until: ["active", "deploy failed"], timeout)
      guard end.state == "active" else { throw Failure("\(node) was not provisioned: \(end.detail)") }
      print("\(node) boots from \(disk)")
    }
  }
}

struct DeprovisionCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "deprovision", abstract: "Takes a machine's disk away and makes the machine clean; the disk stays.",
    discussion: cloudCredentialsHelp, aliases: ["dpro"])
  @Argument(help: "The machine's name or UUID.") var node: String
  @Option(help: "Seconds to wait until the machine is available again.") var timeout = 7200

  func run() async throws {
    try await CloudClient.session { client in
      let metal = try client.endpoint("baremetal") + "/v1"
      let uuid = try await client.ask("GET", "\(metal)/nodes/\(percentEncoded(node))")["uuid"]?.string ?? ""
      try await client.setProvisionState("deleted", of: uuid)
      let end = try await client.waitForMachine(uuid, until: ["available", "error", "clean failed"], timeout)
      guard end.state == "available" else { throw Failure("\(node) is \(end.state): \(end.detail)") }
      for target in try await client.list("\(metal)/volume/targets?node=\(uuid)", "targets") {
        let answer = try await client.send("DELETE", "\(metal)/volume/targets/\(target["uuid"]?.string ?? "")")
        guard [204, 404].contains(answer.status) else { throw Failure(answer.fault) }
      }
      print("\(node) is available")
    }
  }
}

extension CloudClient {
  fileprivate func setProvisionState(_ target: String, of node: String) async throws {
    try await ask(
      "PUT", "\(try endpoint("baremetal"))/v1/nodes/\(node)/states/provision", ["target": .string(target)])
  }

  /// - Returns: the provision state that it ended in, with what the node says of it.
  fileprivate func waitForMachine(_ node: String, until ends: Set<String>, _ seconds: Int) async throws -> (
    state: String, detail: String
  ) {
    let url = "\(try endpoint("baremetal"))/v1/nodes/\(node)"
    return try await wait(until: ends, limit: .seconds(seconds)) {
      let machine = try await ask("GET", url)
      let state = machine["provision_state"]?.string ?? "gone"
      let step = machine["deploy_step"]?["step"]?.string ?? machine["clean_step"]?["step"]?.string ?? ""
      let isOver = ends.contains(state)
      return (state, isOver ? machine["last_error"]?.string ?? "" : step)
    }
  }
}
