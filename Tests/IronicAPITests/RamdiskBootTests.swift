import APISupport
import AgentAPI
import Conductor
import Domain
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import Processes
import Store
import TestSupport
import Testing
import Wire

/// Machines that run a kernel and a ramdisk from their memory, and who else gets at those.
@Suite struct RamdiskBootTests {
  private static let mac = "52:54:00:00:00:01"
  /// The one address that such machines have here: the tests' own, so that they can ask as the machine does.
  private static let settings = VolumeBootSettings(
    server: "10.77.0.1", port: 8078, first: "127.0.0.1", last: "127.0.0.1", portals: [])

  private struct Bench: Sendable {
    let site: Site
    let node: String

    /// An image with content, as far as the database is concerned.
    func image(_ id: String, of project: String, _ properties: JSONObject = [:], format: String = "ari") async throws {
      try await site.database.write { session in
        var image = Image(id: id, owner: project, createdAt: Site.now())
        try ImageStore.insert(image, in: session)
        image.status = .active
        image.diskFormat = format
        image.containerFormat = format == "raw" ? "bare" : format
        image.size = 8
        image.properties = properties
        try ImageStore.update(image, in: session)
      }
    }
    func become(_ state: ProvisionState) async throws {
      try await until("the node is \(state.rawValue)") {
        try await site.database.read { try NodeStore.get(node, in: $0) }?.provisionState == state
      }
    }
    func info(_ members: JSONObject) async throws -> Int {
      try await site.call(
        .patch, "/v1/nodes/\(node)", [["op": "replace", "path": "/instance_info", "value": .object(members)]],
        as: lessee
      ).status
    }
    func deploy(_ verb: String = "active", _ drive: JSON? = nil) async throws -> Site.Answer {
      var body: JSONObject = ["target": .string(verb)]
      if let drive { body["configdrive"] = drive }
      return try await site.call(.put, "/v1/nodes/\(node)/states/provision", .object(body), as: lessee)
    }
    var lessee: String { site.token(Site.lessee, ["member", "lessee"]) }

    /// What the boot server answers; asked over the network, so that it knows from where.
    func boot(_ path: String) async throws -> (status: Int, text: String) {
      let server = VolumeBootAPI(
        conductor: site.conductor, startScript: "",
        bootScript: { boot in
          guard case .ramdisk(let line, let mac) = boot else { return "local disk" }
          return "ramdisk \(mac) \(line.text)"
        })
      let responder = APIResponder(services: [server.service], authenticator: site.authority, clock: { Site.now() })
      return try await Application(responder: responder, configuration: .init(address: .hostname("127.0.0.1", port: 0)))
        .test(.live) { client in
          try await client.execute(uri: path, method: .get) { ($0.status.code, String(buffer: $0.body)) }
        }
    }
  }

  /// A leased machine with one NIC, and workflows that run.
  private func withBench(_ body: @escaping @Sendable (Bench) async throws -> Void) async throws {
    try await withSite(volumeBoot: Self.settings) { site in
      let node = try await site.node("n1", owner: Site.owner, lessee: Site.lessee)
      _ = try await site.database.write { session in
        var port = Port(uuid: Identifier.uuid(), nodeUUID: node, address: Self.mac, createdAt: Site.now())
        port.localLinkConnection = ["switch_info": "sw0", "port_id": "n1", "switch_id": "00:00:00:00:00:01"]
        try PortStore.insert(port, in: session)
      }
      try site.world.ensure("switch-filters", "yes")
      let runner = Task { try await site.conductor.runner.run() }
      defer { runner.cancel() }
      try await body(Bench(site: site, node: node))
    }
  }
  private func folders(_ site: Site) -> [String] { fileNames(in: "\(site.folder)/ramdisks") }

