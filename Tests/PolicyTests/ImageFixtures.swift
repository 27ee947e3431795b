import Domain
import Store
import Wire

/// One image without content, one with staged content, one with content ("filled").
extension Fixtures {
  /// - Parameter owner: the project; the side's own unless named.
  static func images(
    of side: String, owner: String? = nil, sharedWith members: [String], _ now: Timestamp, in session: any Session
  ) throws {
    for (kind, status) in [("image", Image.Status.queued), ("staged", .uploading), ("filled", .active)] {
      var image = Image(
        id: MatrixSite.uuid("\(kind)-\(side)"), name: kind == "image" ? "i-\(side)" : "\(kind)-\(side)",
        owner: owner ?? MatrixSite.id("project-\(side)"), createdAt: now)
      image.status = status
      if side != "shared" || status != .queued {
        image.diskFormat = "raw"
        image.containerFormat = "bare"
        image.tags = ["blue"]
        image.properties = ["blue": "1"]
      }
      if status != .queued { image.size = 2 }
      try ImageStore.insert(image, in: session)
      for member in members {
        try ImageStore.set(
          ImageMember(imageID: image.id, projectID: MatrixSite.id("project-\(member)"), createdAt: now), in: session)
      }
    }
  }
}
