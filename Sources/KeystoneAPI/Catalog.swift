import APISupport
import Cryptography
import HTTPTypes
import Wire

/// A service in the catalog.
public struct CatalogEntry: Sendable, Equatable {
  public var name: String
  public var type: String
  /// Of its endpoint, below our origin: "/identity/v3".
  public var path: String

  public init(name: String, type: String, path: String) {
    self.name = name
    self.type = type
    self.path = path
  }
  /// Nil for a service that is not in the catalog.
  public init?(_ service: Service) {
    guard service.isInCatalog else { return nil }
    self.init(name: service.name, type: service.type, path: service.prefix + service.catalogSuffix)
  }
}

/// The catalog: computed, because all services are one process. URLs are those under which the client reached us.
struct Catalog: Sendable {
  static let region = "RegionOne"
  static let interfaces = ["public", "internal", "admin"]
  let entries: [CatalogEntry]

  func serviceID(_ entry: CatalogEntry) -> String { String(Digest.sha256Hex("service/\(entry.type)").prefix(32)) }
  private func endpointID(_ entry: CatalogEntry, _ interface: String) -> String {
    String(Digest.sha256Hex("endpoint/\(entry.type)/\(interface)").prefix(32))
  }

  /// As in a token's body.
  func body(origin: String) -> JSON {
    .array(
      entries.map { entry in
        [
          "endpoints": .array(
            Self.interfaces.map { interface in
              [
                "id": .string(endpointID(entry, interface)), "interface": .string(interface),
                "region_id": .string(Self.region),
                "url": .string(origin + entry.path), "region": .string(Self.region),
              ]
            }),
          "id": .string(serviceID(entry)), "type": .string(entry.type), "name": .string(entry.name),
        ]
      })
  }
  func services(_ request: APIRequest) -> [JSON] {
    entries.map { entry in
      let id = serviceID(entry)
      return [
        "id": .string(id), "name": .string(entry.name), "type": .string(entry.type), "enabled": true, "description": "",
        "links": ["self": .string("\(request.serviceURL)/v3/services/\(id)")],
      ]
    }
  }
  func endpoints(_ request: APIRequest) -> [JSON] {
    entries.flatMap { entry in
      Self.interfaces.map { interface in
        let id = endpointID(entry, interface)
        return [
          "id": .string(id), "interface": .string(interface), "region": .string(Self.region),
          "region_id": .string(Self.region),
          "service_id": .string(serviceID(entry)), "url": .string(request.origin + entry.path), "enabled": true,
          "links": ["self": .string("\(request.serviceURL)/v3/endpoints/\(id)")],
        ]
      }
    }
  }
  func regions(_ request: APIRequest) -> [JSON] {
    [
      [
        "id": .string(Self.region), "description": "", "parent_region_id": nil,
        "links": ["self": .string("\(request.serviceURL)/v3/regions/\(Self.region)")],
      ]
    ]
  }
}

extension KeystoneFacade {
  /// Services, endpoints and regions: to read only, they follow from the program.
  var catalogEndpoints: [Endpoint] {
    func pair(
      _ collection: String, _ noun: String, _ filters: Set<String>, _ items: @escaping @Sendable (APIRequest) -> [JSON]
    ) -> [Endpoint] {
      [
        Endpoint(.get, "/v3/\(collection)", anyRule("list_\(collection)", "anyone with a token"), "list \(collection)")
        {
          listing(collection, matching(items($0), $0, filters), $0)
        },
        Endpoint(
          .get, "/v3/\(collection)/{id}", anyRule("get_\(noun)", "anyone with a token"), "show one of the \(collection)"
        ) {
          let id = try $0.parameter("id")
          guard let item = items($0).first(where: { $0["id"]?.string == id }) else { throw APIError.missing(noun, id) }
          return APIResponse(json: .object([noun: item]))
        },
      ]
    }
    return pair("services", "service", ["name", "type"]) { catalog.services($0) }
      + pair("endpoints", "endpoint", ["interface", "service_id", "region_id"]) { catalog.endpoints($0) }
      + pair("regions", "region", ["parent_region_id"]) { catalog.regions($0) }
  }
}
