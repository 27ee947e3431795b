import Domain
import Glibc
import Store
import Testing
import Wire

/// The server and the model disagree.
struct Disagreement: Error, CustomStringConvertible { let description: String }

/// One random history, on a real server and in the model.
struct LeaseHistory {
  let site: LeaseSite
  var model: LeaseModel
  var log: [String] = []
  /// How many operations of each kind were done, not refused.
  var made: [String: Int] = [:]
  private var random: Random
  private var nodes: [String] = []
  private let begin: Timestamp
  private static let projects = ["owners", "alpha", "beta", "below"]

  /// SplitMix64. Source: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators" (2014).
  private struct Random: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
      state &+= 0x9E37_79B9_7F4A_7C15
      var z = state
      z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
      z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
      return z ^ (z >> 31)
    }
  }

  init(seed: UInt64) async throws {
    random = Random(state: seed)
    let settings = LeaseSettings(notices: [])
    site = try await LeaseSite(settings)
    begin = site.clock.now
    model = LeaseModel(settings: settings, now: begin)
    for index in 0..<5 {
      let owner = index < 3 ? "owners" : "beta"
      let uuid = try await site.enrol("n\(index)", owner: owner)
      nodes.append(uuid)
      model.machines[uuid] = LeaseModel.Machine(owner: owner)
    }
  }

  mutating func run(_ count: Int) async throws {
    for index in 0..<count {
      try await step()
      try await compare()
      if index % 20 == 0 { try await look() }
      if index % 200 == 199 { try await countUsage() }
    }
    try await countUsage()
  }

  // MARK: Chances

  private mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }
  private mutating func pick<T>(_ items: [T]) -> T? { items.randomElement(using: &random) }
  private mutating func project() -> String { pick(Self.projects) ?? "owners" }
  /// Mostly one who has a right to the machine.
  private mutating func somebody(with node: String) -> String {
    let lessees = model.leases.values.filter { $0.resourceUUID == node && $0.status == .active }.map(\.projectID)
    let entitled = [model.machines[node]?.owner].compactMap { $0 } + lessees.sorted()
    return chance(15) ? project() : pick(entitled) ?? project()
  }
  private mutating func node() -> String { pick(nodes) ?? "" }
  /// A time on the hour, so that ends and beginnings meet, and now and then not; often about where something else begins or
  /// ends, because there is where mistakes are.
  private mutating func time(from first: Int, to last: Int, after base: Timestamp) -> Timestamp {
    if chance(30) {
      let edges = (model.leases.values.map(\.time) + model.offers.values.map(\.time)).flatMap { [$0.start, $0.end] }
      let near = Set(edges).filter { $0 > base && $0 < base + .seconds(last * 3600) }.sorted()
      if let edge = pick(near) { return edge + .seconds(3600 * Int.random(in: -1...1, using: &random)) }
    }
    let hour = Timestamp(seconds: base.microseconds / 1_000_000 / 3600 * 3600)
    let odd = chance(10) ? Duration.milliseconds(Int.random(in: 1...3_599_999, using: &random)) : .zero
    return hour + .seconds(Int.random(in: first...last, using: &random) * 3600) + odd
  }
  private mutating func range() -> (start: Timestamp?, end: Timestamp?) {
    let start = chance(40) ? nil : time(from: -2, to: 40, after: model.now)
    let from = start ?? model.now
    if chance(15) { return (start, nil) }
    return (start, chance(3) ? from + .seconds(22 * 86_400) : time(from: chance(5) ? -2 : 1, to: 30, after: from))
  }
  private mutating func someLease() -> Lease? { pick(model.leases.values.sorted { $0.uuid < $1.uuid }) }
  private mutating func someOffer() -> Offer? { pick(model.offers.values.sorted { $0.uuid < $1.uuid }) }

  // MARK: Operations

  private mutating func step() async throws {
    switch Int.random(in: 0..<100, using: &random) {
    case 0..<30: try await create()
    case 30..<46: try await offer()
    case 46..<63: try await claim()
    case 63..<80: try await extend()
    case 80..<86: try await cancel()
    case 86..<89: try await withdraw()
    case 89..<91: try await changeOwner()
    case 91..<93: try await breakOrMend()
    default: try await pass()
    }
  }
  private mutating func done(_ kind: String) { made[kind, default: 0] += 1 }
  private mutating func note(_ text: String) { log.append("\(model.now.iso8601) \(text)") }

  /// - Throws: ``Disagreement`` when one allows what the other refuses, or the server does anything but refuse in words.
  private mutating func judge(_ what: String, _ answer: LeaseSite.Answer, isAllowed: Bool) throws {
    note("\(what): \(answer.status) \(answer.fault)\(answer.uuid)")
    let isDone = (200..<300).contains(answer.status)
    let isClear = isDone || ((400..<410).contains(answer.status) && !answer.fault.isEmpty)
    guard isDone == isAllowed, isClear else {
      throw Disagreement(description: "\(what): the model \(isAllowed ? "allows" : "refuses") it; \(answer.shown)")
    }
  }
  private func body(_ members: JSONObject, _ start: Timestamp?, _ end: Timestamp?) -> JSON {
    var body = members
    if let start { body["start_time"] = .string(start.iso8601) }
    if let end { body["end_time"] = .string(end.iso8601) }
    return .object(body)
  }
  private mutating func keep(_ lease: Lease, _ answer: LeaseSite.Answer) async throws {
    let (body, time) = (answer.body, lease.time)
    guard body["project_id"]?.string == lease.projectID, body["owner_id"]?.string == lease.ownerID,
      body["start_time"]?.string == time.start.iso8601, body["end_time"]?.string == time.end.iso8601,
      body["parent_lease_uuid"]?.string == lease.parentUUID, body["offer_uuid"]?.string == lease.offerUUID
    else { throw Disagreement(description: "expected \(lease), got \(answer.shown)") }
    var lease = lease
    lease.uuid = answer.uuid
    model.leases[lease.uuid] = lease
    if lease.parentUUID != nil { done("sub") }
    if time.start <= model.now { try await settle() }
  }

  private mutating func create() async throws {
    let (node, to, (start, end)) = (self.node(), project(), range())
    let by = somebody(with: node)
    let expected = model.lease(node, to: to, start, end, by: by)
    let answer = try await site.call(
      .post, "/v1/leases", body(["resource_uuid": .string(node), "project_id": .string(to)], start, end),
      as: site.token(by))
    try judge(
      "\(by) leases \(node) to \(to) \(start?.iso8601 ?? "") \(end?.iso8601 ?? "")", answer, isAllowed: expected != nil)
    guard let expected else { return }
    done("create")
    try await keep(expected, answer)
  }
  private mutating func offer() async throws {
    let (node, (start, end)) = (self.node(), range())
    let by = somebody(with: node)
    let to = chance(30) ? project() : nil
    let expected = model.offer(node, to: to, start, end, by: by)
    var members: JSONObject = ["resource_uuid": .string(node)]
    if let to { members["lessee_id"] = .string(to) }
    let answer = try await site.call(.post, "/v1/offers", body(members, start, end), as: site.token(by))
    try judge("\(by) offers \(node) \(start?.iso8601 ?? "") \(end?.iso8601 ?? "")", answer, isAllowed: expected != nil)
    guard var offer = expected else { return }
    done("offer")
    guard answer.body["end_time"]?.string == offer.time.end.iso8601,
      answer.body["parent_lease_uuid"]?.string == offer.parentUUID
    else { throw Disagreement(description: "expected \(offer), got \(answer.shown)") }
    offer.uuid = answer.uuid
    model.offers[offer.uuid] = offer
  }
  private mutating func claim() async throws {
    guard let offer = someOffer() else { return }
    let by = project()
    let end = chance(50) ? nil : time(from: 1, to: 30, after: max(model.now, offer.time.start))
    let start = chance(70) ? nil : time(from: -1, to: 40, after: max(model.now, offer.time.start))
    let expected = model.claim(offer, start, end, by: by)
    let answer = try await site.call(
      .post, "/v1/offers/\(offer.uuid)/claim", body([:], start, end), as: site.token(by))
    try judge(
      "\(by) claims \(offer.uuid) \(start?.iso8601 ?? "") \(end?.iso8601 ?? "")", answer, isAllowed: expected != nil)
    guard let expected else { return }
    done("claim")
    try await keep(expected, answer)
  }
  private mutating func extend() async throws {
    guard var lease = someLease() else { return }
    let by = chance(40) ? lease.projectID : chance(60) ? lease.ownerID : project()
    let end = chance(5) ? model.now + .seconds(30 * 86_400) : time(from: -3, to: 12, after: lease.time.end)
    let isAllowed = model.mayEnd(lease, at: end, by: by)
    let answer = try await site.call(
      .patch, "/v1/leases/\(lease.uuid)", ["end_time": .string(end.iso8601)], as: site.token(by))
    try judge("\(by) moves the end of \(lease.uuid) to \(end.iso8601)", answer, isAllowed: isAllowed)
    guard isAllowed else { return }
    done("extend")
    lease.time.end = end
    model.leases[lease.uuid] = lease
    if lease.fulfilledAt != nil { model.handedOver[lease.uuid] = lease }
  }
  private mutating func cancel() async throws {
    guard let lease = someLease() else { return }
    let by = chance(40) ? lease.projectID : chance(60) ? lease.ownerID : project()
    let answer = try await site.call(.delete, "/v1/leases/\(lease.uuid)", as: site.token(by))
    try judge("\(by) ends \(lease.uuid)", answer, isAllowed: model.sees(by, lease))
    guard model.sees(by, lease) else { return }
    done("cancel")
    model.end(lease.uuid, .deleted)
    try await settle()
  }
  private mutating func withdraw() async throws {
    guard let offer = someOffer() else { return }
    let (by, keeps) = (chance(70) ? offer.projectID : project(), chance(40))
    let answer = try await site.call(
      .delete, "/v1/offers/\(offer.uuid)?keep_leases=\(keeps)", as: site.token(by))
    try judge("\(by) withdraws \(offer.uuid), keeping leases: \(keeps)", answer, isAllowed: by == offer.projectID)
    guard by == offer.projectID else { return }
    done("withdraw")
    model.withdraw(offer.uuid, keepsLeases: keeps)
    try await settle()
  }
  private mutating func changeOwner() async throws {
    let (node, owner, isForced) = (self.node(), chance(60) ? "owners" : "beta", chance(20))
    let isAllowed = isForced || owner == model.machines[node]?.owner || model.mayChangeOwner(node)
    var isDone = true
    do {
      try await site.database.write { [conductor = site.conductor] session in
        guard let found = try NodeStore.get(node, in: session) else { return }
        try conductor.setOwner(owner, of: found, isForced: isForced, in: session)
      }
    } catch { isDone = false }
    note("\(node) gets owner \(owner), forced: \(isForced): \(isDone)")
    guard isDone == isAllowed else {
      throw Disagreement(description: "another owner: the model \(isAllowed ? "allows" : "refuses") it")
    }
    guard isAllowed else { return }
    done("owner")
    model.setOwner(owner, of: node, isForced: isForced)
    try await settle()
  }
  /// A machine that cannot be cleaned, and the administrator who mends it.
  private mutating func breakOrMend() async throws {
    let broken = nodes.filter { model.machines[$0]?.isBroken == true }
    let node = broken.isEmpty || chance(30) ? self.node() : broken[0]
    let isBroken = model.machines[node]?.isBroken == false
    note("\(node) is \(isBroken ? "broken" : "mended")")
    try await site.database.write { [box = site.database.secrets] session in
      try NodeStore.setDriverInfo(
        isBroken ? ["fake_clean_fault": "refused: bad sector"] : [:], of: node, secrets: [], box: box, in: session)
    }
    if isBroken {
      done("broken")
    } else {
      try await site.change(node) { node in
        node.provisionState = .available
        node.fault = nil
        node.maintenance = false
        node.lastError = nil
      }
    }
    model.machines[node]?.isBroken = isBroken
    try await settle()
  }
  private mutating func pass() async throws {
    let target = model.now + .seconds(Int.random(in: 1...(chance(10) ? 72 : 6), using: &random) * 3600)
    // Sometimes nobody looks at the clock in between: a server that was away.
    let isAway = chance(20)
    note("time passes until \(target.iso8601)\(isAway ? ", unseen" : "")")
    while model.now < target {
      let due = isAway ? target : min(max(model.nextDue ?? target, model.now + .microseconds(1)), target)
      site.clock.advance(by: due - model.now)
      model.now = due
      try await settle()
    }
    done("pass")
  }

  /// Lets the server rest, sometimes after it was ended in the middle of its work.
  private mutating func settle() async throws {
    if chance(4) {
      let isLate = chance(50)
      if isLate { _ = try await site.conductor.runLeases() }
      note("the server is ended and begun again")
      try await site.crash()
      done("crash")
    }
    try await site.settle()
    model.settle()
  }

  // MARK: Comparing

  /// The store holds what the model holds, and whatever the model says: nothing overlaps, and nothing leaves what it came out of.
  private mutating func compare() async throws {
    var filter = LeaseStore.Filter()
    filter.statuses = .live
    let asked = filter, over = model.ended.map(\.uuid), nodes = nodes
    let (live, offers, ended, machines) = try await site.database.read { session in
      var open = OfferStore.Filter()
      open.statuses = .open
      return (
        try LeaseStore.list(asked, in: session), try OfferStore.list(open, in: session),
        try over.map { try LeaseStore.get($0, in: session) }, try nodes.map { try NodeStore.get($0, in: session) }
      )
    }
    try hold(live)
    for lease in live { try agree(lease, model.leases[lease.uuid]) }
    for (lease, expected) in zip(ended, model.ended) { try agree(lease, expected) }
    guard live.count == model.leases.count else {
      throw Disagreement(description: "leases are lost: \(Set(model.leases.keys).subtracting(live.map(\.uuid)))")
    }
    guard Set(offers.map(\.uuid)) == Set(model.offers.keys) else {
      throw Disagreement(
        description: "offers: \(Set(offers.map(\.uuid)).symmetricDifference(model.offers.keys)) are open on one side")
    }
    for node in machines {
      guard let node, node.owner == model.machines[node.uuid]?.owner,
        node.leaseUUID == model.holder(node.uuid)?.uuid, node.lessee == model.holder(node.uuid)?.projectID
      else { throw Disagreement(description: "\(String(describing: node)) is not the machine that was expected") }
    }
    model.ended = []
    // The timer sleeps exactly until something is due.
    let pause = try await site.conductor.runLeases()
    let due = model.nextDue.map { max($0 - model.now, .milliseconds(20)) } ?? .seconds(30)
    guard pause == due else { throw Disagreement(description: "the timer sleeps \(pause) instead of \(due)") }
  }
  private func agree(_ lease: Lease?, _ expected: Lease?) throws {
    guard let lease, let expected, lease.status == expected.status, lease.time == expected.time,
      lease.fulfilledAt == expected.fulfilledAt, lease.endedAt == expected.endedAt,
      lease.projectID == expected.projectID, lease.ownerID == expected.ownerID,
      lease.parentUUID == expected.parentUUID, lease.offerUUID == expected.offerUUID
    else {
      throw Disagreement(description: "stored \(String(describing: lease))\nexpected \(String(describing: expected))")
    }
  }
  private func hold(_ live: [Lease]) throws {
    let byID = Dictionary(uniqueKeysWithValues: live.map { ($0.uuid, $0) })
    for group in Dictionary(grouping: live, by: { "\($0.resourceUUID) \($0.parentUUID ?? "")" }).values {
      let ordered = group.sorted { $0.time.start < $1.time.start }
      for (one, next) in zip(ordered, ordered.dropFirst()) where one.time.overlaps(next.time) {
        throw Disagreement(description: "\(one) and \(next) overlap")
      }
    }
    for lease in live {
      guard let uuid = lease.parentUUID else { continue }
      guard let parent = byID[uuid], parent.time.contains(lease.time), parent.projectID == lease.ownerID else {
        throw Disagreement(description: "\(lease) is outside what it came out of")
      }
    }
  }

  /// What one project is shown is what concerns it, and a foreign lease or offer is one that does not exist.
  private mutating func look() async throws {
    let project = self.project()
    let token = site.token(project)
    func equal(_ what: String, _ shown: [String], _ expected: [String]) throws {
      guard Set(shown) == Set(expected), shown.count == expected.count else {
        throw Disagreement(
          description: "\(project) is shown other \(what): \(Set(shown).symmetricDifference(expected))")
      }
    }
    try equal(
      "leases", try await site.call(.get, "/v1/leases", as: token).uuids("leases"),
      model.leases.values.filter { model.sees(project, $0) }.map(\.uuid))
    let shown = try await site.call(.get, "/v1/offers", as: token)
    try equal("offers", shown.uuids("offers"), model.offers.values.filter { model.sees(project, $0) }.map(\.uuid))
    for offer in shown.body["offers"]?.array ?? [] {
      let expected = offer["uuid"]?.string.flatMap { model.offers[$0] }.map { model.availabilities($0) } ?? []
      guard offer["availabilities"] == .array(expected.map { [.string($0.start.iso8601), .string($0.end.iso8601)] })
      else { throw Disagreement(description: "\(offer) should be available \(expected)") }
    }
    try equal(
      "nodes", try await site.call(.get, "/v1/nodes", as: token).uuids("nodes"),
      nodes.filter { model.sees(project, machine: $0) })
    let events = try await site.call(.get, "/v1/events?limit=100", as: token).body["events"]?.array ?? []
    for event in events where event["lessee_id"]?.string != project && event["owner_id"]?.string != project {
      throw Disagreement(description: "\(project) is shown \(event)")
    }
    let none = Identifier.uuid()
    let leases = model.leases.values.filter { !model.sees(project, $0) }.map { ("leases", $0.uuid) }
    let offers = model.offers.values.filter { !model.sees(project, $0) }.map { ("offers", $0.uuid) }
    for (noun, uuid) in [leases.min { $0.1 < $1.1 }, offers.min { $0.1 < $1.1 }].compactMap({ $0 }) {
      for verb in ["GET", "DELETE", noun == "leases" ? "PATCH" : "claim"] {
        let foreign = try await site.touch(verb, noun, uuid, as: token)
        let unknown = try await site.touch(verb, noun, none, as: token)
        guard foreign.status == 404, unknown.shown.replacing(none, with: uuid) == foreign.shown else {
          throw Disagreement(description: "\(verb) of foreign \(noun): \(foreign.shown); unknown: \(unknown.shown)")
        }
      }
    }
  }

  /// Machine time is conserved: counted from leases, from events, and by the model.
  private mutating func countUsage() async throws {
    let now = model.now
    let middle = begin + .microseconds(Int.random(in: 0...max((now - begin).wholeMicroseconds, 1), using: &random))
    for period in [TimeRange(begin, now + .seconds(1)), TimeRange(middle, now), TimeRange(begin, middle)]
    where period.isValid {
      let (leases, events) = try await site.database.read { session in
        (
          try UsageStore.fromLeases(period, now: now, in: session),
          try UsageStore.fromEvents(period, now: now, in: session)
        )
      }
      func order(_ uses: [LeaseUse]) -> [LeaseUse] { uses.sorted { $0.leaseUUID < $1.leaseUUID } }
      let expected = order(model.uses(period))
      guard order(leases) == expected, order(events) == expected else {
        throw Disagreement(
          description: "usage \(period): \(leases.count) leases, \(events.count) events, \(expected.count) expected")
      }
      // Less what was given on, it is the time for which the machines were somebody's at all.
      let sum = Usage.sum(leases, by: [.project]).reduce(Duration.zero) { $0 + $1.time - $1.subLeased }
      let whole = expected.filter { $0.parentUUID == nil }.reduce(Duration.zero) { $0 + $1.time.length }
      guard sum == whole else {
        throw Disagreement(description: "usage \(period): the machines' time is \(sum), of the leases \(whole)")
      }
    }
    // Nobody had a machine while somebody else had it.
    let outermost = model.handedOver.values.filter { $0.parentUUID == nil && $0.fulfilledAt != $0.endedAt }
    for group in Dictionary(grouping: outermost, by: \.resourceUUID).values {
      let ordered = group.sorted { ($0.fulfilledAt ?? begin) < ($1.fulfilledAt ?? begin) }
      for (one, next) in zip(ordered, ordered.dropFirst())
      where (one.endedAt ?? .distantFuture) > (next.fulfilledAt ?? begin) {
        throw Disagreement(description: "\(one) and \(next) had the machine at the same time")
      }
    }
  }
}

extension LeaseSite {
  fileprivate func touch(_ verb: String, _ noun: String, _ uuid: String, as token: String) async throws -> Answer {
    switch verb {
    case "DELETE": try await call(.delete, "/v1/\(noun)/\(uuid)", as: token)
    case "PATCH": try await call(.patch, "/v1/\(noun)/\(uuid)", ["end_time": "2030-01-01T00:00:00"], as: token)
    case "claim": try await call(.post, "/v1/\(noun)/\(uuid)/claim", [:], as: token)
    default: try await call(.get, "/v1/\(noun)/\(uuid)", as: token)
    }
  }
}
