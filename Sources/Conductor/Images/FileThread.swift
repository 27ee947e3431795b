import Glibc
import Processes
import Synchronization
import Wire

/// A thread for the blocking reads and writes of one file: none of them runs on the cooperative pool.
///
/// Jobs run one after another, in the order they were given. The thread ends with this object.
final class FileThread: Sendable {
  private typealias Job = @Sendable () -> Void
  /// The unchecked part: guarded by its mutex.
  private final class Queue: @unchecked Sendable {
    let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    var jobs: [Job] = []
    var isClosed = false
    init() {
      pthread_mutex_init(mutex, nil)
      pthread_cond_init(condition, nil)
    }
    deinit {
      pthread_mutex_destroy(mutex)
      pthread_cond_destroy(condition)
      mutex.deallocate()
      condition.deallocate()
    }
    func put(_ job: @escaping Job) {
      pthread_mutex_lock(mutex)
      jobs.append(job)
      pthread_cond_signal(condition)
      pthread_mutex_unlock(mutex)
    }
    func close() {
      pthread_mutex_lock(mutex)
      isClosed = true
      pthread_cond_signal(condition)
      pthread_mutex_unlock(mutex)
    }
    func next() -> Job? {
      pthread_mutex_lock(mutex)
      defer { pthread_mutex_unlock(mutex) }
      while jobs.isEmpty {
        if isClosed { return nil }
        pthread_cond_wait(condition, mutex)
      }
      return jobs.removeFirst()
    }
  }
  private let queue = Queue()

  init(_ name: String) {
    let queue = queue
    startThread(name) { while let job = queue.next() { job() } }
  }
  deinit { queue.close() }

  /// A few threads that share the short reads and writes of all transfers, so that a thousand slow clients are not a
  /// thousand threads.
  private static let pool = (0..<4).map { FileThread("image file \($0)") }
  private static let next = Atomic<Int>(0)
  static var shared: FileThread { pool[abs(next.wrappingAdd(1, ordering: .relaxed).newValue % pool.count)] }

  /// Runs `body` on the thread.
  func run<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
    try await withCheckedThrowingContinuation { continuation in
      queue.put { continuation.resume(with: Result { try body() }) }
    }
  }
}

/// A file operation that the system refused.
struct FileError: Error, Sendable, CustomStringConvertible {
  let number: Int32
  let description: String
  /// - Parameter what: "write /var/lib/…": for the log; not shown to tenants.
  init(_ what: String, _ number: Int32 = errno) {
    self.number = number
    description = "cannot \(what): \(errorText(number))"
  }
  var isDiskFull: Bool { number == ENOSPC || number == EDQUOT }
}

