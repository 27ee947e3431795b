import HTTPTypes
import Logging
import TestSupport
import Testing
import Wire

/// What a user loses, its tokens and its programs lose at once.
@Suite struct LossTests {
  /// A user with role `member` in project alpha, by itself, and role `operator`, by a group.
  private struct World {
    var site: Site
    var admin: String
    var project: String
    var user: String
    var group: String
    var role: String
    var token: String
    var credential: JSON

    init() async throws {
      site = try await Site()
      admin = try await site.admin()
      (project, user) = try await site.tenant("alpha", admin)
      group = try await site.make("group", "/v3/groups", ["name": "staff"], admin)
      role = try await site.make("role", "/v3/roles", ["name": "operator"], admin)
      for path in ["groups/\(group)/users/\(user)", "projects/\(project)/groups/\(group)/roles/\(role)"] {
        #expect(try await site.call(.put, "/v3/\(path)", token: admin).status == 204)
      }
      token = try await site.token("alpha", scope: Site.inProject("alpha"))
      let made = try await site.call(
        .post, "/v3/users/\(user)/application_credentials", ["application_credential": ["name": "ci"]], token: token)
      credential = try #require(made.body["application_credential"])
    }
    func program() async throws -> Int {
      let proof: JSON = ["id": credential["id"] ?? nil, "secret": credential["secret"] ?? nil]
      return try await site.call(
        .post, "/v3/auth/tokens",
        ["auth": ["identity": ["methods": ["application_credential"], "application_credential": proof]]]
      ).status
    }
  }

  /// - Parameter program: what its application credential gives afterwards.
  private func lose(
    _ what: String, program: Int, _ method: HTTPRequest.Method, _ path: (World) -> String, _ body: JSON? = nil
  ) async throws {
    let world = try await World()
    #expect(try await world.site.isGood(world.token))
    #expect(try await world.program() == 201)
    let answer = try await world.site.call(method, "/v3/\(path(world))", body, token: world.admin)
    #expect(answer.status < 300, "\(what): \(answer.body)")
    #expect(try await !world.site.isGood(world.token), "\(what)")
    #expect(try await world.program() == program, "\(what)")
  }

  @Test func tokensEndWithWhatTheyStoodFor() async throws {
    try await lose("its role", program: 201, .delete, { "projects/\($0.project)/groups/\($0.group)/roles/\($0.role)" })
    try await lose("the role itself", program: 201, .delete, { "roles/\($0.role)" })
    try await lose("its group", program: 201, .delete, { "groups/\($0.group)/users/\($0.user)" })
    try await lose("the group itself", program: 201, .delete, { "groups/\($0.group)" })
    try await lose(
      "its password, by an administrator", program: 201, .patch, { "users/\($0.user)" },
      ["user": ["password": "another"]])
    try await lose("its right to log in", program: 401, .patch, { "users/\($0.user)" }, ["user": ["enabled": false]])
    try await lose(
      "its project", program: 401, .patch, { "projects/\($0.project)" }, ["project": ["enabled": false]])
    try await lose("itself", program: 401, .delete, { "users/\($0.user)" })
    try await lose("the project for ever", program: 401, .delete, { "projects/\($0.project)" })
  }

  @Test func aLockIsToldToTheLogAndNotToWhoTries() async throws {
    let complaints = Complaints(from: .warning)
    let site = try await Site { $0.complaints = complaints }
    let admin = try await site.admin()
    _ = try await site.tenant("alice", admin)
    var answers: [JSON] = []
    for _ in 0..<7 { answers.append(try await site.logIn("alice", "wrong").body) }
    answers.append(try await site.logIn("alice").body)
    answers.append(try await site.logIn("nobody").body)

    #expect(Set(answers.map(\.description)).count == 1, "\(answers)")
    #expect(complaints.all == ["user alice is locked for 1800 seconds after 6 wrong passwords"])
  }
}
