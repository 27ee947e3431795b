import APISupport
import Domain
import HTTPTypes
import Store
import Wire

/// Changing one's own password. Source: Identity API reference v3, "Change password for user".
extension KeystoneFacade {
  var passwordEndpoints: [Endpoint] {
    [
      // Without a token, as upstream: one whose password has expired cannot get one. The old password is the proof.
      Endpoint(.post, "/v3/users/{user}/password", .open, "change one's own password", handler: changePassword)
    ]
  }

  /// - Throws: 400 in words for a password that breaks the site's rules.
  func checkedHash(_ password: String) async throws -> String {
    if let objection = passwordRules.objection(to: password) {
      throw APIError.badRequest("The password does not match the requirements: \(objection).")
    }
    return try await passwords.hash(password)
  }
  func set(password hash: String, of user: inout User, byAdministrator: Bool, at now: Timestamp) {
    user.passwordHash = hash
    user.passwordChangedAt = now
    user.passwordExpiresAt = passwordRules.expiry(setAt: now, byAdministrator: byAdministrator, options: user.options)
  }
  func keepOldPassword(of user: User, at now: Timestamp, in session: any Session) throws {
    guard let hash = user.passwordHash else { return }
    try PasswordStore.keep(hash, of: user.id, at: now, count: passwordRules.history - 1, in: session)
  }

  /// Also voids all tokens of the user, the caller's included. A wrong password counts as a failed log-in.
  private func changePassword(_ request: APIRequest) async throws -> APIResponse {
    let id = try request.parameter("user")
    let attributes = try await Attributes(request, "user")
    guard let old = try attributes.text("original_password"), let new = try attributes.text("password") else {
      throw APIError.badRequest("'original_password' and 'password' are required properties")
    }
    let (user, before) = try await database.read { session in
      let user = try UserStore.get(id, in: session)
      guard let user, try ProjectStore.get(user.domainID, in: session)?.isEnabled == true else {
        return (User?.none, [String]())
      }
      return (user, try PasswordStore.old(of: id, count: passwordRules.history - 1, in: session))
    }
    guard try await passwords.verify(old, of: user, now: request.now), let user, user.isEnabled else {
      throw APIError.unauthenticated
    }
    guard !user.has(option: "lock_password") else {
      throw APIError.badRequest(
        "You cannot change your password at this time due to password policy disallowing password changes. Please contact "
          + "your administrator to reset your password.")
    }
    if let changed = user.passwordChangedAt, request.now < changed + passwordRules.minimumAge,
      !user.isPasswordExpired(at: request.now)
    {
      throw APIError.badRequest(
        "You cannot change your password at this time due to the minimum password age. Once you change your password, it "
          + "must be used for \(Int(passwordRules.minimumAge.inSeconds / 86_400)) day(s) before it can be changed.")
    }
    var isKnown = old == new && passwordRules.history > 0
    for hash in before where !isKnown { isKnown = try await passwords.verifySecret(new, against: hash) }
    guard !isKnown else {
      throw APIError.badRequest(
        "Password validation error: The new password cannot be identical to a previous password. The total number which "
          + "includes the new password must be unique is \(passwordRules.history + 1).")
    }
    let hash = try await checkedHash(new)
    try await change { session in
      // The password that was proven must still be the user's: the administrator may have set another meanwhile.
      guard var current = try UserStore.get(id, in: session), current.passwordHash == user.passwordHash,
        current.isEnabled
      else {
        throw APIError.unauthenticated
      }
      try keepOldPassword(of: current, at: request.now, in: session)
      set(password: hash, of: &current, byAdministrator: false, at: request.now)
      try UserStore.update(current, in: session)
      try authority.revoke(Revocation(userID: id, issuedBefore: request.now), in: session)
      try passwords.forget(id, in: session)
    }
    return .noContent
  }
}
