/// Ids are UUIDs made by us.
public enum Identifier {
  /// A random UUID (RFC 9562, version 4), lower case, with dashes: what every API but Keystone shows.
  public static func uuid() -> String { random(dashes: true) }
  /// The same without dashes: ids of projects, users, roles and domains.
  public static func hex() -> String { random(dashes: false) }

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
  private static func random(dashes: Bool) -> String {
    var generator = SystemRandomNumberGenerator()
    let high = (generator.next() & 0xffff_ffff_ffff_0fff) | 0x4000
    let low = (generator.next() & 0x3fff_ffff_ffff_ffff) | 0x8000_0000_0000_0000
    return String(unsafeUninitializedCapacity: 36) { out in
      var at = 0
      for index in 0..<32 {
        if dashes && (index == 8 || index == 12 || index == 16 || index == 20) {
          out[at] = UInt8(ascii: "-")
          at += 1
        }
        let digit = UInt8((index < 16 ? high : low) >> UInt64(60 - index % 16 * 4) & 15)
        out[at] = digit < 10 ? 48 + digit : 87 + digit
        at += 1
      }
      return at
    }
  }
}
