import Domain
import HTTPTypes
import Store
import TestSupport
import Testing
import Wire

/// What old clients ask the compute service about images, and images of machines that are worked on without an agent.
@Suite struct ImageProxyTests {
  private let path = "/v2.1/images/\(ComputeSite.image)/metadata"

  private func expect(
    _ status: Int, _ answer: JSON?, _ site: ComputeSite, _ verb: HTTPRequest.Method, _ path: String,
    _ body: JSON? = nil, as user: String = "alice", version: String = "2.1"
  ) async throws {
    let got = try await site.call(verb, path, body, as: user, version: version)
    #expect(got.status == status && (answer == nil || got.body == answer), "\(verb) \(path): \(got.shown)")
  }

  @Test func propertiesAreReadSetReplacedAndRemoved() async throws {
    try await ComputeSite.run { site in
      try await expect(200, ["metadata": [:]], site, .get, path)
      let two: JSON = ["metadata": ["a": "1", "b": ""]]
      try await expect(200, two, site, .post, path, two)
      try await expect(200, ["meta": ["a": "2"]], site, .put, "\(path)/a", ["meta": ["a": "2"]])
      try await expect(200, ["meta": ["a": "2"]], site, .get, "\(path)/a")
      try await expect(204, nil, site, .delete, "\(path)/b")
      try await expect(404, nil, site, .delete, "\(path)/b")
      try await expect(200, ["metadata": ["c": "3"]], site, .put, path, ["metadata": ["c": "3"]])

      // What has a meaning of its own, other shapes, others' images, later versions.
      for name in ["status", "owner", "os_glance_task", ""] {
        try await expect(400, nil, site, .post, path, ["metadata": .object([name: "x"])])
      }
      let long = String(repeating: "x", count: 256)
      try await expect(400, nil, site, .post, path, ["metadata": ["k": 1]])
      try await expect(400, nil, site, .post, path, ["metadata": ["k": .string(long)]])
      try await expect(400, nil, site, .put, "\(path)/a", ["meta": ["b": "2"]])
      try await expect(403, nil, site, .post, path, ["metadata": ["k": "v"]], as: "bob")
      try await expect(404, nil, site, .post, "/v2.1/images/none/metadata", ["metadata": ["k": "v"]])
      try await expect(404, nil, site, .post, path, ["metadata": ["k": "v"]], version: "2.39")
      try await expect(200, ["metadata": ["c": "3"]], site, .get, path)
    }
  }

  @Test func anImageIsDeletedByItsOwnerUntil235() async throws {
    try await ComputeSite.run { site in
      let path = "/v2.1/images/\(ComputeSite.image)"
      try await expect(403, nil, site, .delete, path, as: "bob")
      try await expect(404, nil, site, .delete, path, version: "2.36")
      try await expect(404, nil, site, .delete, "/v2.1/images/none")
      func protect(_ flag: Bool) async throws {
        try await site.database.write { session in
          var image = try #require(try ImageStore.get(ComputeSite.image, in: session))
          image.isProtected = flag
          try ImageStore.update(image, in: session)
        }
      }
      try await protect(true)
      try await expect(403, nil, site, .delete, path)
      try await expect(200, nil, site, .get, path)
      try await protect(false)
      try await expect(204, nil, site, .delete, path)
      try await expect(404, nil, site, .get, path)
      try await expect(404, nil, site, .delete, path)
    }
  }

  @Test func anImageOfAMachineWithoutAnAgentIsWhatWasDeployed() async throws {
    try await ComputeSite.run { site in
      try await site.enrol("n1")
      let id = try await site.create("one")
      try await site.server(id, "ACTIVE")
      let made = try await site.call(.post, "/v2.1/servers/\(id)/action", ["createImage": ["name": "kept"]])
      #expect(made.status == 202, "\(made.shown)")
      try await site.server(id, "ACTIVE")
      let images = try await site.database.read { session in
        try ImageStore.list(in: session) { $0.append("WHERE name = 'kept'") }
      }
      let image = try #require(images.first)
      #expect(site.world.value("content/\(image.id)") == "/nowhere/\(ComputeSite.image)")
    }
  }

  @Test func listsAreNarrowed() async throws {
    try await ComputeSite.run { site in
      let server = Identifier.uuid()
      try await site.database.write { session in
        var image = Image(name: "kept", owner: "alpha", visibility: .private, createdAt: CrashSite.now())
        image.status = .active
        image.minDisk = 5
        image.properties = ["image_type": "snapshot", "instance_uuid": .string(server)]
        try ImageStore.insert(image, in: session)
        try ImageStore.update(image, in: session)
      }
      func names(_ question: String) async throws -> [String] {
        let list = try await site.call(.get, "/v2.1/images/detail?\(question)", version: "2.1").body["images"]?.array
        return (list ?? []).compactMap { $0["name"]?.string }.sorted()
      }
      let wanted = [
        "": ["debian", "kept"], "name=kept": ["kept"], "type=snapshot": ["kept"], "type=base": ["debian"],
        "server=\(server)": ["kept"], "server=http://cloud/servers/\(server)": ["kept"], "server=x": [],
        "status=ACTIVE": ["debian", "kept"], "status=SAVING": [], "minDisk=5": ["kept"], "minRam=1": [],
        "changes-since=2099-01-01T00:00:00Z": [],
      ]
      for (question, expected) in wanted {
        let found = try await names(question)
        #expect(found == expected, "\(question)")
      }
      try await expect(400, nil, site, .get, "/v2.1/images?minDisk=x")
      try await expect(400, nil, site, .get, "/v2.1/images?changes-since=yesterday")
    }
  }

  @Test func theStateOfAServerIsItsMachinesAndEveryAnswerHasItsRequest() async throws {
    try await ComputeSite.run { site in
      try await site.enrol("n1")
      let id = try await site.create("one")
      try await site.server(id, "ACTIVE")
      let action = "/v2.1/servers/\(id)/action"
      try await expect(403, nil, site, .post, action, ["os-resetState": ["state": "nonsense"]])
      try await expect(400, nil, site, .post, action, ["os-resetState": ["state": "nonsense"]], as: "admin")
      try await expect(400, nil, site, .post, action, ["os-resetState": ["state": 1]], as: "admin")
      try await expect(409, nil, site, .post, action, ["os-resetState": ["state": "error"]], as: "admin")
      let shown = try await site.call(.get, "/v2.1/servers?all_tenants=", as: "admin")
      #expect(shown.status == 200 && shown.body["servers"]?.array?.count == 1, "\(shown.shown)")
      let name = try #require(HTTPField.Name("X-Compute-Request-Id"))
      #expect(shown.headers[name]?.hasPrefix("req-") == true)
    }
  }
}
