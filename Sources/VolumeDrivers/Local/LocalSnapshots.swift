import DriverInterfaces
import Processes

extension LocalVolumes {
  public func ensureSnapshot(_ snapshot: String, of volume: String) async throws {
    try await verb(snapshot, volume) {
      try await turns.take(volume) {
        let link = LayerFiles.Link.snapshot(snapshot, of: volume)
        if try await onDisk({ $0.layer(link) }) != nil { return }
        try await self.link(link, to: try await freeze(volume, under: "\(snapshot).qcow2"))
      }
    }
  }

  /// Lays a new layer over what the volume holds now, and sees that what is written from now on goes there.
  ///
  /// The link goes first and the daemon follows: should both die between the two, the volume is opened with the new layer, which
  /// is empty, and nothing that was written is lost. The other way round it would be.
  /// - Parameter layer: the new top; one that is there from a call that was cut short is used.
  /// - Returns: the layer that is written no more.
  func freeze(_ volume: String, under layer: String) async throws -> String {
    let top = try await top(of: volume)
    let chain = try await onDisk { try $0.chain(from: top) }
    if let index = chain.firstIndex(of: layer), index + 1 < chain.count {
      try await align(volume)
      return chain[index + 1]
    }
    return try await files.making(layer) {
      let size = try await onDisk { try $0.header(top) }.size
      try await makeLayer(layer, size: size, over: top)
      try await link(.volume(volume), to: layer)
      try await align(volume)
      return top
    }
  }

  /// Brings the daemon that has the volume open, if there is one, to the layer that the volume's link leads to.
  /// - Returns: what it has open then; nil when none runs.
  @discardableResult
  func align(_ volume: String) async throws -> DiskDaemon.State? {
    let daemon = daemon(.volume(volume))
    guard let state = try await daemon.observe() else { return nil }
    let top = try await top(of: volume)
    if state.node == DiskDaemon.nodeName(top) { return state }
    let chain = try await onDisk { try $0.chain(from: top) }
    guard let index = chain.firstIndex(where: { DiskDaemon.nodeName($0) == state.node }) else {
      throw DriverError(
        .notInForce, device: device,
        detail:
          "the daemon of volume \(volume), process \(state.process), has \(state.node) open, which is not the volume's")
    }
    for layer in chain[..<index].reversed() {
      try await daemon.cover(with: node(layer, isOverlay: true))
      try afterEffect("daemon")
    }
    return try await daemon.observe()
  }

  public func removeSnapshot(_ snapshot: String, of volume: String) async throws {
    try await verb(snapshot, volume) {
      try await turns.take(volume) {
        let content = VolumeContent.snapshot(snapshot, of: volume)
        guard try await uses.readers(of: content).isEmpty else {
          throw DriverError(.busy, device: device, detail: "snapshot \(snapshot) is being read")
        }
        try await daemon(content).end()
        try await onDisk { try $0.remove(.snapshot(snapshot, of: volume)) }
        try afterEffect("link")
        try await onDisk { try $0.collect() }
        try await shorten(volume)
      }
    }
  }

  /// Bytes that are merged at once for a volume that nobody uses; more waits for its daemon.
  private static let mergedAtOnce = 64 << 20

  /// Takes layers that only the volume stands on into the lowest of them: it holds the most, and the others what was written
  /// between two snapshots. In the background while the volume is in use; a verb that comes meanwhile ends it.
  func shorten(_ volume: String) async throws {
    guard let run = try await onDisk({ try $0.mergeable(volume) }), let highest = run.first, let base = run.last else {
      return
    }
    if try await align(volume) != nil {
      try await daemon(.volume(volume)).merge(files.path(ofLayer: highest), into: files.path(ofLayer: base))
      return try afterEffect("merge")
    }
    guard try await onDisk({ files in run.dropLast().reduce(0) { $0 + files.allocated($1) } }) <= Self.mergedAtOnce
    else { return }
    let top = try await top(of: volume)
    // Their content is in both then, and next the top stands on the one that stays.
    try await runChecked(
      "qemu-img", ["commit", "-q", "-d", "-f", "qcow2", "-b", files.path(ofLayer: base), files.path(ofLayer: highest)],
      timeout: .seconds(600))
    try afterEffect("merge")
    try await runChecked(
      "qemu-img", ["rebase", "-q", "-u", "-f", "qcow2", "-F", "qcow2", "-b", base, files.path(ofLayer: top)])
    try await settle(top)
    try await onDisk { try $0.collect() }
  }

  public func revert(_ volume: String, to snapshot: String) async throws {
    try await verb(volume, snapshot) {
      try await turns.take(volume) {
        try await requireUnused(volume)
        let top = try await top(of: volume)
        guard let frozen = try await onDisk({ $0.layer(.snapshot(snapshot, of: volume)) }) else {
          throw refusal("there is no snapshot \(snapshot) of volume \(volume)")
        }
        // A name of its own each time: the volume may have been written after an earlier one.
        let layer = "back-\(String(UInt64.random(in: .min ... .max), radix: 16)).qcow2"
        try await files.making(layer) {
          let size = try await onDisk { try max($0.header(top).size, $0.header(frozen).size) }
          try await makeLayer(layer, size: size, over: frozen)
          try await link(.volume(volume), to: layer)
        }
        try await onDisk { try $0.collect() }
      }
    }
  }
}
