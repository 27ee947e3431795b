import APISupport
import Domain
import Wire

/// Changes of an image's attributes, with the checks that creation and patches share.
struct ImageEdit {
  let actor: Actor
  var image: Image

  private static let diskFormats = ImageContent.diskFormats
  private static let containers: Set<String> = ["bare", "compressed", "ami", "ari", "aki"]

  /// Sets an attribute or a property.
  mutating func set(_ name: String, _ value: JSON) throws {
    if Image.readOnlyAttributes.contains(name) || name == "id" {
      throw APIError.forbidden("Attribute '\(name)' is read-only.")
    }
    // Upstream's own notes about imports.
    guard !name.hasPrefix("os_glance_") else {
      throw APIError.forbidden("Attribute '\(name)' is reserved: names that begin with os_glance_ are the service's.")
    }
    switch name {
    case "name": image.name = try optionalText(name, value)
    case "visibility": try setVisibility(value)
    case "owner":
      guard let owner = try optionalText(name, value), !owner.isEmpty else {
        throw wrong(name, value, "a project is expected")
      }
      guard owner == image.owner || actor.isSiteAdmin else {
        throw APIError.forbidden("You are not permitted to create images owned by '\(owner)'.")
      }
      image.owner = owner
    case "tags":
      guard let items = value.array, items.count <= 128 else {
        throw wrong(name, value, "a list of at most 128 texts is expected")
      }
      image.tags = Set(
        try items.map { item in
          let tag = try text(name, item, limit: 255)
          guard !tag.isEmpty else { throw wrong(name, item, "a tag is not empty") }
          return tag
        }
      ).sorted()
    case "protected": image.isProtected = try flag(name, value)
    case "os_hidden": image.isHidden = try flag(name, value)
    case "min_disk": image.minDisk = try number(name, value)
    case "min_ram": image.minRAM = try number(name, value)
    case "disk_format": image.diskFormat = try format(name, value, Self.diskFormats)
    case "container_format": image.containerFormat = try format(name, value, Self.containers)
    default:
      guard !name.isEmpty, name.utf8.count <= 255 else {
        throw APIError.badRequest("A property's name has 1 to 255 bytes.")
      }
      if value.isNull, name.hasPrefix("os_") || name.hasPrefix("hw_") || name == "kernel_id" || name == "ramdisk_id" {
        image.properties[name] = .null
      } else {
        image.properties[name] = .string(try text(name, value, limit: 65_535))
      }
      guard image.properties.count <= Image.mostProperties else {
        throw APIError(.contentTooLarge, "An image has at most \(Image.mostProperties) properties.")
      }
    }
  }

  private mutating func setVisibility(_ value: JSON) throws {
    guard let visibility = value.string.flatMap({ Image.Visibility(rawValue: $0) }) else {
      throw wrong("visibility", value, "public, community, shared or private is expected")
    }
    guard visibility != .public || image.visibility == .public || ImagePolicy.mayPublish(actor) else {
      throw APIError.forbidden(
        "You are not authorized to complete publicize_image action: only the administrator makes images public.")
    }
    image.visibility = visibility
  }

  private func format(_ name: String, _ value: JSON, _ allowed: Set<String>) throws -> String? {
    if value.isNull { return nil }
    let format = try text(name, value, limit: 32)
    guard format == (name == "disk_format" ? image.diskFormat : image.containerFormat) || image.status == .queued else {
      throw APIError.forbidden("Attribute \(name) can be only replaced for a queued image.")
    }
    guard allowed.contains(format) else {
      throw APIError.badRequest(
        "Invalid \(name) '\(format)' for image: \(allowed.sorted().joined(separator: ", ")) are taken here. "
          + "Convert others: qemu-img convert -O qcow2.")
    }
    return format
  }
  private func wrong(_ name: String, _ value: JSON, _ why: String) -> APIError {
    .badRequest("Invalid value '\(value.description.prefix(100))' for \(name): \(why).")
  }
  private func text(_ name: String, _ value: JSON, limit: Int) throws -> String {
    guard let text = value.string else { throw wrong(name, value, "a text is expected") }
    guard text.utf8.count <= limit else { throw wrong(name, value, "at most \(limit) bytes are taken") }
    guard !text.utf8.contains(0) else { throw wrong(name, value, "a zero byte is not taken") }
    return text
  }
  private func optionalText(_ name: String, _ value: JSON) throws -> String? {
    value.isNull ? nil : try text(name, value, limit: 255)
  }
  private func flag(_ name: String, _ value: JSON) throws -> Bool {
    if let flag = value.bool { return flag }
    switch value.string?.lowercased() {
    case "true": return true
    case "false": return false
    default: throw wrong(name, value, "true or false is expected")
    }
  }
  private func number(_ name: String, _ value: JSON) throws -> Int {
    guard let number = value.lenientInt, (0...Int(Int32.max)).contains(number) else {
      throw wrong(name, value, "a whole number from 0 to \(Int32.max) is expected")
    }
    return number
  }