/// Blocking file operations: on a ``FileThread``.
enum Files {
  static func open(_ path: String, _ flags: Int32, mode: mode_t = 0o600) throws -> Int32 {
    // Never through a symbolic link that someone put there, and never a device or a pipe, which may have no end.
    let descriptor = Glibc.open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, mode)
    guard descriptor >= 0 else { throw FileError("open \(path)") }
    var information = stat()
    let kind = flags & O_DIRECTORY == 0 ? S_IFREG : S_IFDIR
    guard fstat(descriptor, &information) == 0, information.st_mode & S_IFMT == kind else {
      close(descriptor)
      throw FileError("open \(path)", EINVAL)
    }
    return descriptor
  }
  static func write(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32) throws {
    var rest = bytes
    while !rest.isEmpty {
      let count = Glibc.write(descriptor, rest.baseAddress, rest.count)
      if count < 0 {
        if errno == EINTR { continue }
        throw FileError("write")
      }
      rest = UnsafeRawBufferPointer(rebasing: rest[count...])
    }
  }
  /// Writes all of it at a place.
  static func write(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32, at offset: Int) throws {
    var done = 0
    while done < bytes.count {
      let count = pwrite(descriptor, bytes.baseAddress?.advanced(by: done), bytes.count - done, off_t(offset + done))
      if count < 0 {
        if errno == EINTR { continue }
        throw FileError("write")
      }
      done += count
    }
  }
  /// Reads up to `count` bytes; fewer only at the end.
  static func read(_ descriptor: Int32, at offset: Int, count: Int) throws -> [UInt8] {
    try [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      filled = try read(descriptor, at: offset, into: UnsafeMutableRawBufferPointer(buffer))
    }
  }
  /// Fills memory.
  /// - Returns: how many bytes there were; fewer than fit only at the end.
  static func read(_ descriptor: Int32, at offset: Int, into memory: UnsafeMutableRawBufferPointer) throws -> Int {
    var filled = 0
    while filled < memory.count {
      let got = pread(
        descriptor, memory.baseAddress?.advanced(by: filled), memory.count - filled, off_t(offset + filled))
      if got < 0 {
        if errno == EINTR { continue }
        throw FileError("read")
      }
      if got == 0 { break }
      filled += got
    }
    return filled
  }
  static func size(_ descriptor: Int32) throws -> Int {
    var information = stat()
    guard fstat(descriptor, &information) == 0 else { throw FileError("look at a file") }
    return Int(information.st_size)
  }

  /// Makes what was written in `folder` (names included) survive a power loss.
  static func syncFolder(_ folder: String) throws {
    let descriptor = try open(folder, O_RDONLY | O_DIRECTORY)
    defer { close(descriptor) }
    guard fsync(descriptor) == 0 else { throw FileError("sync \(folder)") }
  }
  /// Gives a finished file its name, durably: the file is on disk before the name is.
  static func publish(_ temporary: String, as path: String) throws {
    let descriptor = try open(temporary, O_RDWR)
    defer { close(descriptor) }
    guard fsync(descriptor) == 0 else { throw FileError("sync \(temporary)") }
    guard rename(temporary, path) == 0 else { throw FileError("rename \(temporary)") }
    try syncFolder(String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)]))
  }
  /// Writes a file as a whole, or not at all, and the folders above it.
  static func publish(_ bytes: [UInt8], as path: String) throws {
    let temporary = "\(path).\(Identifier.uuid()).part"
    try makeFolder(String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)]))
    defer { unlink(temporary) }
    let descriptor = try open(temporary, O_WRONLY | O_CREAT | O_EXCL)
    do {
      defer { close(descriptor) }
      try bytes.withUnsafeBytes { try write($0, to: descriptor) }
    }
    try publish(temporary, as: path)
  }
  /// Gives a file a second name, `path`, which it has instead of what was there; a copy where the disks are different ones.
  static func share(_ source: String, as path: String) throws {
    unlink(path)
    if link(source, path) == 0 { return }
    guard errno == EXDEV || errno == EMLINK || errno == EPERM else { throw FileError("link \(source)") }
    let (from, to) = (try open(source, O_RDONLY), try open(path, O_WRONLY | O_CREAT | O_EXCL))
    defer {
      close(from)
      close(to)
    }
    let size = try size(from)
    for start in stride(from: 0, to: size, by: 1 << 20) {
      try read(from, at: start, count: min(1 << 20, size - start)).withUnsafeBytes { try write($0, to: to) }
    }
  }
  /// Makes a folder, and those above it, for this user only.
  static func makeFolder(_ path: String) throws {
    var sofar = ""
    for part in path.split(separator: "/") {
      sofar += (sofar.isEmpty && !path.hasPrefix("/") ? "" : "/") + part
      if mkdir(sofar, 0o700) != 0, errno != EEXIST { throw FileError("make the folder \(sofar)") }
    }
  }
  static func names(in folder: String) throws -> [String] {
    guard let directory = opendir(folder) else { throw FileError("read the folder \(folder)") }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) { tuple in
        tuple.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names
  }
  /// Bytes that unprivileged programs can still write on the disk of `folder`.
  static func freeBytes(_ folder: String) throws -> Int {
    var information = statvfs()
    guard statvfs(folder, &information) == 0 else { throw FileError("look at the disk of \(folder)") }
    return Int(information.f_bavail) * Int(information.f_frsize)
  }
}
