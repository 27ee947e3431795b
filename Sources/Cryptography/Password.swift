import CCrypt
import Glibc

/// Password hashes in crypt(5) form. Both calls cost tens of milliseconds of CPU and block: keep them off the cooperative pool.
public enum Password {
  /// yescrypt with the library's default cost (about 20 ms), in crypt(5) form.
  public static func hash(_ password: String) -> String? { hash(password, "$y$") }

  /// sha512crypt with the library's default cost (about 3 ms): what a small system's own library understands.
  public static func sha512Hash(_ password: String) -> String? { hash(password, "$6$") }

  private static func hash(_ password: String, _ form: String) -> String? {
    let random = randomBytes(16)
    let salt = random.withUnsafeBytes { bytes -> String? in
      guard let result = crypt_gensalt_ra(form, 0, bytes.bindMemory(to: CChar.self).baseAddress, 16) else {
        return nil
      }
      defer { free(result) }
      return String(cString: result)
    }
    guard let salt else { return nil }
    return crypt(password, setting: salt)
  }

  /// Any crypt(5) form: yescrypt, bcrypt (Keystone's `$2b$`), sha512crypt.
  public static func verify(_ password: String, against hash: String) -> Bool {
    guard let computed = crypt(password, setting: hash) else { return false }
    return constantTimeEqual(Array(computed.utf8), Array(hash.utf8))
  }

  private static func crypt(_ password: String, setting: String) -> String? {
    let data = UnsafeMutablePointer<crypt_data>.allocate(capacity: 1)
    defer { data.deallocate() }
    memset(data, 0, MemoryLayout<crypt_data>.size)
    guard let result = crypt_r(password, setting, data) else { return nil }
    let text = String(cString: result)
    return text.hasPrefix("*") ? nil : text
  }
}
