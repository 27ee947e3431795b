import APISupport
import Domain
import Wire

/// `/v2/schemas`: clients build their objects from these. Source: Glance API reference, "Image schemas".
struct SchemaRoutes: Sendable {
  var endpoints: [Endpoint] {
    let schemas: [(String, JSON)] = [
      ("image", Self.image), ("images", Self.list("images", "image", Self.image, isPaged: true)),
      ("member", Self.member),
      ("members", Self.list("members", "member", Self.member, isPaged: false)),
      ("task", Self.task), ("tasks", Self.list("tasks", "task", Self.task, isPaged: true)),
    ]
    return schemas.map { name, schema in
      Endpoint(.get, "/v2/schemas/\(name)", .authenticated, "Shows the schema of \(name)") { _ in
        APIResponse(json: schema)
      }
    }
  }

  private static func property(_ type: JSON, _ words: String, readOnly: Bool = false, values: [String] = []) -> JSON {
    var object: JSONObject = ["type": type, "description": .string(words)]
    if readOnly { object["readOnly"] = true }
    if !values.isEmpty { object["enum"] = .array((values.map { .string($0) })) }
    return .object(object)
  }
  private static let text: JSON = "string"
  private static let optionalText: JSON = ["null", "string"]
  private static let optionalNumber: JSON = ["null", "integer"]

  private static var image: JSON {
    [
      "name": "image", "additionalProperties": ["type": "string"],
      "links": [
        ["href": "{self}", "rel": "self"], ["href": "{file}", "rel": "enclosure"],
        ["href": "{schema}", "rel": "describedby"],
      ],
      "properties": [
        "id": property(text, "An identifier for the image"),
        "name": property(optionalText, "Descriptive name for the image"),
        "status": property(text, "Status of the image", readOnly: true, values: Image.Status.allCases.map(\.rawValue)),
        "visibility": property(text, "Who sees the image", values: Image.Visibility.allCases.map(\.rawValue)),
        "protected": property("boolean", "If true, image will not be deletable."),
        "os_hidden": property("boolean", "If true, image will not appear in the usual list."),
        "checksum": property(optionalText, "md5 hash of image contents.", readOnly: true),
        "os_hash_algo": property(optionalText, "Algorithm of os_hash_value", readOnly: true),
        "os_hash_value": property(optionalText, "Hash of the image contents", readOnly: true),
        "owner": property(optionalText, "Owner of the image"),
        "size": property(optionalNumber, "Size of image file in bytes", readOnly: true),
        "virtual_size": property(optionalNumber, "Virtual size of image in bytes", readOnly: true),
        "container_format": property(optionalText, "Format of the container"),
        "disk_format": property(optionalText, "Format of the disk", values: ImageContent.diskFormats.sorted()),
        "created_at": property(text, "Date and time of image registration", readOnly: true),
        "updated_at": property(text, "Date and time of the last image modification", readOnly: true),
        "tags": [
          "type": "array", "items": ["type": "string", "maxLength": 255],
          "description": "List of strings related to the image",
        ],
        "min_ram": property("integer", "Amount of ram (in MB) required to boot image."),
        "min_disk": property("integer", "Amount of disk space (in GB) required to boot image."),
        "self": property(text, "An image self url", readOnly: true),
        "file": property(text, "An image file url", readOnly: true),
        "schema": property(text, "An image schema url", readOnly: true),
      ],
    ]
  }
  private static var member: JSON {
    [
      "name": "member",
      "properties": [
        "image_id": property(text, "An identifier for the image"),
        "member_id": property(text, "An identifier for the image member"),
        "status": property(text, "The status of this image member", values: ["pending", "accepted", "rejected"]),
        "created_at": property(text, "Date and time of image member creation"),
        "updated_at": property(text, "Date and time of last modification of image member"),
        "schema": property(text, "The schema of a member", readOnly: true),
      ],
    ]
  }
  private static var task: JSON {
    [
      "name": "task",
      "properties": [
        "id": property(text, "An identifier for the task"),
        "type": property(text, "The type of task represented by this content", values: ["api_image_import"]),
        "status": property(text, "The current status of this task.", values: ImageTask.Status.allCases.map(\.rawValue)),
        "input": property(["null", "object"], "The parameters required by task, JSON blob"),
        "result": property(["null", "object"], "The result of current task, JSON blob"),
        "owner": property(text, "An identifier for the owner of this task"),
        "message": property(text, "Why the task failed"),
        "image_id": property(optionalText, "Image associated with the task"),
        "request_id": property(optionalText, "Human-readable informative request-id"),
        "user_id": property(optionalText, "User associated with the task"),
        "created_at": property(text, "Datetime when this resource was created"),
        "updated_at": property(text, "Datetime when this resource was updated"),
        "self": property(text, "A task self url", readOnly: true),
        "schema": property(text, "A task schema url", readOnly: true),
      ],
    ]
  }
  private static func list(_ name: String, _ item: String, _ schema: JSON, isPaged: Bool) -> JSON {
    var properties: JSONObject = [name: ["type": "array", "items": schema], "schema": ["type": "string"]]
    if isPaged {
      properties["first"] = ["type": "string"]
      properties["next"] = ["type": "string"]
    }
    return [
      "name": .string(name), "properties": .object(properties), "links": [["href": "{schema}", "rel": "describedby"]],
    ]
  }
}
