import Domain
import DriverInterfaces
import Glibc
import Processes
import Testing

@testable import SwitchDrivers

/// What is read out of what switches print, without any I/O but the recordings.
@Suite struct SwitchReadingTests {
  private func recording(_ name: String) async throws -> String {
    let folder = #filePath.split(separator: "/").dropLast().reduce("") { "\($0)/\($1)" }
    // As it comes out of a terminal: CommandLineScreen drops carriage returns.
    let bytes = try await runChecked("cat", ["\(folder)/Recordings/\(name).txt"]).output
    return String(decoding: bytes.filter { $0 != 0x0d }, as: UTF8.self)
  }

  @Test func fastIronPortsAreUnderTheirNetworks() async throws {
    let ports = CommandTemplate.brocadeFastIron.read([
      try await recording("brocade-fastiron-interfaces-brief"),
      try await recording("brocade-fastiron-running-config-vlan")
        + "interface ethernet 1/1/5\n port-name OPTI1\n disable\n!\n",
    ])
    #expect(ports.count == 11)
    for name in ["1/1/3", "1/1/4", "1/1/7", "1/1/8"] {
      #expect(ports[name]?.configuration == PortConfiguration(native: 10), "\(name)")
    }
    #expect(ports["1/1/5"]?.configuration == .quarantine)
    #expect(ports["1/1/5"]?.underneath == PortConfiguration(native: 10))
    #expect(ports["1/1/5"]?.description == "OPTI1")
    #expect(ports["1/1/6"]?.configuration == PortConfiguration(native: 1))
  }

  @Test func tablesOfRealSwitchesAreRead() async throws {
    let nexus = CommandTemplate.ciscoNXOS
    let macs = try #require(nexus.macTable?.read(try await recording("cisco-nxos-mac-address-table")))
    #expect(macs.map(\.port) == ["port-channel10"])
    #expect(macs.first?.vlan == 145 && macs.first?.mac == MACAddress("00:0e:00:0e:00:0e"))
    let heard = try #require(nexus.neighbours?.read(try await recording("cisco-nxos-lldp-neighbors-detail")))
    #expect(
      heard.dropFirst().first
        == SwitchNeighbour(
          port: "Ethernet1/1", chassisID: "5087.89a1.d8d6", portID: "Ethernet1/1", systemName: "n9k2.company.com"))
    #expect(heard.map(\.port) == ["mgmt0", "Ethernet1/1", "Ethernet1/2", "Ethernet2/2"])

