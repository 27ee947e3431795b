import Domain
import HTTPTypes
import Testing
import Wire

@Suite struct VolumeTests {
  @Test func aVolumeIsMadeShownChangedAndDeleted() async throws {
    try await Site.run { site in
      let made = try await site.call(
        .post, "/v3/volumes", ["volume": ["size": 2, "name": "data", "metadata": ["k": "v"], "imageRef": nil]])
      #expect(made.status == 202)
      let volume = try #require(made.json["volume"])
      #expect(volume["status"] == "creating" && volume["size"] == 2 && volume["bootable"] == "false")
      #expect(volume["volume_type"] == "__DEFAULT__" && volume["attachments"] == [])
      let id = try #require(volume["id"]?.string)
      try await site.become("available", "/v3/volumes/\(id)", "volume")
      #expect(site.world.value("volume/\(id)") == "\(2 << 30) zeros")

      let renamed = try await site.call(.put, "/v3/volumes/\(id)", ["volume": ["name": "more", "description": "d"]])
      #expect(renamed.json["volume"]?["name"] == "more" && renamed.json["volume"]?["description"] == "d")
      #expect(try await site.call(.post, "/v3/volumes/\(id)/metadata", ["metadata": ["l": "w"]]).status == 200)
      #expect(try await site.call(.delete, "/v3/volumes/\(id)/metadata/k").status == 200)
      #expect(try await site.call(.delete, "/v3/volumes/\(id)/metadata/k").status == 404)
      let shown = try await site.call(.get, "/v3/volumes/\(id)")
      #expect(shown.json["volume"]?["metadata"] == ["l": "w"])
      #expect(shown.headers[.init("OpenStack-API-Version") ?? .date] == "volume 3.71")

      let deleted = try await site.call(.delete, "/v3/volumes/\(id)?cascade=False&force=False")
      #expect(deleted.status == 202 && deleted.json == .null && deleted.headers[.contentType] == nil)
      try await site.gone("/v3/volumes/\(id)")
      #expect(site.world.values(prefix: "volume/").isEmpty)
    }
  }

  @Test func aVolumeIsMadeFromASnapshotAndFromAVolume() async throws {
    try await Site.run { site in
      let base = try await site.volume()
      try site.world.ensure("volume/\(base)", "\(1 << 30) first")
      let snapshot = try await site.snapshot(of: base)
      try site.world.ensure("volume/\(base)", "\(1 << 30) second")
      let fromSnapshot = try await site.volume(["snapshot_id": .string(snapshot), "size": nil])
      let fromVolume = try await site.volume(["source_volid": .string(base), "size": 3])
      #expect(site.world.value("volume/\(fromSnapshot)") == "\(1 << 30) first")
      #expect(site.world.value("volume/\(fromVolume)") == "\(3 << 30) second")
      let shown = try await site.call(.get, "/v3/volumes/\(fromSnapshot)")
      #expect(shown.json["volume"]?["snapshot_id"]?.string == snapshot)

      #expect(try await site.call(.delete, "/v3/volumes/\(base)").status == 400, "it has a snapshot")
      let small = try await site.call(
        .post, "/v3/volumes", ["volume": ["size": 1, "source_volid": .string(fromVolume)]])
      #expect(small.status == 400 && small.message.contains("smaller"))

      let reverted = try await site.call(
        .post, "/v3/volumes/\(base)/action", ["revert": ["snapshot_id": .string(snapshot)]])
      #expect(reverted.status == 202)
      try await site.become("available", "/v3/volumes/\(base)", "volume")
      #expect(site.world.value("volume/\(base)") == "\(1 << 30) first")
      #expect(try await site.call(.delete, "/v3/volumes/\(base)?cascade=True").status == 202)
      try await site.gone("/v3/volumes/\(base)")
      try await site.gone("/v3/snapshots/\(snapshot)")
      #expect(site.world.values(prefix: "snapshot/").isEmpty)
    }
  }

  @Test func aVolumeGrowsAndCountsAtOnce() async throws {
    try await Site.run { site in
      let id = try await site.volume()
      func extend(_ size: JSON) async throws -> Site.Answer {
        try await site.call(.post, "/v3/volumes/\(id)/action", ["os-extend": ["new_size": size]])
      }
      #expect(try await extend(1).status == 400)
      #expect(try await extend("one").status == 400)
      #expect(try await extend(.null).status == 400)
      #expect(try await extend(5).status == 202)
      try await site.become("available", "/v3/volumes/\(id)", "volume")
      #expect(try await site.call(.get, "/v3/volumes/\(id)").json["volume"]?["size"] == 5)
      #expect(site.world.value("volume/\(id)") == "\(5 << 30) zeros")
      let beyond = try await extend(1001)
      #expect(beyond.status == 413 && beyond.json["overLimit"]?["message"]?.string?.contains("gigabytes") == true)

      try site.world.ensure("fault/extend-volume", "no room")
      #expect(try await extend(6).status == 202)
      try await site.become("error_extending", "/v3/volumes/\(id)", "volume")
      let failed = try await site.call(.get, "/v3/volumes/\(id)").json["volume"]
      #expect(failed?["size"] == 5 && failed?["fault"]?.string?.isEmpty == false)
    }
  }

