import APISupport
import ArgumentParser
import Cryptography
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
    let trusted = try key.map { try SignedDocument.key(in: $0) }
    if let folder = save { try signed.document.save(in: folder) }
    for line in signed.lines { print(line) }
    try signed.document.verify(by: trusted)
  }
}

/// An isolation report as the lease API answers it.
struct SignedReport {
  let document: SignedDocument
  private let report: JSON

  init(_ answer: JSON) throws {
    guard let document = SignedDocument(answer, named: "report") else {
      throw Failure("the server's answer is no signed isolation report")
    }
    (self.document, report) = (document, document.json)
  }

  /// The report for people. What comes from the server is shown without control characters.
  var lines: [String] {
    func word(_ json: JSON?) -> String { SignedDocument.word(json) }
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
