import Domain
import DriverInterfaces
import Logging
import Wire

/// Where OVN is, as the administrator's configuration describes it.
public struct OVNConfiguration: Sendable, Equatable {
  /// The northbound database: "unix:/run/ovn/ovnnb_db.sock" or "tcp:10.0.0.2:6641".
  public var northbound: String
  /// The southbound database; without it a change counts only when every chassis has taken it, those that have failed too.
  public var southbound: String?
  /// Names of the chassis that carry routers and DHCP, the preferred one first (`external_ids:system-id` of their
  /// Open vSwitch). One, or three and more: of two the second never takes over from the first.
  public var chassis: [String]
  /// As the chassis' `ovn-bridge-mappings` call them.
  public var physicalNetworks: Set<String>
  public init(northbound: String, southbound: String? = nil, chassis: [String], physicalNetworks: Set<String>) {
    self.northbound = northbound
    self.southbound = southbound
    self.chassis = chassis
    self.physicalNetworks = physicalNetworks
  }
}

/// Tenants' DHCP, routers and floating IPs by OVN, through its northbound database (OVSDB, RFC 7047; ovn-nb(5)).
///
/// Our rows are compared with the wanted ones and the difference is one transaction. It counts once every chassis says that it
/// has taken it (`hv_cfg`), or those that carry something (``OVNCarriers``), and the database, read again, holds what was
/// wanted. Rows of others are not touched.
public final class OVNRouting: RoutingInterface {
  public let physicalNetworks: Set<String>
  private let plan: OVNPlan
  private let client: OVSDBClient
  private let carriers: OVNCarriers?
  private let device: DriverError.Device
  private let logger: Logger
  /// How long each of the three parts of a visit may take: reading, writing, the chassis.
  private let limit: Duration

  private static let database = "OVN_Northbound"
  /// How long all chassis are waited for before it is looked which of them matter.
  private static let courtesy = Duration.milliseconds(500)

  /// Makes the driver; connects to nothing yet.
  /// - Throws: ``DriverError`` `.misconfigured` for a place that is none, and for what cannot carry anything.
  public init(_ configuration: OVNConfiguration, logger: Logger, limit: Duration = .seconds(10)) throws(DriverError) {
    device = .routing(configuration.northbound)
    func endpoint(_ text: String, _ name: String) throws(DriverError) -> OVSDBEndpoint {
      if let endpoint = OVSDBEndpoint(text) { return endpoint }
      throw DriverError(
        .misconfigured, device: .routing(configuration.northbound),
        detail: "\(name) \"\(text)\" is neither unix:/PATH nor tcp:HOST:PORT")
    }
    guard !configuration.chassis.isEmpty, Set(configuration.chassis).count == configuration.chassis.count,
      configuration.chassis.allSatisfy({ !$0.isEmpty })
    else {
      throw DriverError(
        .misconfigured, device: device,
        detail: "it needs the names of its chassis, each once and the preferred one first")
    }
    physicalNetworks = configuration.physicalNetworks
    plan = OVNPlan(chassis: configuration.chassis)
    client = OVSDBClient(try endpoint(configuration.northbound, "northbound"), limit: limit)
    carriers = try configuration.southbound.map { text throws(DriverError) in
      OVNCarriers(OVSDBClient(try endpoint(text, "southbound"), limit: limit))
    }
    self.logger = logger
    self.limit = limit
  }

  // MARK: Reading

  public func probe() async throws { _ = try await numbers() }

  public func differences(from topology: LogicalTopology) async throws -> [String] {
    let found = try await read()
    return OVNDifference(wanted: plan.rows(for: topology), found: found.rows).sentences
  }

  /// How far a change has come: what was asked for, and the smallest that all chassis have taken.
  private struct Numbers { var asked: Int, northd: Int, chassis: Int }

  private static let global: JSON = [
    "op": "select", "table": "NB_Global", "where": [], "columns": ["nb_cfg", "sb_cfg", "hv_cfg"],
  ]
  private func numbers(_ row: JSON?) throws(DriverError) -> Numbers {
    guard let row = row?["rows"]?.array?.first else {
      throw DriverError(
        .misconfigured, device: device, detail: "its database has no row in NB_Global: `ovn-nbctl init` makes it")
    }
    return Numbers(
      asked: row["nb_cfg"]?.int ?? 0, northd: row["sb_cfg"]?.int ?? 0, chassis: row["hv_cfg"]?.int ?? 0)
  }
  private func numbers() async throws(DriverError) -> Numbers {
    try numbers(try await transact([Self.global]).last)
  }

