import Cryptography
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
  /// How long an upload may stand still before it is cut off.
  public var uploadPatience: Duration = .seconds(120)
  /// How long unpacking one image may take.
  public var conversionPatience: Duration = .seconds(3600)
  public init() {}
}

/// The folder with the images' content: `images/` one file per image, `uploads/` what is coming in, `cache/` raw forms.
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
    for folder in [uploads, images, cache] { try Files.makeFolder(folder) }
  }
  var uploads: String { path + "/uploads" }
  var images: String { path + "/images" }
  var cache: String { path + "/cache" }
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
      unlink(paths.facts)
      unlink(paths.raw)
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
    try await ImageUpload(path: "\(uploads)/\(uploadID).part", target: content(of: imageID), limit: limit)
  }

  /// An image's content, to be read piece by piece.
  /// - Throws: ``UploadError/missing`` when the file is not there.
  public func reader(_ imageID: String) async throws -> ImageReader {
    try await ImageReader(path: content(of: imageID))
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

/// Why an upload ended without an image; in words for its owner.
public enum UploadError: Error, Sendable, Equatable {
  case tooLarge(limit: Int)
  case diskFull
  case refused(String)
  /// The sender left, or stood still for too long.
  case cutOff
  /// The disk failed in another way; for the log.
  case storage(String)
  /// The content that should be there is not.
  case missing

  init(_ error: FileError) { self = error.isDiskFull ? .diskFull : .storage(error.description) }
}

/// What came in.
public struct ImageFacts: Sendable, Equatable {
  public var size: Int
  public var virtualSize: Int?
  public var md5: String
  public var sha256: String
  public var sha512: String
}

/// An image's content on its way in: hashed as it comes, on a thread of its own, with back-pressure.
///
/// One task at a time. Whatever way it ends but ``publish()``, ``discard()`` leaves nothing of it.
public final class ImageUpload: Sendable {
  /// Touched on the thread only.
  private final class State: @unchecked Sendable {
    let descriptor: Int32
    var size = 0
    var head: [UInt8] = []
    var md5 = DigestStream(.md5)
    var sha256 = DigestStream(.sha256)
    var sha512 = DigestStream(.sha512)
    init(_ descriptor: Int32) { self.descriptor = descriptor }
    deinit { close(descriptor) }
  }
  private let thread = FileThread.shared
  private let state: State
  private let path: String
  private let target: String
  private let limit: Int

  init(path: String, target: String, limit: Int) async throws {
    self.path = path
    self.target = target
    self.limit = limit
    state = try await thread.run {
      do { return State(try Files.open(path, O_RDWR | O_CREAT | O_EXCL)) } catch let error as FileError {
        throw UploadError(error)
      }
    }
  }

  /// Takes the next piece; returns when it is written, so that a sender is never faster than the disk.
  public func append(_ bytes: [UInt8]) async throws {
    let (state, limit) = (state, limit)
    try await thread.run {
      guard state.size + bytes.count <= limit else { throw UploadError.tooLarge(limit: limit) }
      try bytes.withUnsafeBytes { raw in
        do { try Files.write(raw, to: state.descriptor) } catch let error as FileError { throw UploadError(error) }
        state.md5.update(raw)
        state.sha256.update(raw)
        state.sha512.update(raw)
      }
      if state.head.count < ImageContent.headLength {
        state.head += bytes.prefix(ImageContent.headLength - state.head.count)
      }
      state.size += bytes.count
    }
  }

  /// Checks the content against what it is declared to be, and gives it its name.
  /// - Parameter length: bytes that the sender announced; nil when it did not.
  /// - Throws: ``UploadError`` `.refused` with the reason, `.cutOff` when there is less than announced.
  public func publish(declared: String, length: Int?, largestDisk: Int) async throws -> ImageFacts {
    let (state, path, target) = (state, path, target)
    // Bringing gigabytes to the disk takes its time: not on a thread that others wait for.
    return try await FileThread("image publish").run {
      if let length, state.size != length { throw UploadError.cutOff }
      let tailStart = max(0, state.size - ImageContent.tailLength)
      let tail = try Files.read(state.descriptor, at: tailStart, count: state.size - tailStart)
      let content: ImageContent
      do {
        content = try ImageContent.inspect(declared: declared, head: state.head, tail: tail, size: state.size)
      } catch let error as ImageContent.Refusal {
        throw UploadError.refused(error.description)
      }
      if let disk = content.virtualSize, disk > largestDisk {
        throw UploadError.refused(
          "The image describes a disk of \(disk) bytes; this site takes at most \(largestDisk).")
      }
      let facts = ImageFacts(
        size: state.size, virtualSize: content.virtualSize, md5: Digest.hex(state.md5.finish()),
        sha256: Digest.hex(state.sha256.finish()), sha512: Digest.hex(state.sha512.finish()))
      do { try Files.publish(path, as: target) } catch let error as FileError { throw UploadError(error) }
      return facts
    }
  }

  /// Removes what came in.
  public func discard() { unlink(path) }
}

/// An image's content on its way out.
public final class ImageReader: Sendable {
  private let thread = FileThread.shared
  private let file: Descriptor
  public let size: Int

  /// Closed with the reader.
  private final class Descriptor: Sendable {
    let number: Int32
    init(_ number: Int32) { self.number = number }
    deinit { close(number) }
  }
  init(path: String) async throws {
    (file, size) = try await thread.run {
      do {
        let file = Descriptor(try Files.open(path, O_RDONLY))
        return (file, try Files.size(file.number))
      } catch let error as FileError where error.number == ENOENT { throw UploadError.missing }
    }
  }
  /// Up to `count` bytes from `offset`; fewer only at the end.
  public func read(at offset: Int, count: Int) async throws -> [UInt8] {
    let file = file
    return try await thread.run { try Files.read(file.number, at: offset, count: count) }
  }
}
