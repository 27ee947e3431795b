import Domain
import Store
import Testing
import Wire

/// A list that is longer than what is read at a time is the same list, in one answer.
@Suite struct LongListTests {
  /// 1,203 nodes, made without their requests.
  private func fill(_ site: Site) async throws {
    let box = site.database.secrets
    try await site.database.write { session in
      for index in 0..<1203 {
        var node = Node(
          uuid: Identifier.uuid(), name: "n\(index)", driver: "world", createdAt: Timestamp(microseconds: index / 7))
        node.resourceClass = index % 3 == 0 ? nil : "class-\(index % 5)"
        node.owner = index % 2 == 0 ? Site.owner : Site.other
        node.isRetired = index % 4 == 0
        try NodeStore.insert(node, secrets: [], box: box, in: session)
      }
    }
  }
  private func names(_ answer: Site.Answer) -> [String] {
    (answer.json["nodes"]?.array ?? []).compactMap { $0["name"]?.string }
  }

  @Test func comesWholeAndInOrder() async throws {
    try await withSite(longestPage: 5000) { site in
      try await fill(site)
      let all = try await site.call(.get, "/v1/nodes")
      #expect(all.status == 200 && all.headers[.contentType] == "application/json" && all.json["next"] == nil)
      #expect(Set(names(all)).count == 1203 && names(all).count == 1203)
      for path in [
        "/v1/nodes/detail?x=", "/v1/nodes?sort_key=name", "/v1/nodes?sort_key=name&sort_dir=desc",
        "/v1/nodes?sort_key=resource_class", "/v1/nodes?sort_key=retired&sort_dir=desc",
        "/v1/nodes?fields=name&sort_key=updated_at",
      ] {
        let whole = try await site.call(.get, path.replacing("?x=", with: ""))
        // The same, page by page.
        var pages: [String] = []
        var next: String? = path.replacing("?x=", with: "") + (path.hasSuffix("?x=") ? "?" : "&") + "limit=400"
        while let path = next {
          let page = try await site.call(.get, path)
          pages += names(page)
          next = page.json["next"]?.string.map { String($0.split(separator: "/baremetal")[1]) }
        }
        #expect(names(whole) == pages && pages.count == 1203, "\(path)")
      }
      let owned = try await site.call(.get, "/v1/nodes", as: site.token(Site.owner))
      #expect(names(owned).count == 602)
    }
  }

  @Test(arguments: [499, 500, 501, 1000, 1001, 1202, 1203, 1204]) func aPageEndsWhereItWasAskedTo(limit: Int)
    async throws
  {
    try await withSite(longestPage: 1203) { site in
      try await fill(site)
      let page = try await site.call(.get, "/v1/nodes?limit=\(limit)")
      #expect(names(page).count == min(limit, 1203) && Set(names(page)).count == min(limit, 1203))
      guard limit < 1203 else {
        #expect(page.json["next"] == nil)
        return
      }
      let last = page.json["nodes"]?.array?.last?["uuid"]?.string ?? "?"
      #expect(page.json["next"]?.string?.contains("limit=\(limit)&marker=\(last)") == true)
      let rest = try await site.call(.get, "/v1/nodes?limit=\(limit)&marker=\(last)")
      #expect(Set(names(page)).isDisjoint(with: names(rest)))
    }
  }

  @Test func noPageIsLongerThanTheSiteAllows() async throws {
    try await withSite { site in
      try await fill(site)
      for path in ["/v1/nodes", "/v1/nodes?limit=1100", "/v1/nodes?limit=0"] {
        let page = try await site.call(.get, path)
        #expect(names(page).count == 1000 && page.json["next"] != nil, "\(path)")
      }
    }
  }
}
