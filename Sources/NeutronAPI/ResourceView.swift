import APISupport
import HTTPTypes
import Wire

/// How one kind of resource is shown: alone, in lists with filters, `fields`, sorting and paging.
///
/// Source: Neutron API reference, "General information": filtering and column selection, sorting, pagination.
struct ResourceView<Resource: Sendable>: Sendable {
  let singular: StaticString
  let plural: StaticString
  /// For links to the next page.
  let path: String
  let id: @Sendable (Resource) -> String
  let attributes: [Attribute<Resource>]
  /// Query parameters that are filters of their own, applied by who lists.
  var ownFilters: Set<String> = []
  /// Attributes that only those who read the whole site are shown; for others they are not there.
  var sitesOwn: Set<String> = []

  private static var listParameters: Set<String> {
    ["fields", "sort_key", "sort_dir", "limit", "marker", "page_reverse"]
  }
  /// Most items in a page; a client that asks for more, or does not ask, gets them all.
  func chosen(_ request: APIRequest) -> [Attribute<Resource>] {
    let names = Set(request.query.all("fields").filter { !$0.isEmpty })
    let shown = visible(request)
    return names.isEmpty ? shown : shown.filter { names.contains("\($0.name)") }
  }
  private func visible(_ request: APIRequest) -> [Attribute<Resource>] {
    if sitesOwn.isEmpty || (try? request.actor())?.isSiteReader == true { return attributes }
    return attributes.filter { !sitesOwn.contains("\($0.name)") }
  }

  func write(_ resource: Resource, _ attributes: [Attribute<Resource>], to writer: inout JSONWriter) {
    writer.beginObject()
    for attribute in attributes { attribute.write(resource, to: &writer) }
    writer.endObject()
  }

  /// `{"network": {…}}`
  func show(_ resource: Resource, _ request: APIRequest, status: HTTPResponse.Status = .ok) -> APIResponse {
    var writer = JSONWriter(capacity: 2048)
    writer.beginObject()
    writer.key(singular)
    write(resource, request.method == .get ? chosen(request) : visible(request), to: &writer)
    writer.endObject()
    return APIResponse(status, writer)
  }
  /// `{…}`: the resource itself, as the verbs of trunks and routers answer.
  func plain(_ resource: Resource, _ request: APIRequest) -> APIResponse {
    var writer = JSONWriter(capacity: 2048)
    write(resource, attributes, to: &writer)
    return APIResponse(.ok, writer)
  }
  /// The resource inside of another one.
  func json(_ resource: Resource) -> JSON {
    var object = JSONObject()
    for attribute in attributes { object["\(attribute.name)"] = attribute.json(resource) }
    return .object(object)
  }
  /// `{"networks": […]}` for what was just made in bulk.
  func made(_ resources: [Resource]) -> APIResponse {
    var writer = JSONWriter(capacity: 4096)
    writer.beginObject()
    writer.key(plural)
    writer.beginArray()
    for resource in resources { write(resource, attributes, to: &writer) }
    writer.endArray()
    writer.endObject()
    return APIResponse(.created, writer)
  }

  /// `{"networks": […], "networks_links": […]}`, filtered, sorted and cut to a page.
  /// - Throws: 400 for a filter or sort key that the resource does not have: an ignored one would answer a question that
  ///   nobody asked.
  func list(_ resources: [Resource], _ request: APIRequest) throws -> APIResponse {
    let query = request.query
    let shown = try sorted(resources.filter(try filters(query)), query)
    let page = try page(of: shown, query)

    let chosen = chosen(request)
    var writer = JSONWriter(capacity: 1024 * max(page.count, 1))
    writer.beginObject()
    writer.key(plural)
    writer.beginArray()
    for resource in page { write(resource, chosen, to: &writer) }
    writer.endArray()
    if let limit = try query.int("limit"), limit > 0 {
      writer.dynamicKey("\(plural)_links")
      writer.value(try links(page, request, isFull: page.count >= limit))
    }
    writer.endObject()
    return APIResponse(.ok, writer)
  }