  /// All rows at one moment: several selects in one transaction.
  private func read() async throws(DriverError) -> (rows: [OVNTable: [JSON]], numbers: Numbers) {
    let selects: [JSON] = OVNTable.allCases.map { table in
      [
        "op": "select", "table": .string(table.rawValue), "where": [],
        "columns": JSON(["_uuid", "external_ids"] + table.columns),
      ]
    }
    let results = try await transact(selects + [Self.global])
    var rows: [OVNTable: [JSON]] = [:]
    for (table, result) in zip(OVNTable.allCases, results) { rows[table] = result["rows"]?.array ?? [] }
    return (rows, try numbers(results.last))
  }

  private func transact(_ operations: [JSON]) async throws(DriverError) -> [JSON] {
    do throws(OVSDBError) {
      return try await client.patiently(limit) { client, limit throws(OVSDBError) in
        try await client.transact(Self.database, operations, limit: limit)
      }
    } catch { throw driverError(error) }
  }

  // MARK: Changing

  @discardableResult
  public func apply(_ topology: LogicalTopology) async throws -> [String] {
    let wanted = plan.rows(for: topology)
    let before = try await read()
    let difference = OVNDifference(wanted: wanted, found: before.rows)
    // Nothing to change: yet what a server changed that was killed then may still be on its way to the chassis.
    let target = difference.isEmpty ? before.numbers.asked : try await commit(difference.operations)
    try await waitUntilTaken(target, of: wanted)
    guard !difference.isEmpty else { return [] }
    let left = OVNDifference(wanted: wanted, found: try await read().rows)
    guard left.isEmpty else {
      throw DriverError(
        .notInForce, device: device,
        detail: "after the change: " + left.sentences.prefix(5).joined(separator: "; ")
          + (left.sentences.count > 5 ? " and \(left.sentences.count - 5) more" : ""))
    }
    return difference.sentences
  }

  /// - Returns: the configuration number to wait for.
  private func commit(_ operations: [JSON]) async throws(DriverError) -> Int {
    let transaction: [JSON] =
      operations + [
        ["op": "mutate", "table": "NB_Global", "where": [], "mutations": [["nb_cfg", "+=", 1]]], Self.global,
      ]
    // Not sent again when its answer was lost: rows would be made twice. The next call compares afresh.
    let results: [JSON]
    do throws(OVSDBError) {
      results = try await client.transact(Self.database, transaction, limit: limit)
    } catch { throw driverError(error) }
    return try numbers(results.last).asked
  }

  /// Waits for the chassis to have taken configuration number `target`: the database alone moves no packet.
  private func waitUntilTaken(_ target: Int, of rows: [OVNKey: OVNRow]) async throws(DriverError) {
    let start = ContinuousClock.now
    while true {
      let numbers = try await numbers()
      if numbers.chassis >= target { return }
      let elapsed = ContinuousClock.now - start
      // Somebody is late, or will never come.
      if let carriers, numbers.northd >= target, elapsed > Self.courtesy {
        do throws(OVSDBError) {
          if try await carriers.haveTaken(target, of: rows) { return }
        } catch { throw driverError(error) }
      }
      let left = limit - elapsed
      guard left > .zero else {
        let who = numbers.northd >= target ? "not every chassis has" : "ovn-northd has not"
        throw DriverError(
          .unreachable, device: device, detail: "\(who) taken the change in \(limit); does it run on every one of them?"
        )
      }
      let pause = carriers == nil ? left : min(left, Self.courtesy)
      let milliseconds =
        Int(pause.components.seconds) * 1000 + Int(pause.components.attoseconds / 1_000_000_000_000_000)
      let wait: JSON = [
        "op": "wait", "table": "NB_Global", "where": [], "columns": ["sb_cfg", "hv_cfg"], "until": "!=",
        "rows": [["sb_cfg": .int(numbers.northd), "hv_cfg": .int(numbers.chassis)]],
        "timeout": .int(max(milliseconds, 1)),
      ]
      // Whatever it answers, the numbers are read again.
      _ = try? await client.transact(Self.database, [wait], limit: pause + .milliseconds(200))
    }
  }

  private func driverError(_ error: OVSDBError) -> DriverError {
    DriverError(error.code, device: device, detail: "\(error)")
  }
}
