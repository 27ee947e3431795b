import APISupport
import BlockMaps
import HTTPTypes
import NIOCore

extension ServedFile {
  /// Frames of packed blocks (`BlockMaps`), as they lie in the file: nothing is unpacked or held for it.
  /// - Parameter body: which (``BlockRanges``).
  /// - Throws: 400 for ranges that the disk does not have.
  func blocks(_ body: [UInt8]) async throws -> APIResponse {
    let disk: PackedDisk
    let ranges: [Range<Int>]
    do {
      disk = try PackedDisk(header: try await bytes(0..<min(PackedDisk.headerLength, size)), fileSize: size)
    } catch let error as BlockFormatError { throw APIError(.internalServerError, "\(error) Deploy again.") }
    do { ranges = try BlockRanges.parse(body, count: disk.count) } catch {
      throw APIError.badRequest(error.description)
    }
    var spans: [Range<Int>] = []
    for range in ranges {
      guard let start = try await position(of: range.lowerBound, disk),
        let end = try await position(of: range.upperBound, disk), start <= end
      else { throw APIError(.internalServerError, "The file of packed blocks is damaged. Deploy again.") }
      if !(start..<end).isEmpty { spans.append(start..<end) }
    }
    return APIResponse(
      .ok, contentType: "application/octet-stream", length: spans.reduce(0) { $0 + $1.count }, headers: [:]
    ) { [self, spans] writer in
      for span in spans { try await send(span, to: &writer) }
    }
  }

  private func position(of block: Int, _ disk: PackedDisk) async throws -> Int? {
    let entry = disk.entry(of: block)
    return disk.position(try await bytes(entry..<(entry + 8)))
  }
  private func bytes(_ range: Range<Int>) async throws -> [UInt8] { Array((try await read(range)).readableBytesView) }
}
