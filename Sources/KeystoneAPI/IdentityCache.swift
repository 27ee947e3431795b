import Synchronization

/// What was answered before and can be answered again without a statement: the bodies of tokens, and the catalog.
///
/// Forgotten whole with every change of an identity. What was read before a change and arrives after it is not kept: it
/// carries the number of the change that it was read under.
final class IdentityCache: Sendable {
  struct CatalogKey: Hashable {
    /// "http://host:port" as the client wrote it.
    var origin: String
    /// Empty when the catalog is the same for every project, and for every user.
    var project: String
    var user: String
  }
  private struct State {
    var generation = 0
    /// By audit id: the members of a token's body but the catalog, without the closing brace.
    var heads: [String: [UInt8]] = [:]
    var snapshot: CatalogSnapshot?
    var catalogs: [CatalogKey: [UInt8]] = [:]
  }
  private let state = Mutex(State())
  /// About 1 KiB each.
  private static let headLimit = 8192
  /// About 5 KiB each; clients can make up origins.
  private static let catalogLimit = 256

  var generation: Int { state.withLock { $0.generation } }

  func forget() {
    state.withLock { state in
      state.generation += 1
      state.heads.removeAll(keepingCapacity: true)
      state.snapshot = nil
      state.catalogs.removeAll(keepingCapacity: true)
    }
  }

  func head(_ auditID: String) -> [UInt8]? { state.withLock { $0.heads[auditID] } }
  func keep(head: [UInt8], of auditID: String, readAt generation: Int) {
    state.withLock { state in
      guard state.generation == generation else { return }
      if state.heads.count >= Self.headLimit { state.heads.removeAll(keepingCapacity: true) }
      state.heads[auditID] = head
    }
  }

  var snapshot: CatalogSnapshot? { state.withLock { $0.snapshot } }
  func keep(snapshot: CatalogSnapshot, readAt generation: Int) {
    state.withLock { if $0.generation == generation { $0.snapshot = snapshot } }
  }
  func catalog(_ key: CatalogKey) -> [UInt8]? { state.withLock { $0.catalogs[key] } }
  func keep(catalog: [UInt8], _ key: CatalogKey, readAt generation: Int) {
    state.withLock { state in
      guard state.generation == generation else { return }
      if state.catalogs.count >= Self.catalogLimit { state.catalogs.removeAll(keepingCapacity: true) }
      state.catalogs[key] = catalog
    }
  }
}
