import ArgumentParser
import Domain
import Wire
import Yams

struct ImportCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "import", abstract: "Enrols the nodes that a file lists.",
    discussion: """
      FILE.csv has a row of column names: name, driver, resource_class, owner, driver_info.KEY, properties.KEY, extra.KEY, \
      ports (addresses with spaces between them). FILE.yaml or FILE.json is a list of nodes, or has one under `nodes`; ports \
      are addresses or objects with address, local_link_connection and so on. r1u[1-40] stands for forty nodes, and \
      10.0.3.[11-50] in the same entry counts along. Nodes that are there already are left as they are. Credentials are \
      those of every OpenStack client: OS_CLOUD, or OS_AUTH_URL and so on.
      """)

  @Argument(help: "A .csv, .yaml, .yml or .json file.") var file: String
  @Flag(help: "Checks everything, says what would be done, and does nothing.") var dryRun = false

  func run() async throws {
    let items = try read()
    let cloud = try await CloudClient.login()
    do {
      let problems = try await work(items, cloud)
      await cloud.close()
      if problems > 0 { throw ExitCode(1) }
    } catch {
      await cloud.close()
      throw error
    }
  }

  private func read() throws -> [NodeImport.Item] {
    let text = try readFile(file)
    do {
      if file.hasSuffix(".csv") { return try NodeImport.items(try NodeImport.entries(csv: text)) }
      let loaded = try Yams.load(yaml: text).map { json($0) } ?? .null
      guard let list = loaded["nodes"]?.array ?? loaded.array else {
        throw NodeImport.Problem("a list of nodes is expected, or one under `nodes`")
      }
      return try NodeImport.items(
        try list.map { entry in
          guard let object = entry.object else { throw NodeImport.Problem("an entry is a mapping of keys to values") }
          return object
        })
    } catch { throw Failure("\(file): \(error)") }
  }
  private func json(_ value: Any) -> JSON {
    switch value {
    case let flag as Bool: .bool(flag)
    case let number as Int: .int(number)
    case let number as Double: .double(number)
    case let text as String: .string(text)
    case let list as [Any]: .array(list.map { json($0) })
    case let mapping as [String: Any]:
      .object(mapping.sorted { $0.key < $1.key }.reduce(into: JSONObject()) { $0[$1.key] = json($1.value) })
    default: .null
    }
  }

  /// - Returns: how many nodes could not, or cannot, be enrolled.
  private func work(_ items: [NodeImport.Item], _ cloud: CloudClient) async throws -> Int {
    let api = try cloud.endpoint("baremetal") + "/v1"
    var required: [String: [String]] = [:]
    for driver in Set(items.map { $0.node["driver"]?.string ?? "" }) where !driver.isEmpty {
      let answer = try await cloud.send("GET", "\(api)/drivers/\(escaped(driver))/properties")
      guard answer.status == 200 else { continue }
      required[driver] = (answer.json.object ?? [:]).filter { $0.value.string?.hasSuffix(" Required.") == true }
        .map(\.key).sorted()
    }
    var (made, known, problems) = (0, 0, 0)
    for item in items {
      if try await cloud.send("GET", "\(api)/nodes/\(escaped(item.name))?fields=uuid").status == 200 {
        print("exists   \(item.name)")
        known += 1
      } else if let problem = try await problem(item, required, api, cloud) {
        print("problem  \(item.name): \(problem)")
        problems += 1
      } else {
        print("\(dryRun ? "would be" : "enrolled") \(item.name), \(item.ports.count) ports")
        made += 1
      }
    }
    print("\(made) \(dryRun ? "would be enrolled" : "enrolled"), \(known) there already, \(problems) with a problem")
    return problems
  }

  /// Enrols a node, or only looks whether it could be.
  /// - Returns: why not.
  private func problem(
    _ item: NodeImport.Item, _ required: [String: [String]], _ api: String, _ cloud: CloudClient
  ) async throws -> String? {
    let driver = item.node["driver"]?.string ?? ""
    guard let keys = required[driver] else { return "there is no driver '\(driver)'" }
    if let missing = keys.first(where: { item.node["driver_info"]?[$0] == nil }) {
      return "driver_info has no \(missing)"
    }
    for port in item.ports {
      guard let address = port["address"]?.string, let mac = MACAddress(address) else {
        return "'\(port["address"]?.string ?? "")' is no hardware address"
      }
      let others = try await cloud.send("GET", "\(api)/ports?address=\(mac)")
      guard others.json["ports"]?.array?.isEmpty != false else {
        return "there is a port with the address \(mac) already"
      }
    }
    if dryRun { return nil }
    let made = try await cloud.send("POST", "\(api)/nodes", .object(item.node))
    guard made.status == 201, let uuid = made.json["uuid"]?.string else { return made.fault }
    for var port in item.ports {
      port["node_uuid"] = .string(uuid)
      let answer = try await cloud.send("POST", "\(api)/ports", .object(port))
      guard answer.status == 201 else {
        // Half a node is none.
        _ = try await cloud.send("DELETE", "\(api)/nodes/\(uuid)")
        return "its port \(port["address"]?.string ?? ""): \(answer.fault)"
      }
    }
    return nil
  }
  private func escaped(_ text: String) -> String {
    text.utf8.map { byte in
      let isPlain =
        (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
        || [0x2d, 0x2e, 0x5f, 0x7e].contains(byte)
      let digits = String(byte, radix: 16, uppercase: true)
      return isPlain ? String(UnicodeScalar(byte)) : "%" + (digits.utf8.count < 2 ? "0" : "") + digits
    }.joined()
  }
}
