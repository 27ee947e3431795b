/// Ids are UUIDs made by us.
public enum Identifier {
  /// A random UUID (RFC 9562, version 4), lower case, with dashes: what every API but Keystone shows.
  public static func uuid() -> String {
    var generator = SystemRandomNumberGenerator()
    let high = (generator.next() & 0xffff_ffff_ffff_0fff) | 0x4000
    let low = (generator.next() & 0x3fff_ffff_ffff_ffff) | 0x8000_0000_0000_0000
    let digits = hexText(high) + hexText(low)
    var out = ""
    for (index, character) in digits.enumerated() {
      if index == 8 || index == 12 || index == 16 || index == 20 { out.append("-") }
      out.append(character)
    }
    return out
  }
  /// The same without dashes: ids of projects, users, roles and domains.
  public static func hex() -> String { uuid().filter { $0 != "-" } }

  /// True for the 36-character text of a UUID, in either case.
  public static func isUUID(_ text: String) -> Bool {
    let bytes = Array(text.utf8)
    guard bytes.count == 36 else { return false }
    for (index, byte) in bytes.enumerated() {
      if index == 8 || index == 13 || index == 18 || index == 23 {
        if byte != UInt8(ascii: "-") { return false }
      } else if !(byte >= 48 && byte <= 57 || byte >= 97 && byte <= 102 || byte >= 65 && byte <= 70) {
        return false
      }
    }
    return true
  }
  private static func hexText(_ value: UInt64) -> String {
    let text = String(value, radix: 16)
    return String(repeating: "0", count: 16 - text.count) + text
  }
}
