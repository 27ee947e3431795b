import Domain
import DriverInterfaces
import Glibc
import Processes
import Simulators
import TestSupport
import Testing
import Wire

@testable import SwitchDrivers

/// Debian's `netconfd` behind a real `sshd`, with models of the shape and namespaces of OpenConfig's.
extension ContractBench {
  static func withNETCONF(body: @escaping @Sendable (ContractBench) async throws -> Void) async throws {
    try await withFolder("contract") { folder in
      for (name, text) in models { try write(text, to: "\(folder)/\(name).yang", mode: 0o644) }
      let ports = (1...5).map { "Ethernet1/\($0)" }
      try write(startup(ports, described: ports[3]), to: "\(folder)/startup-cfg.xml")
      let server = try await PipedProgram.start(
        "netconfd",
        models.map { "--module=\(folder)/\($0.0).yang" } + [
          "--startup=\(folder)/startup-cfg.xml", "--with-startup=true", "--superuser=root", "--target=candidate",
          "--ncxserver-sockname=\(folder)/ncx.sock", "--log=\(folder)/netconfd.log", "--log-level=info",
          "--modpath=\(folder):/usr/share/yuma/modules", "--port=830",
        ])
      do {
        try await until("netconfd listens") { access("\(folder)/ncx.sock", R_OK) == 0 }
        let subsystem =
          "Subsystem=netconf \(simulator) netconf-relay --folder \(folder) -- /usr/sbin/netconf-subsystem "
          + "--ncxserver-sockname=830@\(folder)/ncx.sock"
        try await SecureShell.with(folder, [subsystem, "PasswordAuthentication=no"]) { shell in
          var site = SwitchConfiguration(
            name: "tor-1", kind: "netconf-openconfig", endpoint: "netconf://127.0.0.1:\(shell.port)",
            uplinks: [ports[4]])
          site.username = "root"
          site.keyFile = "\(folder)/user"
          try write("[127.0.0.1]:\(shell.port) \(try await shell.hostKey)\n", to: "\(folder)/known")
          try write(
            "[127.0.0.1]:\(shell.port) \(try await SecureShell.publicKey("\(folder)/other"))\n", to: "\(folder)/unknown"
          )
          site.knownHosts = "\(folder)/known"
          site.limit = .seconds(10)
          var distrusting = site, unknown = site, absent = site
          distrusting.knownHosts = "\(folder)/unknown"
          unknown.keyFile = "\(folder)/other"
          absent.endpoint = "netconf://127.0.0.1:1"
          let own = site
          let log: @Sendable () async throws -> [JSON] = {
            try await runChecked("cat", ["\(folder)/log"]).text.split(separator: "\n").map {
              try JSON(parsing: String($0))
            }
          }
          let access = try SSHAccess.of(own)
          try await body(
            ContractBench(
              ports: ports, configuration: own,
              setFaults: { try CommandLineSwitch.keep($0.json, "\(folder)/faults.json") },
              editByHand: { port in
                let session = try await OpenConfigNETCONF(access, own).open()
                let before = SwitchPortState(configuration: .quarantine)
                try await session.change([
                  PortChange(port: port, before: before, wanted: PortConfiguration(native: 666), description: nil)
                ])
                try await session.confirm()
                await session.close()
              },
              // It stands in the configuration that the server starts from.
              describe: { port, text in #expect(port == ports[3] && text == "rack-7") },
              description: { port in
                let session = try await OpenConfigNETCONF(access, own).open()
                let state = try await session.ports()[port]
                await session.close()
                return state?.description ?? "none"
              },
              effects: { try await log().filter { $0["event"]?.string == "effect" }.count },
              transcript: {
                try await log().compactMap { $0["event"]?.string == "typed" ? $0["line"]?.string : nil }
                  .joined(separator: "\n")
              }, distrusting: distrusting, unknown: unknown, absent: absent,
              isSaved: {
                try await runChecked("cat", ["\(folder)/startup-cfg.xml"]).text.contains("4094</")
              }))
        }
      } catch {
        let text = try? await runChecked("tail", ["-5", "\(folder)/netconfd.log"]).text
        server.end()
        _ = await server.ending()
        Issue.record("\(error); netconfd: \(text ?? "")")
        return
      }
      server.end()
      _ = await server.ending()
    }
  }

  private static func startup(_ ports: [String], described: String) -> String {
    let list = ports.map { port in
      let text = port == described ? "<description>rack-7</description>" : ""
      return "<interface><name>\(port)</name><config><name>\(port)</name>\(text)<type>ethernetCsmacd</type>"
        + "<enabled>true</enabled></config><ethernet xmlns=\"http://openconfig.net/yang/interfaces/ethernet\">"
        + "<switched-vlan xmlns=\"http://openconfig.net/yang/vlan\"><config><interface-mode>ACCESS</interface-mode>"
        + "<access-vlan>1</access-vlan></config></switched-vlan></ethernet></interface>"
    }
    return "<config xmlns=\"urn:ietf:params:xml:ns:netconf:base:1.0\">"
      + "<interfaces xmlns=\"http://openconfig.net/yang/interfaces\">\(list.joined())</interfaces></config>"
  }

  /// The nodes that the driver uses, with OpenConfig's names, namespaces and ranges.
  private static let models: [(String, String)] = [
    (
      "openconfig-interfaces",
      """
      module openconfig-interfaces { namespace "http://openconfig.net/yang/interfaces"; prefix oc-if; revision 2026-01-01;
        container interfaces { list interface { key name; leaf name { type string; }
          container config { leaf name { type string; } leaf type { type string; } leaf description { type string; }
            leaf enabled { type boolean; default true; } } } } }
      """
    ),
    (
      "openconfig-if-ethernet",
      """
      module openconfig-if-ethernet { namespace "http://openconfig.net/yang/interfaces/ethernet"; prefix oc-eth;
        import openconfig-interfaces { prefix oc-if; } revision 2026-01-01;
        augment "/oc-if:interfaces/oc-if:interface" { container ethernet { container config { leaf mtu { type uint16; } } } } }
      """
    ),
    (
      "openconfig-vlan",
      """
      module openconfig-vlan { namespace "http://openconfig.net/yang/vlan"; prefix oc-vlan;
        import openconfig-interfaces { prefix oc-if; } import openconfig-if-ethernet { prefix oc-eth; } revision 2026-01-01;
        typedef vlan-id { type uint16 { range "1..4094"; } }
        augment "/oc-if:interfaces/oc-if:interface/oc-eth:ethernet" { container switched-vlan { container config {
          leaf interface-mode { type enumeration { enum ACCESS; enum TRUNK; } } leaf native-vlan { type vlan-id; }
          leaf access-vlan { type vlan-id; } leaf-list trunk-vlans { type vlan-id; } } } } }
      """
    ),
    (
      "openconfig-network-instance",
      """
      module openconfig-network-instance { namespace "http://openconfig.net/yang/network-instance"; prefix oc-ni;
        revision 2026-01-01;
        container network-instances { list network-instance { key name; leaf name { type string; }
          container config { leaf name { type string; } }
          container vlans { list vlan { key vlan-id; leaf vlan-id { type uint16 { range "1..4094"; } }
            container config { leaf vlan-id { type uint16; } leaf name { type string; } } } } } } }
      """
    ),
  ]
}
