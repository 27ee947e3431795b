import APISupport
import ArgumentParser
import Cryptography
import Store
import Wire

struct EraseRecordCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "erase-record",
    abstract: "Shows what was erased of machines that one leased, leases or owns, signed by the site.",
    discussion:
      "Credentials are those of the openstack client: OS_CLOUD and a clouds.yaml, or OS_AUTH_URL and its fellows.",
    subcommands: [List.self, Show.self, Verify.self, Key.self])

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lists erasures, the newest first.")
    @Option(help: "Only of this machine (UUID).") var node: String?
    @Option(help: "Only of this lease (UUID).") var lease: String?

    func run() async throws {
      let filters = [("node", node), ("lease", lease)].compactMap { name, value in
        value.map { "\(name)=\(percentEncoded($0))" }
      }
      let answer = try await EraseRecordCommand.ask(
        "/erase-records" + (filters.isEmpty ? "" : "?" + filters.joined(separator: "&")))
      for record in answer["erase_records"]?.array ?? [] {
        print(
          ["uuid", "ended_at", "node_uuid", "lease_uuid"].map { SignedDocument.word(record[$0]) }.joined(
            separator: "  "))
      }
    }
  }

  struct Show: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Shows one erasure and verifies the signature; exits with 1 when it is not signed by the key.")
    @Argument(help: "The record's UUID.") var record: String
    @Option(help: "The site's public key as a PEM file; without it, the key in the answer.") var key: String?
    @Option(help: "A folder for record.json, record.sig and key.pem.") var save: String?

    func run() async throws {
      let answer = try await EraseRecordCommand.ask("/erase-records/\(percentEncoded(record))")
      guard let signed = SignedDocument(answer, named: "record") else {
        throw Failure("the server's answer is no signed erase record")
      }
      let trusted = try key.map { try SignedDocument.key(in: $0) }
      if let folder = save { try signed.save(in: folder) }
      for line in EraseRecordCommand.lines(signed.json) { print(line) }
      try signed.verify(by: trusted)
    }
  }

  struct Verify: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Verifies a record that `show --save` left, without the server; exits with 1 when it is not valid.")
    @Argument(help: "The folder with record.json and record.sig.") var folder: String
    @Option(help: "The site's public key as a PEM file.") var key: String

    func run() async throws {
      let key = try SignedDocument.key(in: key)
      let text = try SignedDocument.bytes(in: folder + "/record.json", limit: 1 << 20)
      guard key.isValid(try SignedDocument.bytes(in: folder + "/record.sig", limit: 64), for: text) else {
        print("NOT VALID: this record was not signed by key \(key.fingerprint), or was changed since.")
        throw ExitCode(1)
      }
      for line in EraseRecordCommand.lines(try JSON(parsing: String(decoding: text, as: UTF8.self))) { print(line) }
      print("Signature: valid, Ed25519, key \(key.fingerprint).")
    }
  }

  struct Key: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Prints the public key that verifies this site's records and reports (PEM): give it to tenants.")
    @OptionGroup var site: SiteOptions

    func run() async throws {
      try await withDatabase(site) { print(try await $0.signingKey().publicKey.pem, terminator: "") }
    }
  }

  /// What the lease API answers.
  fileprivate static func ask(_ path: String) async throws -> JSON {
    let client = try await CloudClient.login()
    let answer: JSON
    do { answer = try await client.lease("GET", path) } catch {
      await client.close()
      throw error
    }
    await client.close()
    return answer
  }

  /// A record for people.
  fileprivate static func lines(_ record: JSON) -> [String] {
    func word(_ json: JSON?) -> String { SignedDocument.word(json) }
    let node = record["node"]
    var lines = [
      "Machine \(word(node?["uuid"])) (\(word(node?["name"]))), lease \(word(record["lease_uuid"]))",
      "erased (\(word(record["mode"]))) from \(word(record["began_at"])) to \(word(record["ended_at"])) by \(word(record["agent"]))",
    ]
    let disks = record["disks"]?.array ?? []
    for disk in disks {
      lines.append(
        "\(word(disk["name"])): serial \(word(disk["serial"])), \(word(disk["model"])), \(word(disk["size_bytes"])) bytes, "
          + "\(word(disk["method"])), \(word(disk["verified_bytes"])) bytes read back as zero")
    }
    if disks.isEmpty { lines.append("no disk was told of") }
    return lines
  }
}
