import Cryptography
import Domain
import TestSupport
import Testing
import Wire

@testable import Store

@Suite struct MACAddressTests {
  @Test func aMACAddressThatIsTakenOnTheNetworkIsDrawnAgain() async throws {
    try await withFolder("mac") { folder in
      let box = SecretBox(key: [UInt8](repeating: 7, count: 32))
      let database = try Database.fresh(at: "\(folder)/site.db", secrets: box)
      let now = Timestamp(microseconds: 1)
      try await database.write { session in
        for (id, vlan) in [("one", 201), ("other", 202)] {
          try NetworkStore.insert(
            Network(id: id, projectID: "p", name: id, physicalNetwork: "physnet1", vlan: vlan, createdAt: now),
            in: session)
        }
        try NetworkPortStore.insert(
          NetworkPort(networkID: "one", projectID: "p", name: "", macAddress: "fa:16:3e:00:00:01", createdAt: now),
          in: session)
        var drawn = ["fa:16:3e:00:00:02", "fa:16:3e:00:00:01", "fa:16:3e:00:00:01"]
        let free = try NetworkPortStore.newMACAddress(on: "one", in: session) { drawn.removeLast() }
        #expect(free == "fa:16:3e:00:00:02" && drawn.isEmpty)
        // What another network has is free here.
        #expect(
          try NetworkPortStore.newMACAddress(on: "other", in: session) { "fa:16:3e:00:00:01" } == "fa:16:3e:00:00:01")
        let full = #expect(throws: StoreError.self) {
          try NetworkPortStore.newMACAddress(on: "one", in: session) { "fa:16:3e:00:00:01" }
        }
        #expect(full?.kind == .conflict)
      }
      database.close()
    }
  }
}
