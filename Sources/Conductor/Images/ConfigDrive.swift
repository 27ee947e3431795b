import Cryptography
import Domain
import DriverInterfaces
import Glibc
import Processes
import Wire

/// Config drives: an ISO 9660 volume "config-2" with what an operating system reads at its first boot.
///
/// Source: Nova, "Config drives", and Ironic API reference, `configdrive`: an object of documents, or the base64 text of a
/// gzipped ISO that the client has made. The names of files are ours, never the client's (CVE-2026-48681), and a ready-made
/// ISO is passed on and not opened.
public struct ConfigDrive: ConfigDriveInterface {
  /// Upstream's limit is 64 MiB too.
  static let limit = 64 << 20

  public init() {}

  public func make(_ content: JSON, at path: String) async throws -> RawImage {
    do { return try await make(content, path) } catch let error as FileError where error.isDiskFull {
      throw Self.diskFull
    } catch let error as CommandError where error.description.contains("No space left") { throw Self.diskFull }
  }
  public func makeArchive(_ content: JSON, at path: String) async throws {
    guard let object = content.object else {
      throw Self.refused(
        "a machine that runs from its memory has no disk for an ISO: give an object with meta_data, network_data, user_data and vendor_data."
      )
    }
    var archive = FileArchive()
    for file in try Self.documents(object) { archive.add("\(Self.seed)/openstack/latest/\(file.name)", file.bytes) }
    let bytes = archive.finished()
    guard bytes.count <= Self.limit else { throw Self.refused("it is larger than 64 MiB.") }
    do {
      try await FileThread("config drive").run { try Files.publish(bytes, as: path) }
    } catch let error as FileError where error.isDiskFull { throw Self.diskFull }
  }
  /// Where cloud-init looks for a config drive without a disk. Source: cloud-init, `DataSourceConfigDrive`.
  static let seed = "var/lib/cloud/seed/config_drive"

  private static let diskFull = refused(
    "The server's disk is full: the administrator must free space; then deploy again.")

  private func make(_ content: JSON, _ path: String) async throws -> RawImage {
    switch content {
    case .object(let object): try await build(try Self.documents(object), at: path)
    case .string(let text): try await unpack(text, to: path)
    default: throw Self.refused("a config drive is an object with meta_data, or the base64 text of a gzipped ISO.")
    }
    return try await FileThread("config drive").run {
      let descriptor = try Files.open(path, O_RDONLY)
      defer { close(descriptor) }
      return RawImage(path: path, size: try Files.size(descriptor), digest: try Hashing().digest(.sha256, of: path))
    }
  }

  private static func refused(_ sentence: String) -> DriverError {
    DriverError(.refused, device: .configDrive, detail: sentence)
  }

  /// The files of the drive below `openstack/latest/`.
  private static func documents(_ object: JSONObject) throws -> [(name: String, bytes: [UInt8])] {
    for key in object.keys
    where !["meta_data", "network_data", "user_data", "user_data_base64", "vendor_data"].contains(key) {
      throw refused("'\(key.prefix(60))' has no place in it: meta_data, network_data, user_data and vendor_data have.")
    }
    var files: [(String, [UInt8])] = []
    var meta = object["meta_data"] ?? .emptyObject
    if meta.isNull { meta = .emptyObject }
    guard meta.object != nil else { throw refused("meta_data must be an object.") }
    files.append(("meta_data.json", Array(meta.description.utf8)))
    for (key, name) in [("network_data", "network_data.json"), ("vendor_data", "vendor_data.json")] {
      guard let value = object[key], !value.isNull else { continue }
      guard value.object != nil else { throw refused("\(key) must be an object.") }
      files.append((name, Array(value.description.utf8)))
    }
    // Of servers, whose user data may be no text.
    if let text = object["user_data_base64"]?.string {
      guard let bytes = Base64.bytes(text) else { throw refused("user_data_base64 is not Base64.") }
      files.append(("user_data", bytes))
      return files
    }
    switch object["user_data"] ?? .null {
    case .null: break
    case .string(let text): files.append(("user_data", Array(text.utf8)))
    // Ironic takes objects and lists too, and writes them as JSON.
    case .object, .array: files.append(("user_data", Array((object["user_data"] ?? .null).description.utf8)))
    default: throw refused("user_data must be a text.")
    }
    return files
  }

  private func build(_ files: [(name: String, bytes: [UInt8])], at path: String) async throws {
    let work = "\(path).\(Identifier.uuid()).d"
    // Nova writes each version that it knows; cloud-init takes the newest, older tools the first.
    let versions = ["2012-08-10", "latest"]
    defer {
      for version in versions {
        for file in files { unlink("\(work)/root/openstack/\(version)/\(file.name)") }
        rmdir("\(work)/root/openstack/\(version)")
      }
      rmdir("\(work)/root/openstack")
      rmdir("\(work)/root")
      unlink("\(work)/drive.iso")
      rmdir(work)
    }
    try await FileThread("config drive").run {
      for version in versions {
        let folder = "\(work)/root/openstack/\(version)"
        try Files.makeFolder(folder)
        for file in files {
          let descriptor = try Files.open("\(folder)/\(file.name)", O_WRONLY | O_CREAT | O_EXCL)
          defer { close(descriptor) }
          try file.bytes.withUnsafeBytes { try Files.write($0, to: descriptor) }
        }
      }
    }
    // The options that Nova gives it.
    try await runChecked(
      "genisoimage",
      [
        "-quiet", "-o", "\(work)/drive.iso", "-ldots", "-allow-lowercase", "-allow-multidot", "-l", "-publisher",
        "steelyard",
        "-J", "-r", "-V", "config-2", "\(work)/root",
      ], timeout: .seconds(60))
    try await FileThread("config drive").run {
      let descriptor = try Files.open("\(work)/drive.iso", O_RDONLY)
      let size = try Files.size(descriptor)
      close(descriptor)
      guard size <= Self.limit else { throw Self.refused("it is larger than 64 MiB.") }
      try Files.publish("\(work)/drive.iso", as: path)
    }
  }

  private func unpack(_ text: String, to path: String) async throws {
    guard text.utf8.count <= Self.limit / 3 * 4 + 64, let packed = Base64.bytes(text), !packed.isEmpty else {
      throw Self.refused("the text is not base64, or stands for more than 64 MiB.")
    }
    let result: CommandResult
    do {
      result = try await run("gzip", ["-dc"], input: packed, timeout: .seconds(120), outputLimit: Self.limit)
    } catch let error as CommandError {
      if case .outputLimit = error.reason { throw Self.refused("it unpacks to more than 64 MiB.") }
      throw error
    }
    guard result.status == 0 else { throw Self.refused("the text is base64, but not of a gzip file.") }
    let iso = result.output
    // ISO 9660 and ECMA-119: the first volume descriptor is at 32 KiB.
    let isISO = iso.count > 0x8006 && iso[0x8001..<0x8006].elementsEqual(Array("CD001".utf8))
    guard isISO else { throw Self.refused("the text is base64 of a gzip file, but not of an ISO 9660 volume in it.") }
    try await FileThread("config drive").run { try Files.publish(iso, as: path) }
  }
}
