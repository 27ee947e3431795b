import Domain
import Store
import Testing
import Wire

@Suite struct ServerLifeTests {
  @Test func aServerIsMadeShownListedAndDeleted() async throws {
    try await ComputeSite.run { site in
      let node = try await site.enrol("n1")

      let id = try await site.create("web", ["metadata": ["role": "test"]])
      let server = try await site.server(id, "ACTIVE")
      let machine = try await site.settled(node, .active)

      #expect(machine.instanceUUID == id)
      #expect(server["name"] == "web")
      #expect(server["metadata"] == ["role": "test"])
      #expect(server["tenant_id"] == "alpha")
      #expect(server["OS-EXT-STS:vm_state"] == "active")
      #expect(server["OS-EXT-STS:power_state"] == 1)
      #expect(server["flavor"]?["original_name"] == "metal")
      #expect(server["OS-SRV-USG:launched_at"]?.string != nil)
      let address = server["addresses"]?["lan"]?.array?.first
      #expect(address?["addr"]?.string?.hasPrefix("10.0.1.") == true)
      let port = try #require(try await site.ports(of: id).first)
      #expect(port.deviceOwner == "compute:nova")
      #expect(port.bindingHostID == node)
      #expect(port.macAddress == address?["OS-EXT-IPS-MAC:mac_addr"]?.string)
      // The site's business is not the tenant's.
      #expect(server["OS-EXT-SRV-ATTR:hypervisor_hostname"] == nil)
      let seen = try await site.call(.get, "/v2.1/servers/\(id)", as: "admin").server
      #expect(seen["OS-EXT-SRV-ATTR:hypervisor_hostname"] == .string(node))

      let list = try await site.call(.get, "/v2.1/servers/detail")
      #expect(list.body["servers"]?.array?.compactMap { $0["id"]?.string } == [id])
      #expect(try await site.call(.get, "/v2.1/servers", as: "bob").body["servers"] == [])
      #expect(try await site.call(.get, "/v2.1/servers/\(id)", as: "bob").status == 404)
      #expect(try await site.call(.delete, "/v2.1/servers/\(id)", as: "bob").status == 404)
      #expect(try await site.call(.delete, "/v2.1/servers/\(id)", as: "watcher").status == 403)

      #expect(try await site.call(.delete, "/v2.1/servers/\(id)").status == 204)
      try await site.gone(id)
      let free = try await site.settled(node, .available)
      #expect(free.instanceUUID == nil)
      #expect(try await site.ports(of: id).isEmpty)
      #expect(try await site.call(.get, "/v2.1/servers").body["servers"] == [])
    }
  }

  @Test func withoutAMachineAServerSaysOfEachWhyNot() async throws {
    try await ComputeSite.run { site in
      try await site.enrol("wrong-class") { $0.resourceClass = "gold" }
      try await site.enrol("broken") {
        $0.maintenance = true
        $0.maintenanceReason = "a fan"
      }
      try await site.enrol("small") { $0.properties["memory_mb"] = "512" }
      try await site.enrol("foreign", owner: "beta")
      try await site.enrol("leased") { $0.lessee = "beta" }

      let id = try await site.create("web")
      let server = try await site.call(.get, "/v2.1/servers/\(id)").server

      #expect(server["status"] == "ERROR")
      let message = server["fault"]?["message"]?.string ?? ""
      #expect(message.contains("wrong-class is of resource class gold, not CUSTOM_METAL"))
      #expect(message.contains("broken is in maintenance (a fan)"))
      #expect(message.contains("small has 512 MiB of memory, not 1024"))
      #expect(message.contains("2 machines of others were not considered"))
      #expect(!message.contains("foreign") && !message.contains("leased"))
      #expect(try await site.ports(of: id).isEmpty)
      let ports = try await site.database.read { try NetworkPortStore.list(in: $0) }
      #expect(ports.isEmpty, "a server that got no machine keeps no port")
      #expect(try await site.call(.delete, "/v2.1/servers/\(id)").status == 204)
      #expect(try await site.call(.get, "/v2.1/servers/\(id)").status == 404)
    }
  }

  @Test func twentyAtOnceNeverShareAMachine() async throws {
    try await ComputeSite.run { site in
      for index in 0..<8 { try await site.enrol("n\(index)") }

      let ids = try await withThrowingTaskGroup(of: String.self) { group in
        for index in 0..<20 { group.addTask { try await site.create("s\(index)") } }
        return try await group.reduce(into: []) { $0.append($1) }
      }

      let rows = try await site.database.read { try ServerStore.list(in: $0) { $0.append("WHERE 1 = 1") } }
      #expect(rows.count == 20 && Set(ids).count == 20)
      let placed = rows.compactMap(\.server.nodeUUID)
      #expect(placed.count == 8)
      #expect(Set(placed).count == 8)
      #expect(rows.filter { $0.server.nodeUUID == nil }.allSatisfy { $0.server.fault != nil })
    }
  }

  @Test func aServerIsDeletedWhileItIsBuilt() async throws {
    try await ComputeSite.run { site in
      let node = try await site.enrol("n1") { $0.driverInfo = ["fake_deploy_delay": 60] }
      let id = try await site.create("web")
      let built = try await site.call(.get, "/v2.1/servers/\(id)")
      #expect(built.server["status"] == "BUILD", "\(built.shown)")

      #expect(try await site.call(.delete, "/v2.1/servers/\(id)").status == 204)
      try await site.gone(id)

      _ = try await site.settled(node, .available)
      #expect(try await site.database.read { try NetworkPortStore.list(in: $0) }.isEmpty)
    }
  }
}
