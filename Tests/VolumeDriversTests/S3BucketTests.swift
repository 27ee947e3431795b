import DriverInterfaces
import Glibc
import Processes
import TestSupport
import Testing

@testable import VolumeDrivers

@Suite struct S3BucketTests {
  /// Amazon S3 API reference, "Signature Calculations for the Authorization Header: Transferring Payload in a Single Chunk",
  /// examples "GET Object", "PUT Object", "GET Bucket Lifecycle", "Get Bucket (List Objects)".
  @Test(
    arguments: [
      (
        "GET", "/test.txt", [], [("range", "bytes=0-9")], "",
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
      ),
      (
        "PUT", "/test%24file.text", [],
        [("date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY")],
        "Welcome to Amazon S3.", "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
      ),
      ("GET", "/", [("lifecycle", "")], [], "", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
      (
        "GET", "/", [("max-keys", "2"), ("prefix", "J")], [], "",
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
      ),
    ] as [(String, String, [(String, String)], [(String, String)], String, String)])
  func signsAsTheReferenceDoes(
    method: String, path: String, query: [(String, String)], headers: [(String, String)], body: String, expected: String
  ) {
    let signature = SignatureV4(
      accessKey: "AKIAIOSFODNN7EXAMPLE", secretKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", region: "us-east-1")
    let signed = signature.headers(
      method, host: "examplebucket.s3.amazonaws.com", path: path, query: query, headers: headers,
      payload: Array(body.utf8), time: 1_369_353_600)
    #expect(signed.last?.1.hasSuffix("Signature=\(expected)") == true)
  }

  @Test func readsCredentialsAsOtherProgramsWriteThem() throws {
    let text =
      "[other]\naws_access_key_id = no\n\n[default]\n# mine\naws_access_key_id=AK\naws_secret_access_key = a/b=+c\nregion = eu-1\n"
    #expect(try S3Bucket.Credentials(parsing: text) == .init(accessKey: "AK", secretKey: "a/b=+c", region: "eu-1"))
    #expect(throws: DriverError.self) { try S3Bucket.Credentials(parsing: "[default]\naws_access_key_id=AK\n") }
  }

  @Test(arguments: [
    "s3.example.org/b", "https://s3.example.org", "ftp://x/b", "https://u:p@s3.example.org/b", "https://h/b?x",
  ])
  func refusesWhatIsNoBucket(url: String) {
    #expect(throws: DriverError.self) {
      try S3Bucket(url: url, credentials: .init(accessKey: "a", secretKey: "b"))
    }
  }

  /// Whoever makes a bucket for these tests: moto, which checks signatures (`STEELYARD_S3`: URL, access key, secret key).
  @Test(.enabled(if: getenv("STEELYARD_S3") != nil)) func keepsBackupsInABucket() async throws {
    let words = String(cString: try #require(getenv("STEELYARD_S3"))).split(separator: " ").map(String.init)
    try #require(words.count == 3)
    let bucket = try S3Bucket(url: words[0] + "/site-1", credentials: .init(accessKey: words[1], secretKey: words[2]))
    do {
      try await keep(in: bucket)
      let stranger = try S3Bucket(url: words[0], credentials: .init(accessKey: words[1], secretKey: "wrong"))
      let refused = await #expect(throws: DriverError.self) { _ = try await stranger.names("", deep: false) }
      #expect(refused?.code == .refused)
      try await stranger.close()
    } catch {
      try await bucket.close()
      throw error
    }
    try await bucket.close()
  }
  private func keep(in bucket: S3Bucket) async throws {
    let (one, two) = ("11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222")
    let store = BackupPieces(bucket: bucket)
    try await withFolder("bucket") { folder in
      try await runChecked(
        "sh", ["-c", "truncate -s 9M \(folder)/a; printf first | dd of=\(folder)/a conv=notrunc status=none"])
      try await runChecked(
        "sh",
        [
          "-c",
          "cp --sparse=always \(folder)/a \(folder)/b; printf other | dd of=\(folder)/b bs=1M seek=4 conv=notrunc status=none",
        ])
      #expect(try await store.ensureBackup(one, project: "p", of: "\(folder)/a") == 1)
      #expect(try await store.ensureBackup(two, project: "p", of: "\(folder)/b") == 1, "the first piece is there")
      #expect(try await store.backups() == [one: "p", two: "p"])
      try await store.removeBackup(one, project: "p")
      try await store.restore(two, project: "p", to: "\(folder)/out")
      try await runChecked("cmp", ["\(folder)/b", "\(folder)/out"])
      await #expect(throws: DriverError.self) { try await store.restore(one, project: "p", to: "\(folder)/out") }
      try await store.removeBackup(two, project: "p")
      #expect(try await bucket.names("", deep: true).isEmpty)
      // More than a page of a list has.
      try await withThrowingTaskGroup(of: Void.self) { group in
        for index in 0..<1005 { group.addTask { try await bucket.put("many/\(index)", [1]) } }
        try await group.waitForAll()
      }
      #expect(try await bucket.names("many/", deep: true).count == 1005)
    }
  }
}
