import Wire

/// Where in the world endpoints are. Source: Identity API reference v3, "Regions".
public struct Region: Sendable, Equatable {
  /// Chosen by whoever made it, such as "RegionOne".
  public var id: String
  public var parentID: String?
  public var description: String
  public var extra: JSONObject

  public init(id: String, parentID: String? = nil, description: String = "", extra: JSONObject = [:]) {
    self.id = id
    self.parentID = parentID
    self.description = description
    self.extra = extra
  }
  /// Of the site's own endpoints.
  public static let own = "RegionOne"
}

/// A service that an administrator added to the catalog, beside the site's own. Source: Identity API reference v3, "Service catalog".
public struct CatalogService: Sendable, Equatable {
  public var id: String
  public var type: String
  public var name: String?
  public var description: String?
  public var isEnabled: Bool
  public var extra: JSONObject

  public init(
    id: String, type: String, name: String? = nil, description: String? = nil, isEnabled: Bool = true,
    extra: JSONObject = [:]
  ) {
    self.id = id
    self.type = type
    self.name = name
    self.description = description
    self.isEnabled = isEnabled
    self.extra = extra
  }
}

/// Where such a service answers.
public struct CatalogEndpoint: Sendable, Equatable {
  public enum Interface: String, Sendable, CaseIterable { case `public`, `internal`, admin }
  public var id: String
  public var serviceID: String
  public var interface: Interface
  public var regionID: String?
  /// May contain `$(project_id)s`, `$(tenant_id)s` and `$(user_id)s`, also with `%` in the place of `$`.
  public var url: String
  public var isEnabled: Bool
  public var extra: JSONObject

  public init(
    id: String, serviceID: String, interface: Interface, regionID: String?, url: String, isEnabled: Bool = true,
    extra: JSONObject = [:]
  ) {
    self.id = id
    self.serviceID = serviceID
    self.interface = interface
    self.regionID = regionID
    self.url = url
    self.isEnabled = isEnabled
    self.extra = extra
  }

  /// The URL for a caller; nil when it names the project and there is none, or something that is not known.
  public func url(project: String?, user: String) -> String? {
    guard url.contains("$(") || url.contains("%(") else { return url }
    var out = ""
    var rest = url[...]
    while let sign = rest.firstIndex(where: { $0 == "$" || $0 == "%" }) {
      out += rest[..<sign]
      let after = rest[rest.index(after: sign)...]
      guard after.first == "(", let end = after.firstRange(of: ")s") else {
        out.append(rest[sign])
        rest = after
        continue
      }
      switch after[after.index(after: after.startIndex)..<end.lowerBound] {
      case "project_id", "tenant_id":
        guard let project else { return nil }
        out += project
      case "user_id": out += user
      default: return nil
      }
      rest = after[end.upperBound...]
    }
    return out + rest
  }
}

/// Endpoints that have something in common, to be shown to a project together.
/// Source: Identity API reference v3-ext, "OS-EP-FILTER".
public struct EndpointGroup: Sendable, Equatable {
  public var id: String
  public var name: String
  public var description: String?
  /// `interface`, `service_id`, `region_id`: what the endpoints must have; at least one.
  public var filters: JSONObject

  public init(id: String, name: String, description: String? = nil, filters: JSONObject) {
    self.id = id
    self.name = name
    self.description = description
    self.filters = filters
  }
  public static let knownFilters: Set<String> = ["interface", "service_id", "region_id"]

  public func contains(interface: String, serviceID: String, regionID: String?) -> Bool {
    func agrees(_ name: String, _ value: String?) -> Bool { filters[name].map { $0.string == value } ?? true }
    return agrees("interface", interface) && agrees("service_id", serviceID) && agrees("region_id", regionID)
  }
}