  /// How a patch is written.
  enum PatchFormat: String, CaseIterable {
    /// `{"replace": PATH, "value": …}`, after the draft of JSON patches. What is added must not be there.
    case draft = "application/openstack-images-v2.0-json-patch"
    /// `{"op": "replace", "path": PATH, "value": …}`.
    case final = "application/openstack-images-v2.1-json-patch"
    /// The same, by its name for everybody.
    case standard = "application/json-patch+json"
  }

  /// Applies a patch, whose paths are one level deep. Source: Glance API reference, "Update image".
  mutating func apply(patch: JSON, format: PatchFormat) throws {
    guard let operations = patch.array, operations.count <= 256 else {
      throw APIError.badRequest("Request body must be a JSON array of operation objects.")
    }
    for operation in operations {
      guard let object = operation.object else { throw APIError.badRequest("Operations must be JSON objects.") }
      let (verb, path) = try Self.operation(object, format)
      let name = try Self.pointer(path)
      switch verb {
      case "add", "replace":
        guard let value = object["value"] else {
          throw APIError.badRequest("Operation \"\(verb)\" requires a member named \"value\".")
        }
        if verb == "add", format == .draft, Image.attributes.contains(name) || image.properties[name] != nil {
          throw APIError.conflict("Property \(name) already present.")
        }
        if verb == "replace", !Image.attributes.contains(name), image.properties[name] == nil {
          throw APIError.conflict("Property \(name) does not exist.")
        }
        try set(name, value)
      case "remove":
        if Image.readOnlyAttributes.contains(name) || name == "id" {
          throw APIError.forbidden("Attribute '\(name)' is read-only.")
        }
        if Image.attributes.contains(name) { throw APIError.forbidden("Property '\(name)' may not be removed.") }
        guard image.properties[name] != nil else { throw APIError.conflict("Property \(name) does not exist.") }
        image.properties[name] = nil
      default:
        throw APIError.badRequest(
          "Operations must be one of \"add\", \"remove\" and \"replace\", not \"\(verb.prefix(40))\".")
      }
    }
  }

  /// What is done, and where.
  private static func operation(_ object: JSONObject, _ format: PatchFormat) throws -> (verb: String, path: String) {
    guard format == .draft else {
      guard let path = object["path"]?.string, let verb = object["op"]?.string else {
        throw APIError.badRequest("Operation objects must have the members \"op\" and \"path\".")
      }
      return (verb, path)
    }
    let verbs = ["replace", "add", "remove"].filter { object[$0] != nil }
    guard verbs.count == 1, let path = object[verbs[0]]?.string else {
      throw APIError.badRequest(
        "Operation objects must contain exactly one member named \"add\", \"remove\", or \"replace\".")
    }
    return (verbs[0], path)
  }

  /// The one name of a JSON pointer (RFC 6901).
  private static func pointer(_ path: String) throws -> String {
    guard path.hasPrefix("/") else {
      throw APIError.badRequest("Pointer `\(path.prefix(100))` does not start with \"/\".")
    }
    let name = path.dropFirst()
    guard !name.isEmpty, !name.contains("/") else {
      throw APIError.badRequest(
        "Invalid JSON pointer for this resource: '\(path.prefix(100))': attributes are one level deep.")
    }
    return String(name).replacing("~1", with: "/").replacing("~0", with: "~")
  }
}
