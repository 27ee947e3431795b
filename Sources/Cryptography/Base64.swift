/// Base64 (RFC 4648), with the URL alphabet and no padding where tokens are made.
public enum Base64 {
  private static let standard = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
  private static let url = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

  public static func urlText(_ bytes: [UInt8]) -> String { encode(bytes, url, padding: false) }
  public static func text(_ bytes: [UInt8]) -> String { encode(bytes, standard, padding: true) }

  private static func encode(_ bytes: [UInt8], _ alphabet: [UInt8], padding: Bool) -> String {
    var out: [UInt8] = []
    out.reserveCapacity((bytes.count + 2) / 3 * 4)
    var index = 0
    while index < bytes.count {
      let left = bytes.count - index
      let group =
        UInt32(bytes[index]) << 16 | (left > 1 ? UInt32(bytes[index + 1]) << 8 : 0)
        | (left > 2 ? UInt32(bytes[index + 2]) : 0)
      out.append(alphabet[Int(group >> 18 & 63)])
      out.append(alphabet[Int(group >> 12 & 63)])
      if left > 1 { out.append(alphabet[Int(group >> 6 & 63)]) } else if padding { out.append(61) }
      if left > 2 { out.append(alphabet[Int(group & 63)]) } else if padding { out.append(61) }
      index += 3
    }
    return String(decoding: out, as: UTF8.self)
  }

  /// Reads either alphabet, padded or not; white space is skipped. Nil for anything else.
  public static func bytes(_ text: String) -> [UInt8]? {
    var out: [UInt8] = []
    out.reserveCapacity(text.utf8.count * 3 / 4)
    var bits: UInt32 = 0
    var held = 0
    var ended = false
    for byte in text.utf8 {
      let value: UInt8
      switch byte {
      case 65...90: value = byte - 65
      case 97...122: value = byte - 71
      case 48...57: value = byte + 4
      case 43, 45: value = 62
      case 47, 95: value = 63
      case 61:
        ended = true
        continue
      case 10, 13, 32, 9: continue
      default: return nil
      }
      if ended { return nil }
      bits = bits << 6 | UInt32(value)
      held += 6
      if held >= 8 {
        held -= 8
        out.append(UInt8(bits >> UInt32(held) & 255))
      }
    }
    return out
  }
}
