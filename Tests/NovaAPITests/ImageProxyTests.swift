import Domain
import HTTPTypes
import Store
import TestSupport
import Testing
import Wire

/// What old clients ask the compute service about images, and images of machines that are worked on without an agent.
@Suite struct ImageProxyTests {
  private let path = "/v2.1/images/\(ComputeSite.image)/metadata"

  @Test func propertiesAreReadSetReplacedAndRemoved() async throws {
    try await ComputeSite.run { site in
      func call(
        _ verb: HTTPRequest.Method, _ path: String, _ body: JSON? = nil, as user: String = "alice"
      ) async throws -> (Int, JSON) {
        let answer = try await site.call(verb, path, body, as: user, version: "2.1")
        return (answer.status, answer.body)
      }
      #expect(try await call(.get, path) == (200, ["metadata": [:]]))
      #expect(
        try await call(.post, path, ["metadata": ["a": "1", "b": ""]]) == (200, ["metadata": ["a": "1", "b": ""]]))
      #expect(try await call(.put, "\(path)/a", ["meta": ["a": "2"]]) == (200, ["meta": ["a": "2"]]))
      #expect(try await call(.get, "\(path)/a") == (200, ["meta": ["a": "2"]]))
      #expect(try await call(.delete, "\(path)/b").0 == 204)
      #expect(try await call(.delete, "\(path)/b").0 == 404)
      #expect(try await call(.put, path, ["metadata": ["c": "3"]]) == (200, ["metadata": ["c": "3"]]))

      // What has a meaning of its own, other shapes, others' images, later versions.
      for name in ["status", "owner", "os_glance_task", ""] {
        #expect(try await call(.post, path, ["metadata": .object([name: "x"])]).0 == 400)
      }
      #expect(try await call(.post, path, ["metadata": ["k": 1]]).0 == 400)
      #expect(try await call(.post, path, ["metadata": ["k": .string(String(repeating: "x", count: 256))]]).0 == 400)
      #expect(try await call(.put, "\(path)/a", ["meta": ["b": "2"]]).0 == 400)
      #expect(try await call(.post, path, ["metadata": ["k": "v"]], as: "bob").0 == 403)
      #expect(try await call(.post, "/v2.1/images/none/metadata", ["metadata": ["k": "v"]]).0 == 404)
      #expect(try await site.call(.post, path, ["metadata": ["k": "v"]], version: "2.39").status == 404)
      #expect(try await call(.get, path) == (200, ["metadata": ["c": "3"]]))
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
}
