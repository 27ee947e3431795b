import APISupport

/// Links to the pages of a list.
enum ImageLinks {
  /// A path with a query, percent-encoded.
  static func path(_ path: String, _ items: [(name: String, value: String)]) -> String {
    let text = items.map { "\(percentEncoded($0.name))=\(percentEncoded($0.value))" }.joined(separator: "&")
    return path + (text.isEmpty ? "" : "?\(text)")
  }
}
