import Domain
import Wire

/// How an image is shown. Source: Glance API reference, "Show image details".
enum ImageView {
  static func write(_ image: Image, to writer: inout JSONWriter) {
    writer.beginObject()
    for property in image.properties {
      writer.dynamicKey(property.key)
      writer.value(property.value)
    }
    writer.member("name", image.name)
    writer.member("disk_format", image.diskFormat)
    writer.member("container_format", image.containerFormat)
    writer.member("visibility", image.visibility.rawValue)
    writer.member("size", image.size)
    writer.member("virtual_size", image.virtualSize)
    writer.member("status", image.status.rawValue)
    writer.member("checksum", image.md5)
    writer.member("protected", image.isProtected)
    writer.member("min_ram", image.minRAM)
    writer.member("min_disk", image.minDisk)
    writer.member("owner", image.owner)
    writer.member("os_hidden", image.isHidden)
    writer.key("os_hash_algo")
    if image.sha512 == nil { writer.null() } else { writer.value("sha512") }
    writer.member("os_hash_value", image.sha512)
    writer.member("id", image.id)
    writer.key("created_at")
    writer.value(zulu: image.createdAt)
    writer.key("updated_at")
    writer.value(zulu: image.updatedAt)
    writer.member("tags", image.tags)
    writer.member("self", "/v2/images/\(image.id)")
    writer.member("file", "/v2/images/\(image.id)/file")
    writer.member("schema", "/v2/schemas/image")
    writer.endObject()
  }
}
