import Domain
import Glibc
import Store
import Synchronization
import Wire
import Workflows

/// What images may cost. Sizes in bytes.
public struct ImageSettings: Sendable {
  public var largestImage = 64 << 30
  /// Of one project's images together.
  public var largestPerProject = 512 << 30
  public var mostPerProject = 1000
  /// The disk that a qcow2 may describe: unpacking and hashing costs time even where it is empty.
  public var largestDisk = 256 << 30
  /// What the cache may take of the disk; images used in the last hour stay whatever it is.
  public var cacheSize = 100 << 30
  /// Uploads of one project at the same time.
  public var mostUploadsAtOnce = 8
  /// How long an upload or a download from the web may stand still before it is cut off; less than a connection may be idle, so that the image
  /// service is who says so.
  public var uploadPatience: Duration = .seconds(60)
  /// Downloads from the web at the same time, of all projects.
  public var mostDownloads = 32
  /// How long a download from the web may take.
  public var downloadPatience: Duration = .seconds(6 * 3600)
  /// How long unpacking one image may take.
  public var conversionPatience: Duration = .seconds(3600)
  public init() {}
}

/// The folder with the images' content: `images/` one file per image, `uploads/` what is coming in, `cache/` raw and packed forms; `confined/` is
/// always empty.
///
/// File names are ids of ours, never a client's words.
public struct ImageFolder: Sendable {
  public let path: String
  public let settings: ImageSettings
  /// What is coming in now.
  public let uploadsUnderway = UploadsUnderway()

  /// Makes the folders; blocks, so it is done before the server answers.
  public init(_ path: String, settings: ImageSettings = ImageSettings()) throws {
    self.path = path
    self.settings = settings
    for folder in [uploads, images, cache, confined.root] { try Files.makeFolder(folder) }
  }
  var uploads: String { path + "/uploads" }
  var images: String { path + "/images" }
  var cache: String { path + "/cache" }
  /// What reads images that it does not trust.
  var confined: ConfinedProgram { ConfinedProgram(root: path + "/confined") }
  public func content(of imageID: String) -> String { "\(images)/\(imageID)" }

  /// Removes what a stopped server left half done: uploads, conversions, content without an image. Before the server
  /// answers.
  public func prepare(_ database: Database) async throws {
    _ = try await database.write { session in try ImageStore.resetUploads(besides: [], in: session) }
    let known = try await database.read { session in
      Set(try ImageStore.list(in: session).filter(\.status.hasContent).map(\.id))
    }
    try await FileThread("image files").run { [self] in
      for name in try Files.names(in: uploads) { unlink("\(uploads)/\(name)") }
      for name in try Files.names(in: cache) where name.hasSuffix(".part") { unlink("\(cache)/\(name)") }
      for name in try Files.names(in: images) where !known.contains(name) { unlink("\(images)/\(name)") }
    }
  }

  /// Removes an image's content; what is being read goes on being read.
  public func removeContent(of imageID: String) { unlink(content(of: imageID)) }

  /// Removes the content and the raw form of an image that this transaction deletes. A raw form that a deployment uses
  /// stays; the sweeper removes it when that is over.
  public func imageDeleted(_ imageID: String, in session: any Session) throws {
    let isUsed = try WorkflowStore.open(in: session).contains {
      $0.kind == "deploy-node" && $0.params["image"]?.string == imageID
    }
    session.afterCommit { [self] in
      removeContent(of: imageID)
      guard !isUsed else { return }
      let paths = CachePaths(folder: self, imageID: imageID)
      paths.removeRaw()
      paths.removePacked()
    }
  }

  /// A file of the folder, and the image or upload whose id its name bears.
  struct File: Sendable {
    enum Kind: Sendable { case upload, content, raw }
    var kind: Kind
    var id: String
    var path: String
  }
  /// Every file there is. Blocks: on a ``FileThread``.
  func files() throws -> [File] {
    func list(_ folder: String, _ kind: File.Kind) throws -> [File] {
      try Files.names(in: folder).sorted().map { name in
        File(kind: kind, id: String(name.prefix { $0 != "." }), path: "\(folder)/\(name)")
      }
    }
    return try list(uploads, .upload) + list(images, .content) + list(cache, .raw)
  }

  /// Starts to take in an image's content.
  /// - Parameter limit: most bytes.
  public func upload(_ imageID: String, uploadID: String, limit: Int) async throws -> ImageUpload {
    try await ImageUpload(
      path: "\(uploads)/\(uploadID).part", target: content(of: imageID), limit: limit, confined: confined)
  }
}

/// The uploads that a client is sending at this moment: those that the database holds for going on and that are not here
/// broke off, and nobody could write it down (a full disk).
public final class UploadsUnderway: Sendable {
  private let all = Mutex<Set<String>>([])
  public func begin(_ uploadID: String) { all.withLock { _ = $0.insert(uploadID) } }
  public func end(_ uploadID: String) { all.withLock { _ = $0.remove(uploadID) } }
  public var ids: Set<String> { all.withLock { $0 } }
}