  /// What a resource must match to be in the list that a query asks for.
  /// - Throws: 400, as ``list(_:_:)``.
  func filters(_ query: QueryParameters) throws -> @Sendable (Resource) -> Bool {
    var all: [@Sendable (Resource) -> Bool] = []
    var seen: Set<String> = []
    for (name, _) in query
    where !Self.listParameters.contains(name) && !ownFilters.contains(name) && seen.insert(name).inserted {
      guard let attribute = attributes.first(where: { "\($0.name)" == name }) else {
        throw APIError.invalid("['\(name)'] is invalid attribute for filtering", type: "HTTPBadRequest")
      }
      guard let matches = attribute.matcher(query.all(name)) else {
        throw APIError.invalid("'\(query[name] ?? "")' is no value to filter \(name) by.")
      }
      all.append(matches)
    }
    return { [all] resource in all.allSatisfy { $0(resource) } }
  }

  private func sorted(_ resources: [Resource], _ query: QueryParameters) throws -> [Resource] {
    let keys = query.all("sort_key")
    if keys.isEmpty { return resources }
    let directions = query.all("sort_dir")
    var orders: [(Resource, Resource) -> Int] = []
    for (index, key) in keys.enumerated() {
      guard let order = attributes.first(where: { "\($0.name)" == key })?.comparator else {
        throw APIError.invalid("\(key) is invalid attribute for sort_key")
      }
      let direction =
        index < directions.count ? directions[index] : directions.isEmpty ? "asc" : directions[directions.count - 1]
      guard direction == "asc" || direction == "desc" else {
        throw APIError.invalid("\(direction) is invalid value for sort_dirs, value must be 'asc' or 'desc'")
      }
      orders.append(direction == "asc" ? order : { order($1, $0) })
    }
    return resources.sorted { a, b in
      for order in orders {
        let result = order(a, b)
        if result != 0 { return result < 0 }
      }
      return id(a) < id(b)
    }
  }

  private func page(of resources: [Resource], _ query: QueryParameters) throws -> [Resource] {
    let limit = try query.int("limit") ?? 0
    guard limit >= 0 else { throw APIError.invalid("Limit must be an integer 0 or greater and not '\(limit)'") }
    let isReversed = try query.bool("page_reverse") ?? false
    var rest = resources[...]
    if let marker = query["marker"], !marker.isEmpty {
      guard let index = resources.firstIndex(where: { id($0) == marker }) else {
        throw APIError.invalid("the marker \(marker) is not in this list.")
      }
      rest = isReversed ? resources[..<index] : resources[(index + 1)...]
    }
    if limit > 0 { rest = isReversed ? rest.suffix(limit) : rest.prefix(limit) }
    return Array(rest)
  }

  /// A page that is not full is the last one in its direction, as upstream: the page after a full one may be empty.
  private func links(_ page: [Resource], _ request: APIRequest, isFull: Bool) throws -> JSON {
    var links: [JSON] = []
    let isReversed = try request.query.bool("page_reverse") ?? false
    let kept = request.query.items.filter { $0.name != "marker" && $0.name != "page_reverse" }
    func link(_ relation: String, _ marker: String?, isReversed: Bool) -> JSON {
      let items = kept + (marker.map { [("marker", $0)] } ?? []) + (isReversed ? [("page_reverse", "True")] : [])
      let text = items.map { "\(percentEncoded($0.0))=\(percentEncoded($0.1))" }.joined(separator: "&")
      return ["rel": .string(relation), "href": .string("\(request.serviceURL)\(path)?\(text)")]
    }
    if isFull || isReversed { links.append(link("next", page.last.map(id), isReversed: false)) }
    if isFull || !isReversed { links.append(link("previous", page.first.map(id), isReversed: true)) }
    return .array(links)
  }
}
