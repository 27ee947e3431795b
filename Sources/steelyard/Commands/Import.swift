import APISupport
import ArgumentParser
import Domain
import Wire
import Yams

struct ImportCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "import", abstract: "Enrols the nodes that a file lists, or those of another Ironic.",
    discussion: """
      FILE.csv has a row of column names: name, driver, resource_class, owner, driver_info.KEY, properties.KEY, extra.KEY, \
      ports (addresses with spaces between them). FILE.yaml or FILE.json is a list of nodes, or has one under `nodes`; ports \
      are addresses or objects with address, local_link_connection and so on. r1u[1-40] stands for forty nodes, and \
      10.0.3.[11-50] in the same entry counts along. Nodes that are there already are left as they are. Credentials are \
      those of every OpenStack client: OS_CLOUD, or OS_AUTH_URL and so on. Those for the other Ironic are the same variables \
      with FROM_ before their names: FROM_OS_CLOUD, FROM_OS_AUTH_URL, FROM_OS_TOKEN, FROM_OS_USERNAME and FROM_OS_PASSWORD \
      (alone: http_basic), and without any none are sent.
      """)

  @Argument(help: "A .csv, .yaml, .yml or .json file.") var file: String?
  @Flag(help: "Checks everything, says what would be done, and does nothing.") var dryRun = false
  @Option(
    name: .customLong("from-ironic"), help: "The URL of another Ironic, as its catalog has it, instead of a file.")
  var ironic: String?
  @Option(
    parsing: .unconditional,
    help: "A token for the other Ironic; others on this machine see it: FROM_OS_TOKEN hides it.")
  var token: String?
  @Option(name: .customLong("ca-certificate"), help: "Certificates to trust for the other Ironic.")
  var authority: String?
  @Flag(name: .customLong("insecure"), help: "Does not verify the other Ironic's certificate.") var isInsecure = false
  @Option(
    help: "YAML of what the other Ironic masks: node name, UUID or '*', and a password or {driver_info key: value}.")
  var passwords: String?
  @Flag(help: "Also has the controllers of nodes in enroll verified (manage).") var manage = false
  @Flag(help: "Also takes nodes that are active there, as they run: manage, then adopt.") var adopt = false

  func validate() throws {
    guard (file == nil) != (ironic == nil) else {
      throw ValidationError("either a file or --from-ironic URL says what to import")
    }
    guard ironic != nil || (token ?? authority ?? passwords) == nil && !isInsecure && !manage && !adopt else {
      throw ValidationError("that option goes with --from-ironic")
    }
  }

  func run() async throws {
    if let ironic { return try await run(ironic) }
    let items = try read(file ?? "")
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

  private func run(_ ironic: String) async throws {
    let secrets = try passwords.map { try yaml(readFile($0)).object ?? [:] } ?? [:]
    // YAML reads 0123 and 1e3 as numbers, and another password than was meant comes out.
    for member in secrets {
      for value in member.value.object?.map(\.value) ?? [member.value] where value.string == nil {
        throw Failure("\(passwords ?? ""): put the secrets of \(member.key) between quotes")
      }
    }
    let cloud = try await CloudClient.login()
    do {
      let other = try await CloudClient.other(token: token, authority: authority, isVerified: !isInsecure)
      do {
        var work = IronicImport(
          from: other, at: ironic, to: cloud, secrets: secrets, isDry: dryRun, manages: manage, adopts: adopt)
        let problems = try await work.run()
        if problems > 0 { throw ExitCode(1) }
      } catch {
        await other.close()
        throw error
      }
      await other.close()
    } catch {
      await cloud.close()
      throw error
    }
    await cloud.close()
  }

  private func read(_ file: String) throws -> [NodeImport.Item] {
    let text = try readFile(file)
    do {
      if file.hasSuffix(".csv") { return try NodeImport.items(try NodeImport.entries(csv: text)) }
      let loaded = try yaml(text)
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
  private func yaml(_ text: String) throws -> JSON { try Yams.load(yaml: text).map { json($0) } ?? .null }
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
    let required = try await cloud.requiredKeys(Set(items.map { $0.node["driver"]?.string ?? "" }), api)
    var (made, known, problems) = (0, 0, 0)
    for item in items {
      if try await cloud.send("GET", "\(api)/nodes/\(percentEncoded(item.name))?fields=uuid").status == 200 {
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
    if let problem = try await cloud.problem(ofPorts: item.ports, api) { return problem }
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
}

extension CloudClient {
  /// What each of these drivers must find in driver_info; those that are not there are left out.
  func requiredKeys(_ drivers: Set<String>, _ api: String) async throws -> [String: [String]] {
    var required: [String: [String]] = [:]
    for driver in drivers where !driver.isEmpty {
      let answer = try await send("GET", "\(api)/drivers/\(percentEncoded(driver))/properties")
      guard answer.status == 200 else { continue }
      required[driver] = (answer.json.object ?? [:]).filter { $0.value.string?.hasSuffix(" Required.") == true }
        .map(\.key).sorted()
    }
    return required
  }
  /// Why ports cannot be made: an address that is none, or that another port has.
  func problem(ofPorts ports: [JSONObject], _ api: String) async throws -> String? {
    for port in ports {
      guard let address = port["address"]?.string, let mac = MACAddress(address) else {
        return "'\(port["address"]?.string ?? "")' is no hardware address"
      }
      let others = try await send("GET", "\(api)/ports?address=\(mac)")
      guard others.json["ports"]?.array?.isEmpty != false else {
        return "there is a port with the address \(mac) already"
      }
    }
    return nil
  }
}
