import Cryptography
import Glibc
import Processes
import Store

extension Database {
  /// A new database in a file that does not exist yet: a copy of an empty one, which each test process makes once.
  /// Every migration on a new file takes a fifth of a second in a debug build, ten times what the copy does.
  public static func fresh(at path: String, secrets: SecretBox, readers: Int = 3) throws -> Database {
    try writeEmpty(to: path)
    return try Database(path: path, secrets: secrets, readers: readers)
  }

  /// Writes an empty database with today's schema: a copy of `template`, which a process that makes many others is given; of its own when nil.
  public static func writeEmpty(to path: String, template: String? = nil) throws {
    let bytes = try template.map { try contents(of: $0) } ?? empty.get()
    let file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    defer { Glibc.close(file) }
    guard file >= 0, bytes.withUnsafeBytes({ Glibc.write(file, $0.baseAddress, $0.count) }) == bytes.count else {
      throw StoreError(.other, "\(path) cannot be written: \(String(cString: strerror(errno)))")
    }
  }

  private static let empty = Result<[UInt8], any Error> {
    let folder = try makeTemporaryFolder("database"), path = "\(folder)/empty.db"
    defer { removeTree(folder) }
    // The last that closes it writes its log (WAL) into the file.
    try Database(path: path, secrets: SecretBox(key: randomBytes(32)), readers: 1).close()
    return try contents(of: path)
  }

  private static func contents(of path: String) throws -> [UInt8] {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw StoreError(.other, "\(path) cannot be read: \(String(cString: strerror(errno)))") }
    defer { Glibc.close(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 18)
    while case let count = Glibc.read(file, &buffer, buffer.count), count > 0 { bytes += buffer[..<count] }
    return bytes
  }
}
