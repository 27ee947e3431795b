/// Links to the pages of a list.
enum ImageLinks {
  /// A path with a query, percent-encoded.
  static func path(_ path: String, _ items: [(name: String, value: String)]) -> String {
    let text = items.map { "\(encoded($0.name))=\(encoded($0.value))" }.joined(separator: "&")
    return path + (text.isEmpty ? "" : "?\(text)")
  }
  private static func encoded(_ text: String) -> String {
    var out = ""
    for byte in text.utf8 {
      switch byte {
      case 48...57, 65...90, 97...122, 0x2d, 0x2e, 0x5f, 0x7e: out.unicodeScalars.append(Unicode.Scalar(byte))
      default: out += (byte < 16 ? "%0" : "%") + String(byte, radix: 16, uppercase: true)
      }
    }
    return out
  }
}
