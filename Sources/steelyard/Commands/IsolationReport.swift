import APISupport
import ArgumentParser
import Cryptography
import Glibc
import Store
import Wire

struct IsolationReportCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "isolation-report",
    abstract:
      "Shows what the switch ports of a leased machine carried from its hand-over on, and verifies the signature.",
    discussion:
      "Credentials are those of the openstack client: OS_CLOUD and a clouds.yaml, or OS_AUTH_URL and its fellows. Exits with 1 when the report is not signed by the key."
  )
  @Argument(help: "The lease's UUID or name.") var lease: String
  @Option(help: "The site's public key as a PEM file (`steelyard isolation-key`); without it, the key in the answer.")
  var key: String?
  @Option(
    help:
      "A folder for report.json, report.sig and key.pem: openssl pkeyutl -verify -pubin -inkey key.pem -rawin -in report.json -sigfile report.sig"
  ) var save: String?

  func run() async throws {
    let client = try await CloudClient.login()
    let answer: CloudClient.Answer
    do {
      let url = try client.endpoint("lease")
      answer = try await client.send(
        "GET", (url.hasSuffix("/v1") ? url : url + "/v1") + "/leases/\(percentEncoded(lease))/isolation")
    } catch {
      await client.close()
      throw error
    }
    await client.close()
    guard answer.status == 200 else { throw Failure(answer.json["faultstring"]?.string ?? answer.fault) }
    let signed = try SignedReport(answer.json)
    let trusted = try key.map { try Self.key(in: $0) }
    if let folder = save { try signed.save(in: folder) }
    for line in signed.lines { print(line) }
    guard signed.isSigned(by: trusted ?? signed.key) else {
      print(
        "NOT VALID: this report was not signed by key \((trusted ?? signed.key).fingerprint), or was changed since.")
      throw ExitCode(1)
    }
    print(
      "Signature: valid, Ed25519, key \(signed.key.fingerprint)"
        + (trusted == nil ? ", which came with the report: compare it with the site's (--key)." : "."))
  }

  private static func key(in path: String) throws -> VerifyingKey {
    guard let file = fopen(path, "r") else {
      throw Failure("\(path) cannot be read: \(String(cString: strerror(errno)))")
    }
    defer { fclose(file) }
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = fread(&bytes, 1, bytes.count, file)
    guard let key = VerifyingKey(pem: String(decoding: bytes.prefix(count), as: UTF8.self)) else {
      throw Failure("\(path) is no Ed25519 public key in PEM form")
    }
    return key
  }
}

/// An isolation report as the lease API answers it.
struct SignedReport {
  /// Exactly what was signed.
  let text: String
  let signature: [UInt8]
  let key: VerifyingKey
  private let report: JSON

  init(_ answer: JSON) throws {
    guard let text = answer["report"]?.string, let report = try? JSON(parsing: text),
      let signature = answer["signature"]?.string.flatMap({ Base64.bytes($0) }),
      let key = answer["public_key"]?.string.flatMap({ VerifyingKey(pem: $0) })
    else { throw Failure("the server's answer is no signed isolation report") }
    (self.text, self.signature, self.key, self.report) = (text, signature, key, report)
  }

  func isSigned(by key: VerifyingKey) -> Bool { key.isValid(signature, for: Array(text.utf8)) }

  func save(in folder: String) throws {
    if mkdir(folder, 0o755) != 0, errno != EEXIST {
      throw Failure("\(folder) cannot be made: \(String(cString: strerror(errno)))")
    }
    for (name, bytes) in [
      ("report.json", Array(text.utf8)), ("report.sig", signature), ("key.pem", Array(key.pem.utf8)),
    ] {
      guard let file = fopen("\(folder)/\(name)", "w") else {
        throw Failure("\(folder)/\(name) cannot be written: \(String(cString: strerror(errno)))")
      }
      let count = fwrite(bytes, 1, bytes.count, file)
      guard fclose(file) == 0, count == bytes.count else { throw Failure("\(folder)/\(name) cannot be written") }
    }
  }