  @Test func quotasAreKeptAndRecounted() async throws {
    try await Site.run { site in
      let id = try await site.volume()
      let set = try await site.call(.put, "/v3/os-quota-sets/alpha", ["quota_set": ["volumes": 1]], as: "admin")
      #expect(set.json["quota_set"]?["volumes"] == 1)
      let refused = try await site.call(.post, "/v3/volumes", ["volume": ["size": 1]])
      #expect(refused.status == 413 && refused.json["overLimit"] != nil)
      let used = try await site.call(.get, "/v3/os-quota-sets/alpha?usage=True")
      #expect(used.json["quota_set"]?["volumes"] == ["limit": 1, "in_use": 1, "reserved": 0])
      #expect(used.json["quota_set"]?["gigabytes"]?["in_use"] == 1)
      #expect(try await site.call(.get, "/v3/limits").json["limits"]?["absolute"]?["totalVolumesUsed"] == 1)
      try await site.call(.delete, "/v3/volumes/\(id)")
      try await site.gone("/v3/volumes/\(id)")
      _ = try await site.volume()
      #expect(try await site.call(.put, "/v3/os-quota-sets/alpha", ["quota_set": ["volumes": 5]]).status == 403)
      #expect(try await site.call(.get, "/v3/os-quota-sets/alpha", as: "bob").status == 403)
    }
  }

