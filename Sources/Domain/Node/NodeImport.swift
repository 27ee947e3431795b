import Wire

/// Nodes and their ports as a file lists them, for `steelyard import`.
///
/// An entry is an object with a node's members, `ports`, and ranges in its texts: `r1u[1-40]` stands for forty nodes, and every
/// other text of the entry with a range counts along: `10.0.3.[11-50]`. A text without one is the same for all.
public enum NodeImport {
  public struct Item: Sendable, Equatable {
    /// Members of `POST /v1/nodes`.
    public var node: JSONObject
    /// Members of `POST /v1/ports`, but for the node.
    public var ports: [JSONObject]
    public var name: String { node["name"]?.string ?? "" }
  }
  public struct Problem: Error, Sendable, Equatable, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
  }
  /// Nodes of one file.
  public static let most = 10_000

  /// - Throws: ``Problem`` naming the entry, from 1.
  public static func items(_ entries: [JSONObject]) throws -> [Item] {
    var items: [Item] = []
    var names: Set<String> = []
    for (index, entry) in entries.enumerated() {
      do {
        for item in try expanded(entry) {
          guard !item.name.isEmpty else { throw Problem("it has no name") }
          guard names.insert(item.name).inserted else { throw Problem("the name \(item.name) is there twice") }
          items.append(item)
          guard items.count <= most else { throw Problem("there are more than \(most) nodes") }
        }
      } catch let problem as Problem { throw Problem("entry \(index + 1): \(problem)") }
    }
    return items
  }

  private static func expanded(_ entry: JSONObject) throws -> [Item] {
    var lengths: Set<Int> = []
    try visit(.object(entry)) { text in if let range = try TextRange(text) { lengths.insert(range.count) } }
    guard lengths.count < 2 else {
      throw Problem("its ranges are of different lengths: \(lengths.sorted().map { "\($0)" }.joined(separator: ", "))")
    }
    if let count = lengths.first, try TextRange(entry["name"]?.string ?? "") == nil {
      throw Problem("it has a range of \(count) and its name has none")
    }
    return try (0..<(lengths.first ?? 1)).map { index in
      var node = try at(index, .object(entry)).object ?? [:]
      let ports = try (node["ports"]?.array ?? []).map { port -> JSONObject in
        // A port that is only an address.
        if let address = port.string { return ["address": .string(address)] }
        guard let object = port.object else { throw Problem("a port is an address or an object with one") }
        return object
      }
      if let given = node["ports"], given.array == nil { throw Problem("ports are a list") }
      node["ports"] = nil
      return Item(node: node, ports: ports)
    }
  }
  private static func visit(_ json: JSON, _ body: (String) throws -> Void) throws {
    switch json {
    case .string(let text): try body(text)
    case .array(let items): for item in items { try visit(item, body) }
    case .object(let object): for member in object { try visit(member.value, body) }
    default: break
    }
  }
  private static func at(_ index: Int, _ json: JSON) throws -> JSON {
    switch json {
    case .string(let text): return .string(try TextRange(text)?[index] ?? text)
    case .array(let items): return .array(try items.map { try at(index, $0) })
    case .object(let object):
      var out: JSONObject = [:]
      for member in object { out[member.key] = try at(index, member.value) }
      return .object(out)
    default: return json
    }
  }

  // MARK: CSV

  /// Reads a table whose first row names members: `name`, `driver`, `resource_class`, …, with dots into documents
  /// (`driver_info.ipmi_address`, `properties.rack`); `ports` are addresses with spaces between them. An empty cell is none.
  /// Source: RFC 4180.
  public static func entries(csv text: String) throws -> [JSONObject] {
    var rows = try rows(csv: text)[...]
    guard let heads = rows.popFirst(), heads.allSatisfy({ !$0.isEmpty }), Set(heads).count == heads.count else {
      throw Problem("the first row names the columns, each once")
    }
    return try rows.enumerated().map { index, row in
      guard row.count == heads.count else {
        throw Problem("row \(index + 2) has \(row.count) cells, and there are \(heads.count) columns")
      }
      var entry: JSONObject = [:]
      for (head, cell) in zip(heads, row) where !cell.isEmpty {
        let parts = head.split(separator: ".", maxSplits: 1).map { String($0) }
        if head == "ports" {
          entry["ports"] = .array(cell.split(separator: " ").map { .string(String($0)) })
        } else if parts.count == 2 {
          var document = entry[parts[0]]?.object ?? [:]
          document[parts[1]] = .string(cell)
          entry[parts[0]] = .object(document)
        } else {
          entry[head] = .string(cell)
        }
      }
      return entry
    }
  }
  private static func rows(csv text: String) throws -> [[String]] {
    var rows: [[String]] = []
    var row: [String] = []
    var cell = ""
    var isQuoted = false
    var characters = text.makeIterator()
    var next = characters.next()
    func trimmed(_ text: String) -> String {
      String(text.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
    }
    func endRow() {
      row.append(trimmed(cell))
      if row != [""] { rows.append(row) }
      (row, cell) = ([], "")
    }
    while let character = next {
      next = characters.next()
      switch character {
      case "\"" where isQuoted && next == "\"":
        cell.append("\"")
        next = characters.next()
      case "\"": isQuoted.toggle()
      case "," where !isQuoted:
        row.append(trimmed(cell))
        cell = ""
      case "\n" where !isQuoted, "\r\n" where !isQuoted: endRow()
      default: cell.append(character)
      }
    }
    guard !isQuoted else { throw Problem("a quotation mark is not closed") }
    endRow()
    return rows
  }
}

/// A text with one range of whole numbers in it: `r1u[1-40]`, `node[001-100].rack`. The width of the first number is kept.
public struct TextRange: Sendable, Equatable {
  private let before: String, after: String
  private let first: Int
  private let width: Int
  public let count: Int

  /// - Returns: nil for a text without a range.
  /// - Throws: ``NodeImport/Problem`` for a range that runs backwards, is too long, or is not the only one.
  public init?(_ text: String) throws {
    guard let open = text.firstIndex(of: "["), let close = text[open...].firstIndex(of: "]") else { return nil }
    let ends = text[text.index(after: open)..<close].split(separator: "-", omittingEmptySubsequences: false)
    func isNumber(_ text: Substring) -> Bool {
      (1...9).contains(text.utf8.count) && text.utf8.allSatisfy { (0x30...0x39).contains($0) }
    }
    guard ends.count == 2, isNumber(ends[0]), isNumber(ends[1]), let first = Int(ends[0]), let last = Int(ends[1])
    else {
      return nil
    }
    (before, after) = (String(text[..<open]), String(text[text.index(after: close)...]))
    guard first <= last, last - first < NodeImport.most else {
      throw NodeImport.Problem("the range of \(text) is empty, or longer than \(NodeImport.most)")
    }
    guard try TextRange(after) == nil else { throw NodeImport.Problem("\(text) has more than one range") }
    self.first = first
    width = ends[0].utf8.count
    count = last - first + 1
  }

  public subscript(_ index: Int) -> String {
    let number = String(first + index)
    return before + String(repeating: "0", count: max(0, width - number.utf8.count)) + number + after
  }
}
