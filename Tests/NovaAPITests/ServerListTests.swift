import Domain
import Store
import TestSupport
import Testing
import Wire

@testable import NovaAPI

@Suite struct ServerListTests {
  /// Servers without machines, one second apart.
  private func fill(_ site: ComputeSite, _ names: [(String, String)]) async throws {
    try await site.database.write { session in
      for (index, (name, project)) in names.enumerated() {
        var server = Server(
          projectID: project, userID: "u", name: name,
          flavor: ["id": "metal", "original_name": "metal", "vcpus": 1, "ram": 1, "disk": 1],
          createdAt: Timestamp(seconds: 1_700_000_000 + index))
        server.fault = Server.Fault(message: "none", at: server.createdAt)
        try ServerStore.insert(server, in: session)
      }
    }
  }
  private func names(_ answer: ComputeSite.Answer) -> [String] {
    answer.body["servers"]?.array?.compactMap { $0["name"]?.string } ?? []
  }

  @Test func listsAreFilteredSortedAndPaged() async throws {
    try await ComputeSite.run(isRunning: false) { site in
      try await fill(site, [("web-1", "alpha"), ("web-2", "alpha"), ("db", "alpha"), ("other", "beta")])

      #expect(names(try await site.call(.get, "/v2.1/servers")) == ["db", "web-2", "web-1"])
      #expect(names(try await site.call(.get, "/v2.1/servers?name=web")) == ["web-2", "web-1"])
      #expect(names(try await site.call(.get, "/v2.1/servers?name=%5Ew.*2$")) == ["web-2"])
      #expect(names(try await site.call(.get, "/v2.1/servers?status=ERROR")).count == 3)
      #expect(names(try await site.call(.get, "/v2.1/servers?status=ACTIVE")).isEmpty)
      #expect(try await site.call(.get, "/v2.1/servers?status=odd").status == 400)
      #expect(try await site.call(.get, "/v2.1/servers?changes-since=odd").status == 400)
      let sorted = try await site.call(.get, "/v2.1/servers?sort_key=display_name&sort_dir=asc&limit=2")
      #expect(names(sorted) == ["db", "web-1"])
      let next = try #require(sorted.body["servers_links"]?.array?.first?["href"]?.string)
      let path = try #require(next.range(of: "/v2.1").map { String(next[$0.lowerBound...]) })
      #expect(names(try await site.call(.get, path)) == ["web-2"])
      #expect(try await site.call(.get, "/v2.1/servers?limit=-1").status == 400)
      #expect(try await site.call(.get, "/v2.1/servers?marker=odd").status == 400)
      #expect(try await site.call(.get, "/v2.1/servers?sort_key=id%27%20--").status == 400)

      #expect(names(try await site.call(.get, "/v2.1/servers", as: "bob")) == ["other"])
      #expect(try await site.call(.get, "/v2.1/servers?all_tenants=1", as: "bob").status == 403)
      #expect(names(try await site.call(.get, "/v2.1/servers?all_tenants=1", as: "admin")).count == 4)
      #expect(names(try await site.call(.get, "/v2.1/servers?project_id=alpha", as: "bob")) == ["other"])
    }
  }

  @Test func patternsMatchWithoutEverGoingBackFar() throws {
    for (pattern, text, matches) in [
      ("web", "my-web-1", true), ("^web", "my-web", false), ("^w.b$", "web", true), ("b$", "web", true),
      ("a.*c", "xabcx", true), ("a.+c", "ac", false), ("", "x", true), ("x\\.y", "xzy", false), ("^$", "", true),
    ] {
      #expect(try Pattern(pattern).matches(text) == matches, "\(pattern) \(text)")
    }
    // Abuse: what takes a backtracking matcher for ever.
    let start = ContinuousClock.now
    let evil = try Pattern(String(repeating: ".*a", count: 80))
    #expect(!evil.matches(String(repeating: "b", count: 255)))
    #expect(
      !(try Pattern("^" + String(repeating: "(a+)+", count: 40) + "$").matches(String(repeating: "a", count: 255))))
    #expect(ContinuousClock.now - start < .seconds(2))
  }

  @Test func aThousandServersCostAsManyStatementsAsOne() async throws {
    try await ComputeSite.run(isRunning: false) { site in
      let view = { (count: Int) async throws -> Int in
        try await site.database.read { session in
          let counting = CountingSession(session)
          let rows = try ServerStore.list(in: counting) { $0.append("WHERE 1 = 1 LIMIT ?", .int(count)) }
          let nodes = rows.compactMap { $0.machine?.uuid }
          _ = try ServerStore.attachedPorts(nodes: nodes, in: counting)
          return counting.statements
        }
      }
      try await site.database.write { session in
        for index in 0..<600 {
          let uuid = Identifier.uuid()
          var node = Node(uuid: uuid, driver: "fake-hardware", createdAt: Timestamp(seconds: index))
          node.provisionState = .active
          var server = Server(
            projectID: "alpha", userID: "u", name: "s\(index)", flavor: [:], createdAt: Timestamp(seconds: index))
          node.instanceUUID = server.id
          server.nodeUUID = uuid
          try NodeStore.insert(node, secrets: [], box: site.database.secrets, in: session)
          try ServerStore.insert(server, in: session)
        }
      }
      #expect(try await view(1) == view(600))
      let all = try await site.call(.get, "/v2.1/servers/detail")
      #expect(all.body["servers"]?.array?.count == 600)
    }
  }
}

/// Counts what is asked of the database.
private final class CountingSession: Session {
  private let session: any Session
  var statements = 0
  init(_ session: any Session) { self.session = session }
  func query<T>(_ sql: StaticString, _ arguments: [Value], _ body: (borrowing Row) throws -> T) throws -> [T] {
    statements += 1
    return try session.query(sql, arguments, body)
  }
  func execute(_ sql: StaticString, _ arguments: [Value]) throws -> Int {
    statements += 1
    return try session.execute(sql, arguments)
  }
  func query<T>(_ query: Query, _ body: (borrowing Row) throws -> T) throws -> [T] {
    statements += 1
    return try session.query(query, body)
  }
  func execute(_ query: Query) throws -> Int {
    statements += 1
    return try session.execute(query)
  }
  func afterCommit(_ action: @escaping @Sendable () -> Void) {}
}
