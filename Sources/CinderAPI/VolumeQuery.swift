import APISupport
import Domain
import Store
import Wire

/// The filters, order and page of a list of volumes, snapshots or backups. Source: Block Storage API reference v3, "List
/// accessible volumes".
struct VolumeQuery: Sendable {
  enum Noun: String { case volumes, snapshots, backups }

  var listing: VolumeListing
  let wantsCount: Bool
  private let noun: Noun
  private let isDetailed: Bool

  init(_ request: APIRequest, _ noun: Noun, isDetailed: Bool, zone: String, longestPage: Int) throws {
    let (actor, query) = (try request.actor(), request.query)
    self.noun = noun
    self.isDetailed = isDetailed
    // Only administrators look beyond their project, and only when they say so.
    let isForAll = try query.bool("all_tenants") ?? false
    listing = VolumeListing(
      isForAll && actor.isSiteReader
        ? .everything : actor.projectID.map { .project($0) } ?? (actor.isSiteReader ? .everything : .nothing))
    var wantsCount = false
    for (name, value) in query {
      switch name {
      case "all_tenants", "limit", "marker", "offset", "sort", "sort_key", "sort_dir", "consumes_quota": break
      case "with_count": wantsCount = try query.bool(name) ?? false
      case "name", "status", "id", "volume_id", "user_id", "snapshot_id", "container", "description":
        guard let column = VolumeColumn(rawValue: name), Self.has(column, noun) else { break }
        if name == "status", !Self.isStatus(value, noun) {
          listing.tests.append(.equals(.id, []))
        } else {
          listing.tests.append(.equals(column, [.text(value)]))
        }
      case "display_name": listing.tests.append(.equals(.name, [.text(value)]))
      case "name~", "status~", "description~":
        guard let column = VolumeColumn(rawValue: String(name.dropLast())) else { break }
        listing.tests.append(.contains(column, value))
      case "size":
        guard let size = Int(value) else { throw APIError.badRequest("Invalid value '\(value)' for size.") }
        listing.tests.append(.equals(.size, [.int(size)]))
      case "bootable":
        guard noun == .volumes else { break }
        listing.tests.append(.equals(.bootable, [.bool(try query.bool(name) ?? false)]))
      case "availability_zone": if value != zone { listing.tests.append(.equals(.id, [])) }
      case "multiattach", "encrypted": if try query.bool(name) == true { listing.tests.append(.equals(.id, [])) }
      case "group_id", "migration_status", "host", "glance_metadata":
        // Nothing here has one.
        if noun == .volumes, name == "glance_metadata" || name == "group_id" { listing.tests.append(.equals(.id, [])) }
      case "project_id":
        listing.tests.append(.equals(.projectID, [.text(value)]))
      case "metadata":
        for (key, text) in try Self.pairs(value) { listing.tests.append(.metadata(key: key, value: text)) }
      case "created_at", "updated_at":
        guard let column = VolumeColumn(rawValue: name) else { break }
        for part in value.split(separator: ",") { listing.tests.append(try Self.time(column, part)) }
      default: break
      }
    }
    self.wantsCount = wantsCount
    try readPage(request, longestPage)
  }

