import APISupport
import Cryptography
import Domain
import HTTPTypes
import Store
import Wire

/// Secrets that users keep here for other services. Nobody logs in with them.
/// Source: Identity API reference v3, "Credentials"; v3-ext, "OS-EC2".
///
/// Their owner reads them, and the site's administrator; readers of the site do not.
extension KeystoneFacade {
  private static let owners = "the user itself, and the site's administrator"
  private static let countLimit = 100

  var secretEndpoints: [Endpoint] { storedCredentialEndpoints + ec2Endpoints }

  private func isOwner(_ userID: String, _ actor: Actor) -> Bool { actor.isSiteAdmin || actor.userID == userID }

  /// - Throws: 403 when it is another's or not there; 404 to the site's administrator.
  private func credential(_ id: String, _ actor: Actor, in session: any Session) throws -> CredentialStore.Credential {
    guard let credential = try CredentialStore.get(id, box: database.secrets, in: session),
      isOwner(credential.userID, actor)
    else { throw unseen("credential", id, by: actor) }
    return credential
  }
  /// As ``APIError/unseen(_:_:by:)``, for what readers of the site do not see either.
  private func unseen(_ what: String, _ id: String, by actor: Actor) -> APIError {
    actor.isSiteReader && !actor.isSiteAdmin
      ? .forbidden("Only its user, and the site's administrator, may see a \(what).") : .unseen(what, id, by: actor)
  }
  private func refuseTooMany(_ user: String, in session: any Session) throws {
    guard try CredentialStore.list(user: user, box: database.secrets, in: session).count < Self.countLimit else {
      throw APIError.forbidden(
        "Unable to create additional credentials, maximum of \(Self.countLimit) already exceeded for user.")
    }
  }

  private var storedCredentialEndpoints: [Endpoint] {
    let path = "/v3/credentials"
    return [
      Endpoint(.get, path, anyRule("list_credentials", Self.owners), "list credentials") { request in
        let actor = try request.actor()
        let filter = try ListFilter(request, ["user_id", "type"])
        let items = try await database.read { session in
          try CredentialStore.list(
            user: actor.isSiteAdmin ? filter.exact("user_id") : actor.userID, type: filter.exact("type"),
            box: database.secrets, in: session)
        }
        let shown = items.map { storedCredentialBody($0, request) }.filter { filter.admits($0) }
        return try listing("credentials", shown, request)
      },
      Endpoint(.post, path, anyRule("create_credential", Self.owners), "keep a credential") { request in
        let actor = try request.actor()
        try await refuseRestricted(request)
        let attributes = try await Attributes(request, "credential")
        let user = try attributes.text("user_id") ?? actor.userID
        let type = try attributes.requiredName("type")
        let blob = try secretText(attributes)
        let project = try attributes.text("project_id")
        var id = Identifier.hex()
        if type == "ec2" {
          guard project != nil, let access = (try? JSON(parsing: blob))?["access"]?.string else {
            throw APIError.badRequest("A credential of type ec2 needs a project_id, and a blob with an access key.")
          }
          id = Digest.sha256Hex(access)
        }
        let credential = CredentialStore.Credential(id: id, userID: user, projectID: project, type: type, blob: blob)
        try await change { [id] session in
          guard isOwner(user, actor), try UserStore.get(user, in: session) != nil else {
            throw APIError.unauthorized("create_credential")
          }
          try refuseForeign(project, of: user, actor, in: session)
          try refuseTooMany(user, in: session)
          try withConflict("Conflict occurred attempting to store credential - Duplicate entry found with ID \(id).") {
            try CredentialStore.insert(credential, box: database.secrets, in: session)
          }
        }
        return APIResponse(.created, json: ["credential": storedCredentialBody(credential, request)])
      },
      Endpoint(.get, path + "/{stored_credential}", anyRule("get_credential", Self.owners), "show a credential") {
        request in
        let actor = try request.actor()
        let id = try request.parameter("stored_credential")
        let found = try await database.read { try credential(id, actor, in: $0) }
        return APIResponse(json: ["credential": storedCredentialBody(found, request)])
      },
      Endpoint(
        .patch, path + "/{stored_credential}", anyRule("update_credential", Self.owners), "change a credential's blob"
      ) { request in
        let actor = try request.actor()
        try await refuseRestricted(request)
        let id = try request.parameter("stored_credential")
        let attributes = try await Attributes(request, "credential")
        let blob = try attributes.values["blob"] == nil ? nil : secretText(attributes)
        let changed = try await change { session in
          var known = try credential(id, actor, in: session)
          for (key, value) in [
            ("type", JSON.string(known.type)), ("user_id", .string(known.userID)),
            ("project_id", JSON(known.projectID)),
          ] {
            if let wanted = attributes.values[key], wanted != value {
              throw APIError.badRequest("Update of `\(key)` is not allowed: delete the credential and make another.")
            }
          }
          if let blob {
            known.blob = blob
            try CredentialStore.set(blob: blob, of: id, box: database.secrets, in: session)
          }
          return known
        }
        return APIResponse(json: ["credential": storedCredentialBody(changed, request)])
      },
      Endpoint(
        .delete, path + "/{stored_credential}", anyRule("delete_credential", Self.owners), "delete a credential"
      ) { request in
        let actor = try request.actor()
        try await refuseRestricted(request)
        let id = try request.parameter("stored_credential")
        try await change { session in
          _ = try credential(id, actor, in: session)
          try CredentialStore.delete(id, in: session)
        }
        return .noContent
      },
    ]
  }

