import Domain
import Wire

/// Hides what looks like a secret in free-form documents that callers write themselves.
///
/// The controller's credentials are sealed in the store and never come here. This is for the rest: a config drive with a
/// password in it, a temporary URL's signature, a key under a name that no driver declares.
/// Source: Ironic's `mask_dict_password` and `mask_configdrive_contents`.
enum SecretMask {
  /// Lower-case parts of member names whose values are hidden.
  private static let words: [[UInt8]] = [
    "password", "secret", "token", "configdrive", "auth_key", "priv_key", "private_key", "image_url_sig",
  ].map { Array($0.utf8) }
  /// The words by their first letter.
  private static let byLetter: [[[UInt8]]] = {
    var table = [[[UInt8]]](repeating: [], count: 256)
    for word in words {
      table[Int(word[0])].append(word)
      table[Int(word[0] - 32)].append(word)
    }
    return table
  }()

  static func isSecret(_ key: String) -> Bool {
    var key = key
    return key.withUTF8 { mentionsSecret($0) }
  }
  /// One of the words occurs, in whatever case. Looks at every document of a list: a pass over its bytes, no copy.
  private static func mentionsSecret(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
    byLetter.withUnsafeBufferPointer { table in
      for at in text.indices {
        let candidates = table[Int(text[at])]
        if candidates.isEmpty { continue }
        for word in candidates where word.count <= text.count - at && begins(text, at, word) { return true }
      }
      return false
    }
  }
  private static func begins(_ text: UnsafeBufferPointer<UInt8>, _ at: Int, _ word: [UInt8]) -> Bool {
    for (index, byte) in word.enumerated() {
      let found = text[at + index]
      // Letters lose their case bit; '_' has it set already.
      if found != byte && (byte == 0x5f || found | 0x20 != byte) { return false }
    }
    return true
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
    guard utf8.count > 2, mentionsSecret(utf8) else { return writer.raw(utf8) }
    let json = (try? JSON.parse(UnsafeRawBufferPointer(utf8))) ?? .emptyObject
    writer.value(masked(json))
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
