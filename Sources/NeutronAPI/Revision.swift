import APISupport
import HTTPTypes

extension APIRequest {
  /// Refuses a change of something that changed since the client saw it: `If-Match: revision_number=5`.
  /// Source: Neutron API reference, "Resource revision numbers" (revision-if-match).
  /// - Throws: 412 when the revision is another, 400 for a number that is none. Without the header nothing is asked.
  func requireRevision(_ revision: Int) throws {
    guard let field = HTTPField.Name("If-Match"), let text = headers[field] else { return }
    let prefix = "revision_number="
    guard text.hasPrefix(prefix) else { return }
    guard let wanted = Int(text.dropFirst(prefix.count)) else {
      throw APIError.badRequest("Invalid revision_number format in header If-Match: '\(text.prefix(60))'.")
    }
    guard wanted == revision else {
      throw APIError(
        .preconditionFailed, "Constrained to \(wanted), but current revision is \(revision)",
        type: "RevisionNumberConstraintFailed")
    }
  }
}