  private func secretText(_ attributes: Attributes) throws -> String {
    switch attributes.values["blob"] {
    case .string(let text)? where text.utf8.count <= 16_384: return text
    case .object(let object)? where JSON.object(object).description.utf8.count <= 16_384:
      return JSON.object(object).description
    default: throw attributes.invalid("blob", "a text of at most 16 KiB is expected")
    }
  }
  /// - Throws: 400 when the project is not one that the user has a role in, or for an administrator, not there.
  private func refuseForeign(_ project: String?, of user: String, _ actor: Actor, in session: any Session) throws {
    guard let project else { return }
    let isThere = try ProjectStore.get(project, in: session) != nil
    let isOwn = try !RoleAssignmentStore.roleIDs(of: user, on: .project(project), in: session).isEmpty
    guard isThere, isOwn || actor.isSiteAdmin else { throw APIError.badRequest("Could not find project: \(project).") }
  }
  private func storedCredentialBody(_ credential: CredentialStore.Credential, _ request: APIRequest) -> JSON {
    [
      "id": .string(credential.id), "user_id": .string(credential.userID), "project_id": JSON(credential.projectID),
      "type": .string(credential.type), "blob": .string(credential.blob),
      "links": ["self": .string("\(request.serviceURL)/v3/credentials/\(credential.id)")],
    ]
  }

  // MARK: Pairs of access key and secret

  private var ec2Endpoints: [Endpoint] {
    let path = "/v3/users/{user}/credentials/OS-EC2"
    return [
      Endpoint(.get, path, anyRule("ec2_list_credentials", Self.owners), "list key pairs") { request in
        let user = try ownUser(request)
        let items = try await database.read { session in
          try CredentialStore.list(user: user, type: "ec2", box: database.secrets, in: session)
        }
        return try listing("credentials", items.map { ec2Body($0, request) }, request)
      },
      Endpoint(.post, path, anyRule("ec2_create_credential", Self.owners), "make a key pair") { request in
        let actor = try request.actor()
        let user = try ownUser(request)
        try await refuseRestricted(request)
        let attributes = Attributes("ec2", try await request.object())
        guard let project = try attributes.text("tenant_id") ?? attributes.text("project_id") else {
          throw APIError.badRequest("'tenant_id' is a required property")
        }
        let access = Identifier.hex()
        let credential = CredentialStore.Credential(
          id: Digest.sha256Hex(access), userID: user, projectID: project, type: "ec2",
          blob: JSON.object(["access": .string(access), "secret": .string(Digest.hex(randomBytes(32)))]).description)
        try await change { session in
          guard try UserStore.get(user, in: session) != nil else { throw APIError.missing("user", user) }
          try refuseForeign(project, of: user, actor, in: session)
          try refuseTooMany(user, in: session)
          try CredentialStore.insert(credential, box: database.secrets, in: session)
        }
        return APIResponse(.created, json: ["credential": ec2Body(credential, request)])
      },
      Endpoint(.get, path + "/{access}", anyRule("ec2_get_credential", Self.owners), "show a key pair") { request in
        let found = try await database.read { try keyPair(request, in: $0) }
        return APIResponse(json: ["credential": ec2Body(found, request)])
      },
      Endpoint(.delete, path + "/{access}", anyRule("ec2_delete_credential", Self.owners), "delete a key pair") {
        request in
        try await refuseRestricted(request)
        try await change { try CredentialStore.delete(keyPair(request, in: $0).id, in: $0) }
        return .noContent
      },
    ]
  }
  /// The user of the path.
  /// - Throws: 403 when its secrets are none of the actor's, whether there is such a user or not.
  private func ownUser(_ request: APIRequest) throws -> String {
    let (user, actor) = (try request.parameter("user"), try request.actor())
    if case .domain = actor.scope {
      throw APIError.forbidden("Key pairs are for a token with the scope of a project, or of the system.")
    }
    guard isOwner(user, actor) else { throw unseen("user", user, by: actor) }
    return user
  }
  private func keyPair(_ request: APIRequest, in session: any Session) throws -> CredentialStore.Credential {
    let (user, access) = (try ownUser(request), try request.parameter("access"))
    guard let found = try CredentialStore.get(Digest.sha256Hex(access), box: database.secrets, in: session),
      found.userID == user, found.type == "ec2"
    else { throw APIError.missing("credential", access) }
    return found
  }
  private func ec2Body(_ credential: CredentialStore.Credential, _ request: APIRequest) -> JSON {
    let blob = (try? JSON(parsing: credential.blob)) ?? .null
    let access = blob["access"]?.string ?? ""
    return [
      "user_id": .string(credential.userID), "tenant_id": JSON(credential.projectID), "access": .string(access),
      "secret": blob["secret"] ?? nil, "trust_id": nil,
      "links": [
        "self": .string("\(request.serviceURL)/v3/users/\(credential.userID)/credentials/OS-EC2/\(access)")
      ],
    ]
  }
}
