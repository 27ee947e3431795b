import Glibc

/// What an image of a disk shall not hold: the config drive that the deployment put there, with its keys and passwords.
///
/// The next deployment adds its own, and finds its place free. The disk itself is not changed: what is read of it is.
struct CapturedLayout {
  /// Bytes that stand at these places instead of what the disk has; nil is zeros.
  private(set) var changes: [(range: Range<Int>, bytes: [UInt8]?)] = []

  init(of device: BlockDevice) throws {
    // A table that is damaged is the tenant's; the image has it as it is.
    if var table = try? GUIDPartitionTable(of: device) {
      guard let place = try table.remove(named: "config-2") else { return }
      changes.append((place, nil))
      for piece in table.pieces(sectors: device.size / device.sectorSize) {
        changes.append((piece.offset..<(piece.offset + piece.bytes.count), piece.bytes))
      }
    } else if var record = try MasterBootRecord(of: device) {
      let drive = record.places.first { place in
        place.range.upperBound <= device.size && (try? Self.isConfigDrive(device, at: place.range.lowerBound)) == true
      }
      guard let drive else { return }
      changes.append((drive.range, nil))
      record.remove(drive.slot)
      changes.append((0..<512, record.bytes))
    }
  }

  /// An ISO 9660 volume with the config drive's label. Source: ECMA-119, section 8.4: the volume identifier is at byte 40 of sector 16.
  private static func isConfigDrive(_ device: BlockDevice, at start: Int) throws -> Bool {
    let volume = try device.read(48, at: start + 16 * 2048)
    return volume[1..<6].elementsEqual("CD001".utf8) && volume[40..<48].elementsEqual("config-2".utf8)
  }

  /// Puts the changes into what was read at `offset`.
  func apply(to bytes: UnsafeMutableRawBufferPointer, at offset: Int) {
    for change in changes {
      let common = change.range.clamped(to: offset..<(offset + bytes.count))
      guard !common.isEmpty else { continue }
      let target = UnsafeMutableRawBufferPointer(
        rebasing: bytes[(common.lowerBound - offset)..<(common.upperBound - offset)])
      guard let new = change.bytes else {
        target.initializeMemory(as: UInt8.self, repeating: 0)
        continue
      }
      target.copyBytes(
        from: new[(common.lowerBound - change.range.lowerBound)..<(common.upperBound - change.range.lowerBound)])
    }
  }
}