  @Test func aMachineRunsFromItsMemoryAndOnlyItGetsTheFiles() async throws {
    try await withBench { bench in
      let (site, kernel, ramdisk) = (bench.site, Identifier.uuid(), Identifier.uuid())
      try await bench.image(kernel, of: Site.lessee, format: "aki")
      try await bench.image(ramdisk, of: Site.lessee)
      #expect(
        try await bench.info([
          "kernel": .string(kernel), "ramdisk": .string("glance://\(ramdisk)"),
          "kernel_append_params": "quiet %default%",
        ]) == 200)
      #expect(try await bench.deploy("active", ["user_data": "#!/bin/sh\necho hello\n"]).status == 202)
      try await bench.become(.active)

      #expect(site.world.value("disk/n1") == nil, "its disk was written to")
      #expect(site.world.value("boot/n1") == "pxe" && site.world.value("power/n1") == "power on")
      #expect(site.world.value("acl/n1")?.contains("127.0.0.1") == true, "its port is filtered by its address")
      let script = try await bench.boot("/boot/ipxe?mac=\(Self.mac)")
      #expect(script.text == "ramdisk \(Self.mac) quiet console=tty0 console=ttyS0,115200")
      #expect(try await bench.boot("/boot/kernel?mac=\(Self.mac)").text == "image \(kernel)")
      #expect(try await bench.boot("/boot/ramdisk?mac=\(Self.mac)").text == "image \(ramdisk)")
      let config = try await bench.boot("/boot/config?mac=\(Self.mac)")
      #expect(config.text.hasPrefix("070701") && config.text.contains("echo hello"))
      // Another NIC, and none at all.
      for path in ["/boot/kernel", "/boot/ramdisk?mac=52:54:00:00:00:02", "/boot/config?mac=x", "/boot/config?mac="] {
        #expect(try await bench.boot(path).status == 404, "\(path)")
      }
      #expect(try await bench.boot("/boot/ipxe?mac=52:54:00:00:00:02").text == "local disk")
      // From another address.
      let mac = try #require(MACAddress(Self.mac))
      #expect(try await site.conductor.ramdiskFile(.config, mac: mac, address: "127.0.0.2") == nil)
      #expect(try await site.conductor.networkBoot(mac: mac, address: "127.0.0.2") == nil)

      // The images may go: the machine boots what it was given.
      try await site.database.write { session in
        for id in [kernel, ramdisk] { try ImageStore.delete(id, in: session) }
      }
      #expect(try await bench.boot("/boot/ramdisk?mac=\(Self.mac)").status == 200)
      #expect(folders(site).count == 1)
      #expect(try await bench.deploy("deleted").status == 202)
      try await until("the files are gone") { folders(site).isEmpty }
      #expect(try await bench.boot("/boot/config?mac=\(Self.mac)").status == 404)
      #expect(site.world.value("dhcp/\(Self.mac)")?.hasPrefix("volume-boot") != true)
    }
  }

  @Test func anImageWithAKernelIsRunAndARebuildRunsAnother() async throws {
    try await withBench { bench in
      let (kernel, first, second) = (Identifier.uuid(), Identifier.uuid(), Identifier.uuid())
      try await bench.image(kernel, of: Site.lessee, format: "aki")
      for id in [first, second] {
        try await bench.image(
          id, of: Site.lessee,
          ["kernel_id": .string(kernel), "ramdisk_id": .string(id), "os_command_line": .string("id=\(id)")])
      }
      #expect(try await bench.info(["image_source": .string(first)]) == 200)
      #expect(try await bench.deploy().status == 202)
      try await bench.become(.active)
      #expect(try await bench.boot("/boot/ipxe?mac=\(Self.mac)").text == "ramdisk \(Self.mac) id=\(first)")
      #expect(try await bench.info(["image_source": .string(second)]) == 200)
      #expect(try await bench.deploy("rebuild").status == 202)
      try await until("it runs the other") {
        try await bench.boot("/boot/ramdisk?mac=\(Self.mac)").text == "image \(second)"
      }
      try await bench.become(.active)
      #expect(try await bench.boot("/boot/ipxe?mac=\(Self.mac)").text == "ramdisk \(Self.mac) id=\(second)")
      #expect(folders(bench.site).count == 1, "the files of the first are still there")
    }
  }

  @Test func abuse_anothersImageAndWrongWordsDeployNothing() async throws {
    try await withBench { bench in
      let (own, foreign, disk) = (Identifier.uuid(), Identifier.uuid(), Identifier.uuid())
      try await bench.image(own, of: Site.lessee)
      try await bench.image(foreign, of: Site.other)
      try await bench.image(disk, of: Site.lessee, format: "raw")
      // An image of one's own that leads to another's.
      let leading = Identifier.uuid()
      try await bench.image(leading, of: Site.lessee, ["kernel_id": .string(foreign), "ramdisk_id": .string(leading)])
      let mixed: [JSONObject] = [
        ["kernel": .string(foreign), "ramdisk": .string(own)], ["kernel": .string(own), "ramdisk": .string(foreign)],
        ["image_source": .string(leading)], ["kernel": "nothing", "ramdisk": .string(own)],
        ["kernel": .string(own), "ramdisk": "http://10.0.0.1/ramdisk"],
        ["kernel": .string(own), "ramdisk": "../../secrets.key"], ["kernel": .string(own)],
        ["kernel": 5, "ramdisk": []],
      ]
      for info in mixed {
        #expect(try await bench.info(info) == 200)
        let answer = try await bench.deploy()
        #expect(answer.status == 400, "\(info)")
      }
      for words in [
        "quiet\nshell", "a ${password}", "a || shell", "a & b", "\"a\"", String(repeating: "a", count: 1025),
      ] {
        _ = try await bench.info([
          "kernel": .string(own), "ramdisk": .string(own), "kernel_append_params": .string(words),
        ])
        #expect(try await bench.deploy().status == 400, "\(words.prefix(20))")
      }
      #expect(try await bench.info(["kernel": .string(own), "ramdisk": .string(own)]) == 200)
      #expect(try await bench.deploy("active", "H4sIAAAAAAAAAwMAAAAAAAAAAAA=").status == 400, "an ISO has no disk")
      let (boots, state) = try await bench.site.database.read { session in
        (try VolumeBootStore.all(in: session), try NodeStore.get(bench.node, in: session)?.provisionState)
      }
      #expect(boots.isEmpty && state == .available && folders(bench.site).isEmpty)
      #expect(bench.site.world.values(prefix: "dhcp/").isEmpty)
    }
  }

  @Test func theDeployInterfaceSaysSoToo() async throws {
    try await withBench { bench in
      let (site, image) = (bench.site, Identifier.uuid())
      // With the interface `direct` an image of a disk that has a kernel is a disk all the same.
      try await bench.image(
        image, of: Site.lessee, ["kernel_id": .string(image), "ramdisk_id": .string(image)], format: "raw")
      #expect(try await bench.info(["image_source": .string(image)]) == 200)
      let node = try #require(try await site.database.read { try NodeStore.get(bench.node, in: $0) })
      #expect(try await site.database.read { try site.conductor.ramdiskImages(of: node, in: $0) } == nil)
      let chosen = try await site.call(
        .patch, "/v1/nodes/\(bench.node)", [["op": "replace", "path": "/deploy_interface", "value": "ramdisk"]])
      #expect(chosen.status == 200 && chosen.json["deploy_interface"] == "ramdisk")
      #expect(try await bench.deploy().status == 202)
      try await bench.become(.active)
      #expect(try await bench.boot("/boot/kernel?mac=\(Self.mac)").text == "image \(image)")
      #expect(site.world.value("disk/n1") == nil)
    }
  }

  @Test func aMachineWithoutAFreeNICIsTold() async throws {
    try await withBench { bench in
      let own = Identifier.uuid()
      try await bench.image(own, of: Site.lessee)
      _ = try await bench.site.database.write { session in
        guard var port = try PortStore.byAddress(Self.mac, in: session) else { return }
        port.vifPortID = Identifier.uuid()
        try PortStore.update(port, in: session)
      }
      _ = try await bench.info(["kernel": .string(own), "ramdisk": .string(own)])
      let answer = try await bench.deploy()
      #expect(answer.status == 409 && answer.fault.contains("has no NIC left to boot by"), "\(answer.fault)")
    }
  }
}
