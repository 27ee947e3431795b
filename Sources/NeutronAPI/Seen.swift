/// A resource as one caller sees it: `shared` is true for those whom it is shared with.
struct Seen<Resource: Sendable>: Sendable {
  let resource: Resource
  let isShared: Bool

  /// The resource's own attributes, and `shared`.
  static func attributes(_ own: [Attribute<Resource>]) -> [Attribute<Seen>] {
    own.map { $0.of { (seen: Seen) in seen.resource } } + [.bool("shared") { $0.isShared }]
  }
}

extension Attribute {
  /// The same attribute of what holds the resource.
  func of<Holder>(_ resource: @escaping @Sendable (Holder) -> Resource) -> Attribute<Holder> {
    switch value {
    case .text(let get): .text(name) { get(resource($0)) }
    case .optionalText(let get): .optionalText(name) { get(resource($0)) }
    case .bool(let get): .bool(name) { get(resource($0)) }
    case .int(let get): .int(name) { get(resource($0)) }
    case .optionalInt(let get): .optionalInt(name) { get(resource($0)) }
    case .strings(let get): .strings(name) { get(resource($0)) }
    case .time(let get): .time(name) { get(resource($0)) }
    case .json(let get): .json(name) { get(resource($0)) }
    case .written(let write): .written(name) { write(resource($0), &$1) }
    case .constant(let json): .constant(name, json)
    }
  }
}
