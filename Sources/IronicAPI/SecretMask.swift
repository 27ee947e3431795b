import Domain
import Wire

/// Hides what looks like a secret in free-form documents that callers write themselves.
///
/// The controller's credentials are sealed in the store and never come here. This is for the rest: a config drive with a
/// password in it, a temporary URL's signature, a key under a name that no driver declares.
/// Source: Ironic's `mask_dict_password` and `mask_configdrive_contents`.
enum SecretMask {
  /// Lower-case parts of member names whose values are hidden.
  private static let words = [
    "password", "secret", "token", "configdrive", "auth_key", "priv_key", "private_key", "image_url_sig",
  ]

  static func isSecret(_ key: String) -> Bool {
    let lower = key.lowercased()
    return words.contains { lower.contains($0) }
  }

  /// The document with secrets as ``Node/mask``, at any depth.
  static func masked(_ json: JSON) -> JSON {
    switch json {
    case .object(let object):
      var out = JSONObject()
      for member in object {
        out[member.key] =
          isSecret(member.key) && !member.value.isNull && member.value.bool == nil
          ? .string(Node.mask) : masked(member.value)
      }
      return .object(out)
    case .array(let items): return .array(items.map { masked($0) })
    default: return json
    }
  }

  /// Writes a stored document; it is taken apart only when one of the words occurs in it.
  static func write(_ utf8: UnsafeBufferPointer<UInt8>, _ writer: inout JSONWriter) {
    guard !utf8.isEmpty else { return writer.null() }
    guard mentionsSecret(utf8) else { return writer.raw(utf8) }
    let json = (try? JSON.parse(UnsafeRawBufferPointer(utf8))) ?? .emptyObject
    writer.value(masked(json))
  }
  private static func mentionsSecret(_ utf8: UnsafeBufferPointer<UInt8>) -> Bool {
    if utf8.count <= 2 { return false }
    let text = String(decoding: utf8, as: UTF8.self)
    return isSecret(text)
  }

  /// A patched document: a mask written back where a secret was keeps the secret.
  static func keeping(_ old: JSONObject, in new: JSONObject) -> JSONObject {
    var out = new
    for member in new {
      if member.value.string == Node.mask, let kept = old[member.key] {
        out[member.key] = kept
      } else if case .object(let inner) = member.value, case .object(let before)? = old[member.key] {
        out[member.key] = .object(keeping(before, in: inner))
      }
    }
    return out
  }
}