  /// The report for people. What comes from the server is shown without control characters.
  var lines: [String] {
    func word(_ json: JSON?) -> String {
      guard let text = json?.string else { return json.flatMap { $0.int }.map { "\($0)" } ?? "-" }
      return String(text.unicodeScalars.filter { $0.value >= 32 && $0.value != 127 }.map { Character($0) })
    }
    func carried(_ json: JSON?) -> String {
      guard let json, !json.isNull else { return "nothing known" }
      let native = json["native"]?.int, tagged = json["tagged"]?.array?.compactMap(\.int) ?? []
      if json["mode"]?.string == "quarantine" { return "quarantine" }
      let parts = [
        native.map { "VLAN \($0)" },
        tagged.isEmpty
          ? nil
          : tagged.count > 8
            ? "\(tagged.count) VLANs tagged" : "tagged " + tagged.map { "\($0)" }.joined(separator: ", "),
      ].compactMap { $0 }
      let isFiltered = json["filters"]?.array?.isEmpty == false
      return (parts.isEmpty ? "open" : parts.joined(separator: " and ")) + (isFiltered ? ", filtered" : "")
        + (json["mode"]?.string == "foreign" ? " (set by somebody else)" : "")
    }
    let lease = report["lease"]
    var lines = [
      "Lease \(word(lease?["uuid"])) of machine \(word(lease?["resource_uuid"])), lessee \(word(lease?["project_id"])), owner \(word(lease?["owner_id"]))",
      "handed over \(word(lease?["fulfill_time"])), access ended \(word(lease?["expire_time"])), \(word(lease?["status"])); report of \(word(report["generated_at"]))",
      "",
    ]
    for record in report["records"]?.array ?? [] {
      let what =
        switch record["kind"]?.string {
        case "begin": "carries \(carried(record["carries"]))"
        case "end": "carries \(carried(record["carries"]))"
        case "change":
          "\(carried(record["before"])) -> \(carried(record["wanted"]))"
            + (record["network_id"]?.string == nil ? "" : ", network \(word(record["network_id"]))")
        case "drift": "found \(carried(record["found"])) instead of \(carried(record["wanted"]))"
        case "failure": "wanted \(carried(record["wanted"])): \(word(record["reason"]))"
        case "probe": word(record["result"])
        default: "shows \(carried(record["found"]))"
        }
      let who =
        record["workflow_kind"]?.string == nil ? "" : "  [\(word(record["workflow_kind"])) \(word(record["workflow"]))]"
      lines.append(
        "\(word(record["at"]))  \(pad(word(record["kind"]), 9))  \(word(record["switch"])) \(word(record["port"])): \(what)\(who)"
      )
    }
    lines.append("")
    for run in report["audits"]?.array ?? [] {
      var pause = "-"
      if case .double(let seconds)? = run["longest_pause_seconds"] { pause = "\(seconds)" }
      lines.append(
        "Switch \(word(run["switch"])): all ports read \(word(run["audits"])) times from \(word(run["from"])) to \(word(run["to"])), longest pause \(pause) s"
      )
    }
    for part in report["sub_leases"]?.array ?? [] {
      lines.append("Sub-leased from \(word(part["from"])) to \(word(part["to"])): see that lease's report")
    }
    let summary = report["summary"]
    lines.append(
      "Changes \(word(summary?["changes"])), read back \(word(summary?["read_backs"])), drifts \(word(summary?["drifts"])), failures \(word(summary?["failures"])), probes \(word(summary?["probes"]))"
    )
    return lines
  }
}

struct IsolationKeyCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "isolation-key",
    abstract: "Prints the public key that verifies this site's isolation reports (PEM): give it to tenants.")
  @OptionGroup var site: SiteOptions

  func run() async throws {
    try await withDatabase(site) { print(try await $0.signingKey().publicKey.pem, terminator: "") }
  }
}
