import APISupport
import Domain
import HTTPTypes
import Store
import Wire

/// A member of a port, a port group, a chassis, a volume or an allocation, and the microversion 1.N that brought it.
struct ResourceField: Sendable {
  let name: String
  let since: Int
  init(_ name: String, _ since: Int = 1) {
    self.name = name
    self.since = since
  }
}

/// What one request shows of such a resource: the members that it asks for, of those that its version has.
struct ResourceView: Sendable {
  private let names: [String]
  /// "http://host/baremetal/v1/ports/" and the same without the version.
  private let base: String
  private let bookmark: String

  /// - Parameters:
  ///   - collection: the path below /v1: "volume/targets".
  ///   - asked: what the caller names; nil shows `defaults`, or all.
  /// - Throws: 400 for a member that there is not, 406 for one of a later version.
  init(
    _ request: APIRequest, _ collection: String, _ fields: [ResourceField], asked: [String]?,
    defaults: Set<String>? = nil
  ) throws {
    let version = try Microversion(request.headers)
    if let asked {
      try version.require(8, "a subset of fields")
      for name in asked where name != "links" {
        guard let field = fields.first(where: { $0.name == name }) else {
          throw APIError.badRequest("Field(s) \"\(name.prefix(80))\" are not valid")
        }
        try version.require(field.since, "the field \(name)")
      }
    }
    let wanted = asked.map { Set($0) } ?? defaults
    names = fields.filter { $0.since <= version.minor && (wanted?.contains($0.name) ?? true) }.map(\.name)
    base = "\(request.serviceURL)/v1/\(collection)/"
    bookmark = "\(request.serviceURL)/\(collection)/"
  }

  /// The members of `all` that are shown, and the links to the resource.
  func json(_ uuid: String, _ all: JSONObject) -> JSON {
    var out: JSONObject = [:]
    for name in names { out[name] = all[name] ?? .null }
    out["links"] = links(uuid)
    return .object(out)
  }
  func links(_ path: String) -> JSON {
    [["href": .string(base + path), "rel": "self"], ["href": .string(bookmark + path), "rel": "bookmark"]]
  }
  var shows: Set<String> { Set(names) }
}

extension Endpoint {
  /// An endpoint that came with microversion 1.`version`; to a request of an older one it does not exist.
  /// - Parameter missing: what upstream answers then; its router has other words than 404 for some.
  init(
    _ method: HTTPRequest.Method, _ path: String, since version: Int, missing: HTTPResponse.Status = .notFound,
    _ rule: EndpointRule, _ summary: String,
    handler: @escaping @Sendable (APIRequest) async throws -> APIResponse
  ) {
    self.init(method, path, rule, summary) { request in
      guard try Microversion(request.headers).minor >= version else {
        throw APIError(missing, "The API is not supported for this version: it came with 1.\(version).")
      }
      return try await handler(request)
    }
  }
}

extension [PatchOperation] {
  /// The members of the object that the patch touches.
  /// - Throws: 400 for one that cannot be patched.
  func members(of known: Set<String>) throws -> Set<String> {
    var touched: Set<String> = []
    for operation in self {
      guard let first = operation.path.first, known.contains(first) else {
        throw APIError.badRequest("Cannot patch \(operation.pointer.prefix(200))")
      }
      touched.insert(first)
    }
    return touched
  }

  /// The object after the patch. Removing one of its members makes it null, which sets the default: it can be removed again.
  func applied(to members: JSONObject) throws -> JSON {
    var document = JSON.object(members)
    for operation in self {
      if operation.path.count == 1, operation.kind == .remove, let member = operation.path.first {
        guard case .object(var object) = document else { continue }
        object[member] = .null
        document = .object(object)
      } else {
        try operation.apply(to: &document)
      }
    }
    return document
  }
}

extension IronicAPI {
  /// The `fields` of a request for one thing; nil when it does not name any.
  func askedFields(_ request: APIRequest) -> [String]? {
    let names = request.query["fields"]?.split(separator: ",").map { String($0) }
    return names?.isEmpty == false ? names : nil
  }

  /// A UUID or a name in the path.
  /// - Throws: 400 for what cannot be either, as upstream: it is never looked for.
  func ident(_ request: APIRequest, _ parameter: String) throws -> String {
    let ident = try request.parameter(parameter)
    guard Identifier.isUUID(ident) || FieldReading.isName(ident) else {
      throw APIError.badRequest("Expected a logical name or UUID but received \(ident.prefix(80)).")
    }
    return ident
  }

  /// What `find` finds by an ident; one that ends in ".json" may mean the thing without that ending. Upstream dropped this with 1.91.
  func found<T>(_ ident: String, _ find: (String) throws -> T?) rethrows -> T? {
    if let thing = try find(ident) { return thing }
    return ident.hasSuffix(".json") ? try find(String(ident.dropLast(5))) : nil
  }

  /// Does what a unique constraint may refuse.
  /// - Throws: 409 with `words` for what is taken.
  func unlessTaken(_ words: @autoclosure () -> String, _ body: () throws -> Void) throws {
    do { try body() } catch let error as StoreError where error.kind == .conflict {
      throw APIError.conflict(words())
    }
  }

  /// - Throws: 409 while a workflow works with the node.
  func requireFree(_ node: Node) throws {
    guard let workflow = node.reservation else { return }
    throw APIError.conflict(
      "Node \(node.uuid) is locked by workflow \(workflow), please retry after the current operation is completed.")
  }

  /// The node that a body names, for making something on it.
  /// - Throws: 400 when it is none that the caller sees, as upstream: the path exists, the body is wrong.
  func node(inBody value: JSON?, _ actor: Actor, to action: NodePolicy.Action, in session: any Session) throws -> Node {
    guard let ident = value?.string, !ident.isEmpty else {
      throw APIError.badRequest("node_uuid is a mandatory attribute: the node's UUID.")
    }
    guard Identifier.isUUID(ident) else {
      throw APIError.badRequest("Expected a UUID but received \(ident.prefix(80)).")
    }
    guard let node = try NodeStore.get(ident.lowercased(), in: session), NodePolicy.sees(node, actor) else {
      throw APIError.badRequest("Node \(ident) could not be found.")
    }
    try require(action, node, actor)
    return node
  }
}
