import Domain
import Store
import Testing
import Wire

/// Pages that the database cuts are those of a list that is read whole.
@Suite struct ImagePageTests {
  private func walk(_ query: String, as user: String, _ site: Site) async throws -> [String] {
    var ids: [String] = []
    var path: String? = "/v2/images?\(query)&limit=2"
    while let next = path {
      let answer = try await site.call(.get, next, as: user)
      #expect(answer.status == 200, "\(next)")
      ids += (answer.json["images"]?.array ?? []).map(\.id)
      path = answer.json["next"]?.string
      if ids.count > 100 { break }
    }
    return ids
  }

  @Test func pagesAreTheSameWhoeverCutsThem() async throws {
    try await Site.run { site in
      try await site.database.write { session in
        for index in 0..<24 {
          var image = Image(
            name: "n\(index % 3)", owner: index / 4 % 2 == 0 ? "alpha" : "beta",
            visibility: Image.Visibility.allCases[index % 4],
            // Several were made at the same time.
            createdAt: Timestamp(seconds: 1_700_000_000 + index / 3))
          image.isHidden = index % 5 == 4
          image.tags = ["t\(index)", "all"]
          try ImageStore.insert(image, in: session)
          if index % 3 == 0 {
            var member = ImageMember(imageID: image.id, projectID: "alpha", createdAt: image.createdAt)
            member.status = .accepted
            try ImageStore.set(member, in: session)
          }
        }
      }
      for user in ["alice", "bob", "carol", "admin"] {
        for query in [
          "x", "sort=created_at", "sort_dir=asc", "sort=created_at:asc", "os_hidden=true", "visibility=all",
          "visibility=community&sort_dir=asc", "visibility=shared", "name=n1", "name=in:n0,n2&sort_dir=asc",
        ] {
          let wanted = query == "x" ? "sort_dir=desc" : query
          // Every image has the tag: a filter that leaves all, and has the list read whole.
          let whole = try await site.list("?\(wanted)&tag=all", as: user)
          #expect(try await walk(wanted, as: user, site) == whole, "\(user) \(wanted)")
          #expect(try await site.list("?\(wanted)", as: user) == whole, "\(user) \(wanted)")
        }
        #expect(try await !site.list("?visibility=all", as: user).isEmpty)
      }
      let foreign = try await site.database.read { session in
        try ImageStore.list(in: session).first { $0.owner == "alpha" && $0.visibility == .private && !$0.isHidden }?.id
      }
      let marker = try #require(foreign)
      #expect(try await site.call(.get, "/v2/images?marker=\(marker)", as: "bob").status == 400)
      #expect(try await site.call(.get, "/v2/images?marker=none", as: "bob").status == 400)
      #expect(try await site.call(.get, "/v2/images?marker=\(marker)").status == 200)
      #expect(try await site.list("?limit=0") == [])
    }
  }
}
