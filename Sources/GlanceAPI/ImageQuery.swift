import APISupport
import Domain
import Wire

/// The filters, order and page of an image list. Source: Glance API reference, "List images".
struct ImageQuery: Sendable {
  enum Audience: Sendable {
    /// What a list shows by default: own, public, and shared ones that were accepted.
    case usual
    case only(Image.Visibility)
    case all
  }
  let audience: Audience
  /// Which shared images of others: by what the caller's project has answered. Nil is any answer.
  let memberStatus: ImageMember.Status?
  let limit: Int
  let marker: String?
  private let tests: [@Sendable (Image) -> Bool]
  private let order: @Sendable (Image, Image) -> Bool
  /// The names that are filtered by in the database too.
  let names: [String]
  let ids: [String]
  let isHidden: Bool
  /// Whether the newest comes first, of a list that the database puts in order and cuts into pages: one without further filters, by
  /// when images were made. Nil for others, which are read whole.
  let isNewestFirst: Bool?

  private static let mostPerPage = 1000

  init(_ query: QueryParameters) throws {
    var tests: [@Sendable (Image) -> Bool] = []
    var isHidden = false
    for (name, value) in query {
      switch name {
      case "limit", "marker", "sort_key", "sort_dir", "sort", "visibility", "member_status", "name", "id": break
      case "os_hidden": isHidden = try query.bool("os_hidden") ?? false
      case "tag": tests.append { $0.tags.contains(value) }
      case "protected":
        let flag = try query.bool("protected") ?? false
        tests.append { $0.isProtected == flag }
      case "status":
        let values = Self.list(value)
        tests.append { values.contains($0.status.rawValue) }
      case "owner": tests.append { $0.owner == value }
      case "disk_format":
        let values = Self.list(value)
        tests.append { values.contains($0.diskFormat ?? "") }
      case "container_format":
        let values = Self.list(value)
        tests.append { values.contains($0.containerFormat ?? "") }
      case "checksum": tests.append { $0.md5 == value }
      case "os_hash_algo": tests.append { $0.sha512 != nil && value == "sha512" }
      case "os_hash_value": tests.append { $0.sha512 == value }
      case "size_min", "size_max", "min_ram", "min_disk", "size":
        guard let number = Int(value) else {
          throw APIError.badRequest("Invalid value '\(value)' for \(name): a whole number is expected.")
        }
        switch name {
        case "size_min": tests.append { ($0.size ?? 0) >= number }
        case "size_max": tests.append { ($0.size ?? 0) <= number }
        case "size": tests.append { $0.size == number }
        case "min_ram": tests.append { $0.minRAM == number }
        default: tests.append { $0.minDisk == number }
        }
      case "created_at": tests.append(try Self.time(name, value) { $0.createdAt })
      case "updated_at": tests.append(try Self.time(name, value) { $0.updatedAt })
      default: tests.append { $0.properties[name]?.string == value }
      }
    }
    let hasFilters = !tests.isEmpty
    tests.append { [isHidden] in $0.isHidden == isHidden }
    self.tests = tests
    self.isHidden = isHidden
    names = query["name"].map { Self.list($0) } ?? []
    ids = query["id"].map { Self.list($0) } ?? []

    switch query["visibility"] {
    case nil: audience = .usual
    case "all": audience = .all
    case let word?:
      guard let visibility = Image.Visibility(rawValue: word) else {
        throw APIError.badRequest("Invalid visibility value: \(word)")
      }
      audience = .only(visibility)
    }
    switch query["member_status"] {
    case nil: memberStatus = .accepted
    case "all": memberStatus = nil
    case let word?:
      guard let status = ImageMember.Status(rawValue: word) else {
        throw APIError.badRequest("Invalid status: \(word)")
      }
      memberStatus = status
    }
    let wanted = try query.int("limit") ?? Self.mostPerPage
    guard wanted >= 0 else { throw APIError.badRequest("limit param must be positive") }
    limit = min(wanted, Self.mostPerPage)
    marker = query["marker"].flatMap { $0.isEmpty ? nil : $0 }
    let keys = try Self.keys(query)
    order = try Self.order(keys)
    isNewestFirst =
      hasFilters || keys.map(\.key) != ["created_at", "id"] || keys[0].direction != keys[1].direction
      ? nil : keys[0].direction == "desc"
  }

