import DriverInterfaces
import Glibc
import Processes

/// Turns what programs, daemons and the system refused into the error that the caller of a backend knows.
/// - Parameter daemon: who answers at the control sockets that `body` uses.
func reporting<T>(_ device: DriverError.Device, daemon: String, _ body: () async throws -> T) async throws -> T {
  do {
    return try await body()
  } catch let error as ControlError {
    let code: DriverError.Code =
      switch error {
      case .notRunning, .late, .lost: .unreachable
      case .badReply: .badReply
      case .refused, .system: .refused
      }
    throw DriverError(code, device: device, detail: "\(daemon): \(error)")
  } catch let error as CommandError {
    let code: DriverError.Code =
      switch error.reason {
      case .notFound, .badNamespace: .misconfigured
      case .timeout: .unreachable
      default: .refused
      }
    throw DriverError(code, device: device, detail: "\(error)")
  } catch let error as FileFailure {
    let isFull = error.number == ENOSPC || error.number == EDQUOT
    throw DriverError(
      .refused, device: device, detail: isFull ? "\(error); the disk of the volumes is full" : "\(error)")
  }
}

/// What goes into file names and requests to daemons.
enum VolumeWords {
  /// UUIDs, and whatever else of letters, digits and dashes an effect is called.
  static func isIdentifier(_ text: String) -> Bool {
    (1...64).contains(text.utf8.count) && text.utf8.allSatisfy { isAlphanumeric($0) || $0 == 0x2d }
      && !text.hasPrefix("-")
  }
  /// What the base of an image's copies is called. The digest is one of 256 or 512 bits (``RawImage/digest``), of which a name has the
  /// first 256.
  /// - Returns: nil for what is no image's id, or no digest.
  static func base(of image: RawImage, _ id: String) -> String? {
    guard isIdentifier(id), [64, 128].contains(image.digest.utf8.count), image.digest.utf8.allSatisfy(isAlphanumeric)
    else { return nil }
    return "image-\(id)-\(image.digest.prefix(64))"
  }
  /// RFC 7143 section 4.2.7.1: up to 223 bytes; here without those that the daemon's requests are cut by.
  static func isInitiator(_ text: String) -> Bool {
    (1...223).contains(text.utf8.count)
      && text.utf8.allSatisfy { isAlphanumeric($0) || [0x2d, 0x2e, 0x3a, 0x5f].contains($0) }
  }
  static func isUserName(_ text: String) -> Bool { isInitiator(text) && text.utf8.count <= 128 }
  /// Open-iscsi and firmware take 12 to 16 characters; others are the site's own affair.
  static func isPassword(_ text: String) -> Bool {
    (12...128).contains(text.utf8.count) && text.utf8.allSatisfy { (0x21...0x7e).contains($0) }
  }
  /// - Throws: ``DriverError`` `.refused`.
  static func check(_ export: VolumeExport, _ device: DriverError.Device) throws {
    func refuse(_ what: String) -> DriverError { DriverError(.refused, device: device, detail: what) }
    guard isUserName(export.userName) else {
      throw refuse("a CHAP user name has letters, digits and -._: only, and at most 128 of them")
    }
    guard isPassword(export.password) else {
      throw refuse("a CHAP password has 12 to 128 characters of ASCII, and no blanks")
    }
    for initiator in export.initiators where !isInitiator(initiator) {
      throw refuse("\"\(initiator)\" is not an initiator's name")
    }
  }
  /// What a machine sees as the disk's identity: the same through all targets of a volume.
  static func scsiID(_ volume: String) -> String { String(volume.filter(\.isHexDigit).prefix(32)) }
  private static func isAlphanumeric(_ byte: UInt8) -> Bool {
    (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
  }
}
