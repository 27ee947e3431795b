import DriverInterfaces
import Glibc
import Processes

/// Who uses a volume: `exports/ATTACHMENT` says "VOLUME", `readings/READER` "VOLUME" or "VOLUME@SNAPSHOT".
///
/// Written down before a daemon is started for it and removed after its end, so that there is no daemon of which nobody knows.
struct VolumeUses: Sendable {
  let links: LinkFolder
  init(folder: String) { links = LinkFolder(folder: folder) }

  /// - Throws: ``FileFailure``.
  func makeFolders(_ others: [String]) throws {
    for path in [links.folder] + (["exports", "readings", "disks"] + others).map({ "\(links.folder)/\($0)" }) {
      guard mkdir(path, 0o700) == 0 || errno == EEXIST else { throw FileFailure("make \(path)") }
    }
  }

  /// - Parameter use: what the link is to say; one that says something else is somebody else's.
  /// - Returns: what it says when that is something else.
  private func note(_ link: String, _ use: String) async throws -> String? {
    let links = links
    return try await onThread("volume uses") {
      if let present = links[link] { return present == use ? nil : present }
      try links.set(link, to: use)
      return nil
    }
  }
  private func read(_ link: String) async throws -> String? {
    let links = links
    return try await onThread("volume uses") { links[link] }
  }
  private func forget(_ link: String) async throws {
    let links = links
    try await onThread("volume uses") { try links.remove(link) }
  }
  private func names(in folder: String, saying use: String) async throws -> [String] {
    let links = links
    return try await onThread("volume uses") {
      fileNames(in: "\(links.folder)/\(folder)").filter { links["\(folder)/\($0)"] == use }
    }
  }

  func noteAttachment(_ attachment: String, _ volume: String) async throws -> String? {
    try await note("exports/\(attachment)", volume)
  }
  func volume(ofAttachment attachment: String) async throws -> String? { try await read("exports/\(attachment)") }
  func forgetAttachment(_ attachment: String) async throws { try await forget("exports/\(attachment)") }
  func attachments(of volume: String) async throws -> [String] { try await names(in: "exports", saying: volume) }

  func noteReader(_ reader: String, _ content: VolumeContent) async throws -> String? {
    try await note("readings/\(reader)", content.text)
  }
  func content(ofReader reader: String) async throws -> VolumeContent? {
    try await read("readings/\(reader)").map { VolumeContent(text: $0) }
  }
  func forgetReader(_ reader: String) async throws { try await forget("readings/\(reader)") }
  func readers(of content: VolumeContent) async throws -> [String] {
    try await names(in: "readings", saying: content.text)
  }

  func all() async throws -> (attachments: [String], readers: [String]) {
    let folder = links.folder
    return try await onThread("volume uses") {
      (fileNames(in: "\(folder)/exports"), fileNames(in: "\(folder)/readings"))
    }
  }
}

extension VolumeContent {
  var volume: String {
    switch self {
    case .volume(let volume), .snapshot(_, let volume): volume
    }
  }
  /// As Ceph writes it.
  var text: String {
    switch self {
    case .volume(let volume): volume
    case .snapshot(let snapshot, let volume): "\(volume)@\(snapshot)"
    }
  }
  init(text: String) {
    let parts = text.split(separator: "@").map { String($0) }
    self = parts.count == 2 ? .snapshot(parts[1], of: parts[0]) : .volume(text)
  }
}