  /// "in:a,b" is a list, anything else one value; quotes keep commas.
  private static func list(_ text: String) -> [String] {
    guard text.hasPrefix("in:") else { return [text] }
    var values: [String] = []
    var current = ""
    var isQuoted = false
    for character in text.dropFirst(3) {
      switch character {
      case "\"": isQuoted.toggle()
      case "," where !isQuoted:
        values.append(current)
        current = ""
      default: current.append(character)
      }
    }
    return values + [current]
  }
  private static func time(
    _ name: String, _ value: String, _ get: @escaping @Sendable (Image) -> Timestamp
  ) throws -> @Sendable (Image) -> Bool {
    var word = "eq"
    var text = value
    for known in ["gte", "gt", "lte", "lt", "neq", "eq"] where value.hasPrefix(known + ":") {
      (word, text) = (known, String(value.dropFirst(known.utf8.count + 1)))
    }
    guard let time = Timestamp(parsing: text) else {
      throw APIError.badRequest("Invalid time value '\(value)' for \(name).")
    }
    // Shown without fractions, so compared without.
    let seconds = time.microseconds / 1_000_000
    @Sendable func at(_ image: Image) -> Int { get(image).microseconds / 1_000_000 }
    switch word {
    case "gte": return { at($0) >= seconds }
    case "gt": return { at($0) > seconds }
    case "lte": return { at($0) <= seconds }
    case "lt": return { at($0) < seconds }
    case "neq": return { at($0) != seconds }
    default: return { at($0) == seconds }
    }
  }

  private static func keys(_ query: QueryParameters) throws -> [(key: String, direction: String)] {
    var keys: [(key: String, direction: String)] = []
    if let sort = query["sort"] {
      guard query["sort_key"] == nil, query["sort_dir"] == nil else {
        throw APIError.badRequest("Old and new sorting syntax cannot be combined")
      }
      keys = sort.split(separator: ",").map { part in
        let halves = part.split(separator: ":", maxSplits: 1).map { String($0) }
        return (halves.first ?? "", halves.count > 1 ? halves[1] : "desc")
      }
    } else {
      let names = query.all("sort_key")
      let directions = query.all("sort_dir")
      keys = names.enumerated().map { ($1, $0 < directions.count ? directions[$0] : directions.last ?? "desc") }
      if names.isEmpty { keys = [("created_at", directions.first ?? "desc")] }
    }
    keys.append(("id", keys.last?.direction ?? "desc"))
    return keys
  }
  private static func order(_ keys: [(key: String, direction: String)]) throws -> @Sendable (Image, Image) -> Bool {
    var comparisons: [@Sendable (Image, Image) -> Int] = []
    for (key, direction) in keys {
      guard direction == "asc" || direction == "desc" else {
        throw APIError.badRequest("Invalid sort direction: \(direction)")
      }
      let ascending = try comparison(key)
      if direction == "asc" { comparisons.append(ascending) } else { comparisons.append { ascending($1, $0) } }
    }
    return { [comparisons] a, b in
      for compare in comparisons {
        let result = compare(a, b)
        if result != 0 { return result < 0 }
      }
      return false
    }
  }
  private static func comparison(_ key: String) throws -> @Sendable (Image, Image) -> Int {
    switch key {
    case "id": return { compare($0.id, $1.id) }
    case "name": return { compare($0.name ?? "", $1.name ?? "") }
    case "status": return { compare($0.status.rawValue, $1.status.rawValue) }
    case "container_format": return { compare($0.containerFormat ?? "", $1.containerFormat ?? "") }
    case "disk_format": return { compare($0.diskFormat ?? "", $1.diskFormat ?? "") }
    case "size": return { compare($0.size ?? -1, $1.size ?? -1) }
    case "created_at": return { compare($0.createdAt, $1.createdAt) }
    case "updated_at": return { compare($0.updatedAt, $1.updatedAt) }
    default: throw APIError.badRequest("Invalid sort key: \(key)")
    }
  }

  static func invalidMarker(_ marker: String) -> APIError {
    .badRequest("Invalid marker. Image \(marker) is not in this list.")
  }

  /// The page of those of `images` that match.
  /// - Throws: 400 for a marker that is not among them.
  func page(of images: [Image]) throws -> (page: [Image], hasMore: Bool) {
    let matching = images.filter { image in tests.allSatisfy { $0(image) } }.sorted(by: order)
    var rest = matching[...]
    if let marker {
      guard let index = matching.firstIndex(where: { $0.id == marker }) else {
        throw Self.invalidMarker(marker)
      }
      rest = matching[(index + 1)...]
    }
    return (Array(rest.prefix(limit)), rest.count > limit)
  }
}

private func compare<T: Comparable>(_ a: T, _ b: T) -> Int { a < b ? -1 : a == b ? 0 : 1 }