  @Test func abuse25_othersVolumesAreNotThere() async throws {
    try await Site.run { site in
      let id = try await site.volume(["name": "mine"])
      let snapshot = try await site.snapshot(of: id)
      let attachment = try await site.call(.post, "/v3/attachments", ["attachment": ["volume_uuid": .string(id)]])
      let attachmentID = try #require(attachment.json["attachment"]?["id"]?.string)
      let nothing = Identifier.uuid()
      func same(_ method: HTTPRequest.Method, _ path: String, _ known: String, _ body: JSON? = nil) async throws {
        let foreign = try await site.call(method, path.replacing("ID", with: known), body, as: "bob")
        let absent = try await site.call(method, path.replacing("ID", with: nothing), body, as: "bob")
        #expect(foreign.status == 404 && absent.status == 404, "\(method) \(path)")
        #expect(foreign.message.replacing(known, with: "") == absent.message.replacing(nothing, with: ""), "\(path)")
      }
      try await same(.get, "/v3/volumes/ID", id)
      try await same(.put, "/v3/volumes/ID", id, ["volume": ["name": "x"]])
      try await same(.delete, "/v3/volumes/ID", id)
      try await same(.get, "/v3/volumes/ID/metadata", id)
      try await same(.post, "/v3/volumes/ID/action", id, ["os-extend": ["new_size": 9]])
      try await same(.get, "/v3/snapshots/ID", snapshot)
      try await same(.delete, "/v3/snapshots/ID", snapshot)
      try await same(.get, "/v3/attachments/ID", attachmentID)
      try await same(.delete, "/v3/attachments/ID", attachmentID)
      for source in ["source_volid": id, "snapshot_id": snapshot] {
        let stolen = try await site.call(
          .post, "/v3/volumes", ["volume": ["size": 1, source.key: .string(source.value)].merged], as: "bob")
        #expect(stolen.status == 404)
      }
      for query in [
        "", "?all_tenants=1", "?project_id=alpha", "?name=mine", "?all_tenants=1&project_id=alpha&sort=name:asc",
      ] {
        #expect(try await site.call(.get, "/v3/volumes/detail\(query)", as: "bob").json["volumes"] == [], "\(query)")
        #expect(try await site.call(.get, "/v3/snapshots\(query)", as: "bob").json["snapshots"] == [], "\(query)")
      }
      #expect(try await site.call(.get, "/v3/volumes?marker=\(id)", as: "bob").status == 404)
      #expect(
        try await site.call(.post, "/v3/volumes/\(id)/action", ["os-set_bootable": ["bootable": true]], as: "watcher")
          .status == 403)
      #expect(try await site.call(.get, "/v3/alpha/volumes/\(id)").status == 404, "no project's id")
    }
  }

  @Test func listsAreFilteredSortedAndPaged() async throws {
    try await Site.run { site in
      for name in ["a", "b", "c"] {
        _ = try await site.volume(["name": .string(name), "metadata": ["of": .string(name)]])
      }
      func names(_ query: String) async throws -> [String] {
        let answer = try await site.call(.get, "/v3/volumes/detail?\(query)")
        #expect(answer.status == 200, "\(query)")
        return answer.json["volumes"]?.array?.compactMap { $0["name"]?.string } ?? []
      }
      #expect(try await names("sort=name:asc") == ["a", "b", "c"])
      #expect(try await names("sort=name:desc") == ["c", "b", "a"])
      #expect(try await names("") == ["c", "b", "a"], "the newest first")
      #expect(try await names("name=b") == ["b"])
      #expect(try await names("name=nobody") == [])
      #expect(try await names("status=available&sort_key=name&sort_dir=asc") == ["a", "b", "c"])
      #expect(try await names("status=error") == [])
      #expect(try await names("metadata=%7B%27of%27%3A+%27b%27%7D") == ["b"])
      #expect(try await names("bootable=true") == [])
      #expect(try await names("availability_zone=nova&limit=1&sort=name:asc&offset=1") == ["b"])
      let page = try await site.call(.get, "/v3/volumes?limit=2&sort=name:asc&with_count=True")
      #expect(page.json["count"] == 3 && page.json["volumes"]?.array?.count == 2)
      let next = try #require(page.json["volumes_links"]?.array?.first?["href"]?.string)
      let path = try #require(
        next.range(of: "/volume/v3").map { String(next[$0.lowerBound...].dropFirst("/volume".count)) })
      let rest = try await site.call(.get, path)
      #expect(
        rest.json["volumes"]?.array?.compactMap { $0["name"]?.string } == ["c"] && rest.json["volumes_links"] == nil)
      for bad in ["limit=-1", "limit=x", "marker=\(Identifier.uuid())", "sort=secret:asc", "sort=name:up", "offset=-2"]
      {
        let answer = try await site.call(.get, "/v3/volumes?\(bad)")
        #expect(answer.status == (bad.hasPrefix("marker") ? 404 : 400), "\(bad)")
      }
    }
  }

  @Test(
    arguments: [
      ["size": 0], ["size": -1], ["size": "x"], [:], ["size": 1, "name": 5], ["size": 1, "metadata": ["k": 5]],
      ["size": 1, "multiattach": true], ["size": 1, "id": "00000000-0000-4000-8000-000000000000"],
      ["size": 1, "availability_zone": "moon"], ["size": 99_999],
      ["size": 1, "snapshot_id": "x"], ["size": 1, "imageRef": "00000000-0000-4000-8000-000000000000"],
    ] as [JSON])
  func badInputIsRefusedAndMakesNothing(body: JSON) async throws {
    try await Site.run { site in
      let answer = try await site.call(.post, "/v3/volumes", ["volume": body])
      #expect(answer.status == 400 && !answer.message.isEmpty, "\(answer.json)")
      #expect(try await site.call(.get, "/v3/volumes").json["volumes"] == [])
      #expect(site.world.ledger().isEmpty)
    }
  }

  @Test func aBackendThatFailsLeavesAnErrorInWords() async throws {
    try await Site.run { site in
      try site.world.ensure("fault/make-volume", "the disk is on fire at 10.0.0.9")
      let made = try await site.call(.post, "/v3/volumes", ["volume": ["size": 1]])
      let id = try #require(made.json["volume"]?["id"]?.string)
      try await site.become("error", "/v3/volumes/\(id)", "volume")
      let fault = try await site.call(.get, "/v3/volumes/\(id)").json["volume"]?["fault"]?.string ?? ""
      #expect(!fault.isEmpty && !fault.contains("10.0.0.9"))
      try site.world.ensure("fault/make-volume", nil)
      #expect(try await site.call(.delete, "/v3/volumes/\(id)").status == 202)
      try await site.gone("/v3/volumes/\(id)")
    }
  }

  @Test func theProjectMayBeInThePath() async throws {
    try await Site.run { site in
      _ = try await site.volume()
      let foreign = "0123456789abcdef0123456789abcdef"
      #expect(try await site.call(.get, "/v3/\(foreign)/volumes").status == 400)
      #expect(try await site.call(.get, "/v3/\(foreign)/volumes", as: "admin").status == 200)
      #expect(try await site.call(.get, "/").status == 300)
      #expect(try await site.call(.get, "/v3/", version: "3.999").json["versions"]?.array?.first?["version"] == "3.71")
      #expect(try await site.call(.get, "/v3/volumes", version: "3.72").status == 406)
      #expect(try await site.call(.get, "/v3/volumes", version: "latest").status == 200)
      #expect(
        try await site.call(.get, "/v3/volumes", version: nil).headers[.init("OpenStack-API-Version") ?? .date]
          == "volume 3.0")
    }
  }
}

extension [String: JSON] {
  fileprivate var merged: JSON { .object(reduce(into: JSONObject()) { $0[$1.key] = $1.value }) }
}
