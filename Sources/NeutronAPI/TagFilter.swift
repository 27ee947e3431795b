import APISupport

/// The four tag filters. Source: Neutron API reference, "Tag extension (standard-attr-tag)": filtering with tags.
struct TagFilter: Sendable {
  static let names: Set<String> = ["tags", "tags-any", "not-tags", "not-tags-any"]
  private let all: [Set<String>]
  private let any: [Set<String>]
  private let notAll: [Set<String>]
  private let notAny: [Set<String>]

  init(_ query: QueryParameters) {
    func sets(_ name: String) -> [Set<String>] {
      query.all(name).filter { !$0.isEmpty }.map { Set($0.split(separator: ",").map { String($0) }) }
    }
    (all, any, notAll, notAny) = (sets("tags"), sets("tags-any"), sets("not-tags"), sets("not-tags-any"))
  }
  private var isEmpty: Bool { all.isEmpty && any.isEmpty && notAll.isEmpty && notAny.isEmpty }
  func matches(_ tags: [String]) -> Bool {
    if isEmpty { return true }
    let has = Set(tags)
    return all.allSatisfy { $0.isSubset(of: has) } && any.allSatisfy { !$0.isDisjoint(with: has) }
      && notAll.allSatisfy { !$0.isSubset(of: has) } && notAny.allSatisfy { $0.isDisjoint(with: has) }
  }
}