  private static func has(_ column: VolumeColumn, _ noun: Noun) -> Bool {
    switch column {
    case .volumeID: noun != .volumes
    case .snapshotID: noun != .snapshots
    case .sourceVolumeID, .typeID, .bootable: noun == .volumes
    case .container: noun == .backups
    default: true
    }
  }
  private static func isStatus(_ word: String, _ noun: Noun) -> Bool {
    switch noun {
    case .volumes: Volume.Status(rawValue: word) != nil
    case .snapshots: VolumeSnapshot.Status(rawValue: word) != nil
    case .backups: VolumeBackup.Status(rawValue: word) != nil
    }
  }
  /// `{'k': 'v'}` as Python writes it, or JSON.
  private static func pairs(_ text: String) throws -> [(String, String)] {
    let json = text.replacing("u'", with: "'").replacing("'", with: "\"")
    guard let object = try? JSON(parsing: json).object else {
      throw APIError.badRequest("Invalid value for metadata: {'key': 'value'} is expected.")
    }
    return object.map { ($0.key, $0.value.string ?? $0.value.description) }
  }
  /// "gte:2026-11-22T00:00:00".
  private static func time(_ column: VolumeColumn, _ text: Substring) throws -> VolumeListing.Test {
    let words: [(String, VolumeListing.Comparison?)] = [
      ("gte:", .greaterOrEqual), ("gt:", .greater), ("lte:", .lessOrEqual), ("lt:", .less), ("neq:", .differs),
      ("eq:", nil),
    ]
    let found = words.first { text.hasPrefix($0.0) }
    let rest = String(text.dropFirst(found?.0.count ?? 0))
    guard let time = Timestamp(parsing: rest) else {
      throw APIError.badRequest("Invalid time '\(rest)' for \(column.rawValue).")
    }
    guard let comparison = found?.1 else { return .equals(column, [Value(time)]) }
    return .compares(column, comparison, Value(time))
  }

  private mutating func readPage(_ request: APIRequest, _ longest: Int) throws {
    let query = request.query
    func number(_ name: String) throws -> Int? {
      guard let text = query[name] else { return nil }
      guard let value = Int(text), value >= 0 else {
        throw APIError.badRequest("\(name) param must be a whole number of 0 or more")
      }
      return value
    }
    listing.limit = min(try number("limit") ?? longest, longest)
    listing.offset = try number("offset") ?? 0
    guard listing.offset <= 1 << 40 else { throw APIError.badRequest("offset is too large") }
    listing.marker = query["marker"].flatMap { $0.isEmpty ? nil : $0 }
    var keys: [(String, String)] = []
    if let sort = query["sort"] {
      guard query["sort_key"] == nil, query["sort_dir"] == nil else {
        throw APIError.badRequest(
          "The 'sort_key' and 'sort_dir' parameters are deprecated and cannot be used with the 'sort' parameter.")
      }
      keys = sort.split(separator: ",").map { part in
        let halves = part.split(separator: ":", maxSplits: 1).map { String($0) }
        return (halves.first ?? "", halves.count > 1 ? halves[1] : "desc")
      }
    } else if let key = query["sort_key"] {
      keys = [(key, query["sort_dir"] ?? "desc")]
    }
    guard keys.count <= 8 else { throw APIError.badRequest("At most 8 sort keys are taken.") }
    if keys.isEmpty { return }
    let noun = noun
    listing.order = try keys.map { name, direction in
      guard ["asc", "desc"].contains(direction) else {
        throw APIError.badRequest("Unknown sort direction, must be one of: asc, desc")
      }
      let word = name == "display_name" ? "name" : name == "bootable" ? "is_bootable" : name
      guard let column = VolumeColumn(rawValue: word), Self.has(column, noun), column != .userID
      else { throw APIError.badRequest("Invalid sort key: \(name)") }
      return .init(column, isDescending: direction == "desc")
    }
  }

  /// The whole answer: the page, how to go on, and how many there are in all.
  func answer<Item>(
    _ request: APIRequest, _ items: [Item], count: Int?, id: (Item) -> String, _ shown: (Item) -> JSON
  ) -> APIResponse {
    let limit = listing.limit ?? items.count
    let page = items.prefix(limit)
    var out: JSONObject = [noun.rawValue: .array(page.map { shown($0) })]
    // A full page names the next one, which may be empty, as upstream.
    if limit > 0, page.count == limit, let last = page.last {
      let kept = request.query.items.filter { !["marker", "offset"].contains($0.name) } + [("marker", id(last))]
      let text = kept.map { "\(percentEncoded($0.name))=\(percentEncoded($0.value))" }.joined(separator: "&")
      let path = isDetailed ? "\(noun.rawValue)/detail" : noun.rawValue
      out["\(noun.rawValue)_links"] = [["rel": "next", "href": .string("\(request.serviceURL)/v3/\(path)?\(text)")]]
    }
    if let count { out["count"] = .int(count) }
    return APIResponse(json: .object(out))
  }
}
