import Glibc
import Processes
import Testing
import Wire

/// `steelyard import` as it is installed, against a server of its own.
@Suite struct ImportTests {
  private static let program: String = {
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = readlink("/proc/self/exe", &buffer, buffer.count)
    let path = String(decoding: buffer.prefix(max(count, 0)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return path.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 } + "/steelyard"
  }()
  private static let file = """
    nodes:
      - name: r1u[1-3]
        driver: ipmi
        driver_info: {ipmi_address: "10.0.3.[11-13]", ipmi_password: s3cr3t}
        ports: ["52:54:00:00:01:[11-13]"]
      - {name: bad1, driver: nothing}
      - {name: bad2, driver: ipmi}
      - {name: bad3, driver: redfish, driver_info: {redfish_address: "https://10.0.3.9"}, ports: ["52:54"]}
    """

  private static func write(_ path: String, _ text: String) throws {
    let file = try #require(fopen(path, "we"))
    defer { fclose(file) }
    fputs(text, file)
  }

  @Test func whatIsGoodIsEnrolledOnceAndTheRestIsTold() async throws {
    let folder = "/tmp/steelyard-import-\(Identifier.uuid())"
    mkdir(folder, 0o700)
    let port = try freePorts(1)[0]
    _ = try await runChecked(Self.program, ["init", "--data", "\(folder)/site", "--port", "\(port)"])
    try Self.write("\(folder)/nodes.yaml", Self.file)
    try Self.write(
      "\(folder)/more.csv", "name,driver,driver_info.ipmi_address\nr1u1,ipmi,1.2.3.4\nr2u1,ipmi,10.0.4.1\n")
    try Self.write("\(folder)/wrong.yaml", "- 5\n")

    let server = Task {
      try await Processes.run(Self.program, ["serve", "--data", "\(folder)/site"], timeout: .seconds(120))
    }
    func load(_ file: String, _ more: [String] = []) async throws -> CommandResult {
      try await Processes.run(
        Self.program, ["import", "\(folder)/\(file)"] + more,
        environment: ["OS_CLOUD": "steelyard", "OS_CLIENT_CONFIG_FILE": "\(folder)/site/clouds.yaml"],
        timeout: .seconds(60))
    }
    let deadline = ContinuousClock.now + .seconds(20)
    var dry = try await load("nodes.yaml", ["--dry-run"])
    while dry.text.isEmpty, ContinuousClock.now < deadline {
      try await Task.sleep(for: .milliseconds(100))
      dry = try await load("nodes.yaml", ["--dry-run"])
    }
    let problems = [
      "problem  bad1: there is no driver 'nothing'", "problem  bad2: driver_info has no ipmi_address",
      "problem  bad3: '52:54' is no hardware address",
    ]
    func lines(_ result: CommandResult) -> [String] { result.text.split(separator: "\n").map { String($0) } }
    #expect(dry.status == 1)
    #expect(
      lines(dry) == ["would be r1u1, 1 ports", "would be r1u2, 1 ports", "would be r1u3, 1 ports"] + problems
        + ["3 would be enrolled, 0 there already, 3 with a problem"])

    let real = try await load("nodes.yaml")
    #expect(lines(real).last == "3 enrolled, 0 there already, 3 with a problem", "a dry run enrols nothing")
    let again = try await load("nodes.yaml")
    #expect(again.status == 1)
    #expect(
      lines(again) == ["exists   r1u1", "exists   r1u2", "exists   r1u3"] + problems
        + ["0 enrolled, 3 there already, 3 with a problem"])
    let table = try await load("more.csv")
    #expect(table.status == 0)
    #expect(lines(table).last == "1 enrolled, 1 there already, 0 with a problem")
    let wrong = try await load("wrong.yaml")
    #expect(wrong.status != 0 && wrong.errorText.contains("wrong.yaml: an entry is a mapping"))
    for result in [dry, real, again] { #expect(!(result.text + result.errorText).contains("s3cr3t")) }

    server.cancel()
    _ = await server.result
    _ = try await Processes.run("rm", ["-rf", folder])
  }
}
