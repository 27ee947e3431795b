import Domain
import Wire

/// Hides what looks like a secret in free-form documents that callers write themselves.
///
/// The controller's credentials are sealed in the store and never come here. This is for the rest: a config drive with a
/// password in it, a temporary URL's signature, a key under a name that no driver declares.
/// Source: Ironic's `mask_dict_password` and `mask_configdrive_contents`.
enum SecretMask {
  /// Lower-case parts of member names whose values are hidden.
  private static let words: [StaticString] = [
    "password", "secret", "token", "configdrive", "auth_key", "priv_key", "private_key", "image_url_sig",
  ]

  static func isSecret(_ key: String) -> Bool {
    var key = key
    return key.withUTF8 { isSecret($0) }
  }
  /// One of the words occurs, in whatever case.
  private static func isSecret(_ key: UnsafeBufferPointer<UInt8>) -> Bool {
    for at in key.indices {
      switch key[at] | 0x20 {
      case UInt8(ascii: "p"), UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "c"), UInt8(ascii: "a"),
        UInt8(ascii: "i"):
        let rest = UnsafeBufferPointer(rebasing: key[at...])
        if words.contains(where: { begins(rest, $0) }) { return true }
      default: continue
      }
    }
    return false
  }
  private static func begins(_ text: UnsafeBufferPointer<UInt8>, _ word: StaticString) -> Bool {
    guard word.utf8CodeUnitCount <= text.count else { return false }
    for index in 0..<word.utf8CodeUnitCount {
      let (byte, found) = (word.utf8Start[index], text[index])
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

  /// Writes a stored document, which is valid JSON. Every row of a detailed list comes here, and every `driver_info` has a
  /// password: one pass over the bytes, in which a string before a colon is a member's name.
  static func write(_ utf8: UnsafeBufferPointer<UInt8>, _ writer: inout JSONWriter) {
    guard !utf8.isEmpty else { return writer.null() }
    let quote = UInt8(ascii: "\"")
    writer.beginPieces()
    var written = 0
    var at = 0
    while at < utf8.count {
      guard utf8[at] == quote else {
        at += 1
        continue
      }
      let name = at + 1
      at = afterString(utf8, at)
      var value = at
      while value < utf8.count, utf8[value] <= 0x20 { value += 1 }
      guard value < utf8.count, utf8[value] == UInt8(ascii: ":") else { continue }
      value += 1
      while value < utf8.count, utf8[value] <= 0x20 { value += 1 }
      guard value < utf8.count, isSecretName(UnsafeBufferPointer(rebasing: utf8[name..<at - 1])) else { continue }
      switch utf8[value] {
      case UInt8(ascii: "n"), UInt8(ascii: "t"), UInt8(ascii: "f"): continue
      default: break
      }
      writer.piece(UnsafeBufferPointer(rebasing: utf8[written..<value]))
      writer.piece(maskText)
      at = afterValue(utf8, value)
      written = at
    }
    writer.piece(UnsafeBufferPointer(rebasing: utf8[written...]))
  }
  private static let maskText = Array(JSON.string(Node.mask).description.utf8)

  /// A name with escapes in it is read first: `pass\u0077ord`.
  private static func isSecretName(_ name: UnsafeBufferPointer<UInt8>) -> Bool {
    guard name.contains(0x5c) else { return isSecret(name) }
    guard case .string(let text)? = try? JSON(parsing: "\"\(String(decoding: name, as: UTF8.self))\"") else {
      return true
    }
    return isSecret(text)
  }
  /// The place behind the string that begins at `start`.
  private static func afterString(_ utf8: UnsafeBufferPointer<UInt8>, _ start: Int) -> Int {
    var at = start + 1
    while at < utf8.count, utf8[at] != 0x22 { at += utf8[at] == 0x5c ? 2 : 1 }
    return min(at + 1, utf8.count)
  }
  /// The place behind the value that begins at `start`.
  private static func afterValue(_ utf8: UnsafeBufferPointer<UInt8>, _ start: Int) -> Int {
    var at = start
    var depth = 0
    while at < utf8.count {
      switch utf8[at] {
      case 0x22:
        at = afterString(utf8, at)
        if depth == 0 { return at }
      case UInt8(ascii: "{"), UInt8(ascii: "["):
        depth += 1
        at += 1
      case UInt8(ascii: "}"), UInt8(ascii: "]"):
        // The end of what the value is in, when it is a number.
        if depth == 0 { return at }
        depth -= 1
        at += 1
        if depth == 0 { return at }
      case UInt8(ascii: ",") where depth == 0: return at
      default: at += 1
      }
    }
    return at
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