    let icx = try #require(
      CommandTemplate.brocadeFastIron.macTable?.read(try await recording("brocade-fastiron-mac-address")))
    #expect(icx.count >= 3 && icx.allSatisfy { $0.port == "2/1" && $0.vlan == 1000 }, "\(icx)")
    let comware = try #require(
      CommandTemplate.hpeComware.macTable?.read(try await recording("hpe-comware-mac-address")))
    #expect(comware.map(\.vlan) == [1, 10, 10, 20])
    #expect(comware.map(\.port).contains("GigabitEthernet1/0/41"))
    let aruba = try #require(
      CommandTemplate.arubaAOSCX.macTable?.read(try await recording("aruba-aoscx-mac-address-table")))
    #expect(aruba.map(\.vlan) == [1, 10, 3560, 3590, 3590, 2015])
    #expect(aruba.last?.port == "1/1/30")
  }

  @Test func whatNobodyHereMakesIsForeign() {
    let text = """
      interface Ethernet1/1
        switchport
        switchport mode trunk
        switchport trunk native vlan 10
        switchport trunk allowed vlan 10-12,20
        switchport trunk allowed vlan add 4000
      interface Ethernet1/2
        no switchport
        ip address 10.0.0.1/24
      interface Ethernet1/3
        switchport mode trunk
      interface Ethernet1/4
        switchport mode dot1q-tunnel
        switchport access vlan 10
      interface Ethernet1/5
        switchport access vlan 10
        channel-group 5 mode active
      interface Ethernet1/6
        switchport mode trunk
        switchport trunk native vlan 30
        switchport trunk allowed vlan 10-12
      interface Ethernet1/7
        description node 7
        switchport access vlan 17
        shutdown
      interface Ethernet1/8.100
        encapsulation dot1q 100
      interface mgmt0
        ip address 192.0.2.1/24
      """
    let ports = CommandTemplate.ciscoNXOS.read([text])
    #expect(ports["Ethernet1/1"]?.configuration == PortConfiguration(native: 10, tagged: [11, 12, 20, 4000]))
    for name in ["2", "3", "4", "5", "6"] {
      #expect(ports["Ethernet1/\(name)"]?.configuration == SwitchPortState.foreign, "Ethernet1/\(name)")
    }
    #expect(ports["Ethernet1/7"]?.configuration == .quarantine && ports["Ethernet1/7"]?.description == "node 7")
    #expect(ports.count == 7)
    // Where ports are shut unless they say otherwise, a silent one is shut.
    let shut = CommandTemplate.ciscoNXOS.read(["hostname a\nsystem default switchport shutdown\n" + text])
    #expect(shut["Ethernet1/1"]?.configuration == .quarantine)
  }

  @Test func dellPortsAreReadOutOfRanges() {
    let ports = CommandTemplate.dellOS9.read([
      """
      interface TenGigabitEthernet 0/1
       no ip address
       portmode hybrid
       switchport
       no shutdown
      !
      interface TenGigabitEthernet 0/2
       no ip address
       switchport
       no shutdown
      !
      interface TenGigabitEthernet 1/7
       portmode hybrid
       switchport
       shutdown
      !
      interface ManagementEthernet 0/0
       ip address 192.0.2.1/24
      !
      interface Vlan 101
       no ip address
       tagged TenGigabitEthernet 0/0-3,1/5-7
       untagged Port-channel 1
      !
      interface Vlan 102
       untagged TenGigabitEthernet 0/1-2
      !
      """
    ])
    #expect(ports["TenGigabitEthernet 0/1"]?.configuration == PortConfiguration(native: 102, tagged: [101]))
    #expect(ports["TenGigabitEthernet 0/2"]?.configuration == SwitchPortState.foreign)
    #expect(ports["TenGigabitEthernet 1/7"]?.configuration == .quarantine)
    #expect(ports["TenGigabitEthernet 1/7"]?.underneath == PortConfiguration(native: 0, tagged: [101]))
    #expect(ports.count == 3)
  }

  @Test func aPromptIsOnlyWhatBeginsWithTheSwitchesName() {
    var screen = CommandLineScreen()
    screen.take(Array("\r\nWelcome to #1\r\n\u{1b}[32mnexus1#\u{1b}[0m ".utf8))
    #expect(screen.found(echo: nil) == .reply("\nWelcome to #1\n"))
    #expect(screen.base == "nexus1")
    screen.take(Array("show x\r\ninterface Ethernet1/1\r\n description looks#".utf8))
    #expect(screen.found(echo: "show x") == nil)
    screen.take(Array("\r\n--More--".utf8))
    #expect(screen.found(echo: "show x") == .page)
    screen.take(Array("\u{8}\u{8}! end\r\nnexus1(config-if)# ".utf8))
    #expect(screen.found(echo: "show x") == .reply("interface Ethernet1/1\n description looks#\n! end\n"))
    // A prompt that comes before the command is shown is the last one's.
    screen.take(Array("nexus1# ".utf8))
    #expect(screen.found(echo: "enable") == nil)
    screen.take(Array("enable\r\nPassword:".utf8))
    #expect(screen.found(echo: "enable") == .question("Password:"))
    screen.take(Array("\r\nnexus1# ".utf8))
    #expect(screen.found(echo: nil) == .reply("\n"))
  }

  @Test func onlyPlainTextIsTyped() {
    for name in ["Ethernet1/4", "swp3", "TenGigabitEthernet 0/3", "xe-0/0/1:2", "1/1/5", "lag 5", "Eth-Trunk7"] {
      #expect(SwitchText.isPort(name), "\(name)")
    }
    for name in [
      "", " Ethernet1", "Ethernet1/4\n", "Eth\nshutdown", "Eth;reload", "Eth!", "Eth#", "${HOME}", "$(reboot)", "`id`",
      "Eth 1 2", "Eth reload", "Eth|", "Eth&", "Eth\\", "Eth\"", "é1", String(repeating: "e", count: 65),
    ] { #expect(!SwitchText.isPort(name), "\(name)") }
    #expect(SwitchText.networkName("tenant \"net\"\n!reload") == "tenantnetreload")
    #expect(SwitchText.networkName("-;\n") == nil)
    #expect(SwitchText.vlans("10-12, 20 30 to 32") == [10, 11, 12, 20, 30, 31, 32])
    for list in ["all", "0", "4095", "10-", "-10", "12-10", "1-2-3", "10;reload", "+5"] {
      #expect(SwitchText.vlans(list) == nil, "\(list)")
    }
    #expect(SwitchText.list([10, 12, 11, 20]) == "10-12,20")
    #expect(percentEncoded("Ethernet1/1 a%") == "Ethernet1%2F1%20a%25")
    #expect(XMLElement.escaped("<a>&\"\u{1}") == "&lt;a&gt;&amp;&quot;")
  }

  @Test func framesAreCutWhereverTheyAreBroken() throws {
    let stream = Array("<hello/>]]>]]>\n#4\n<a>x\n#6\n</a>\n\n\n##\n\n#5\n<b/>\n\n##\n".utf8)
    for step in [1, 2, 3, 7, stream.count] {
      var framing = NETCONFFraming()
      var found: [String] = []
      for start in stride(from: 0, to: stream.count, by: step) {
        framing.take(Array(stream[start..<min(start + step, stream.count)]))
        while let message = try framing.next() {
          found.append(String(decoding: message, as: UTF8.self))
          framing.isChunked = true
        }
      }
      #expect(found == ["<hello/>", "<a>x</a>\n\n", "<b/>\n"], "in pieces of \(step)")
    }
    for bad in ["\n#0\n", "\n#-1\n", "\n#99999999999999\n", "x#4\n", "\n#4x\nabcd", "\n##x"] {
      var framing = NETCONFFraming()
      framing.isChunked = true
      framing.take(Array(bad.utf8))
      #expect(throws: NETCONFError.self, "\(bad)") { _ = try framing.next() }
    }
  }

  @Test func documentsAreReadAndHostileOnesRefused() throws {
    let text = """
      <?xml version="1.0"?><!-- a --><nc:rpc-reply xmlns:nc="urn:n" message-id='1'>
      <data xmlns="urn:d"><a b="c &lt; d">x &amp; y&#65;<![CDATA[<z>]]></a><a/></data></nc:rpc-reply>
      """
    let root = try XMLElement.parse(Array(text.utf8))
    #expect(root.name == "rpc-reply" && root.namespace == "urn:n")
    #expect(root["data"]?.namespace == "urn:d")
    #expect(root["data"]?.all("a").map(\.text) == ["x & yA<z>", ""])
    for bad in [
      "", "<a>", "<a></b>", "<a>&unknown;</a>", "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "<a/>x", "<a b></a>",
      "<a b=c/>",
      String(repeating: "<a>", count: 100) + String(repeating: "</a>", count: 100),
    ] { #expect(throws: XMLError.self, "\(bad.prefix(40))") { _ = try XMLElement.parse(Array(bad.utf8)) } }
  }
}

/// What the registry says of configurations that cannot be meant.
@Suite struct SwitchRegistryTests {
  private func problem(_ change: (inout SwitchConfiguration) -> Void) -> String {
    var site = SwitchConfiguration(name: "tor-1", kind: "cisco-nxos", endpoint: "ssh://10.0.0.2")
    site.username = "admin"
    site.passwordFile = "/none"
    site.hostKey = "ssh-ed25519 AAAA"
    change(&site)
    do {
      _ = try Switches([site], logger: .init(label: "test"))
      return "none"
    } catch { return error.description }
  }

  @Test func anUnknownKindIsToldAllThatThereAre() {
    let text = problem { $0.kind = "netgear" }
    #expect(text.hasPrefix("switch tor-1: unknown kind \"netgear\"; known: openvswitch, arista-eapi, "))
    for kind in Switches.kinds { #expect(text.contains(kind)) }
    #expect(Set(Switches.kinds).count == Switches.kinds.count)
  }

  @Test func aWayInWithoutTrustIsRefused() {
    #expect(problem { _ in } == "none")
    #expect(problem { $0.hostKey = nil }.contains("needs host_key or known_hosts"))
    #expect(problem { $0.hostKey = "whatever" }.contains("is not a public key"))
    #expect(problem { $0.hostKey = "ssh-ed25519 AAAA\nother ssh-rsa BBBB" }.contains("is not a public key"))
    #expect(problem { $0.username = "-oProxyCommand=x" }.contains("needs username"))
    #expect(problem { $0.username = nil }.contains("needs username"))
    #expect(problem { $0.passwordFile = nil }.contains("password_file or key_file"))
    #expect(problem { $0.keyFile = "/key" }.contains("password_file or key_file"))
    for endpoint in [
      "ssh://", "ssh://-oProxyCommand=x", "ssh://a b", "telnet://a", "10.0.0.2", "ssh://a:0", "ssh://a/b",
    ] {
      #expect(problem { $0.endpoint = endpoint }.contains("is not ssh://HOST[:PORT]"), "\(endpoint)")
    }
    for endpoint in ["http://a", "https://a?b", "https://u:p@a", "https://a\nb"] {
      let text = problem {
        $0.kind = "arista-eapi"
        $0.endpoint = endpoint
      }
      #expect(text.contains("is not https://HOST[:PORT]"), "\(endpoint)")
    }
    let pinned = problem {
      $0.kind = "arista-eapi"
      $0.endpoint = "https://a"
      $0.fingerprint = "sha256:00"
    }
    #expect(pinned.contains("64 hexadecimal digits"))
  }
}
