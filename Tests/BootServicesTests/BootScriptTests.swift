import BootServices
import Domain
import Testing

@Suite struct BootScriptTests {
  private static let token = "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789-_AbCdE"

  @Test func scriptsAreExactlyThese() throws {
    let server = try #require(BootServer(address: "172.30.0.1", port: 8081))
    let mac = try #require(MACAddress("52:54:00:AA:00:01"))
    #expect(
      BootScript.ask(server: server).text == """
        #!ipxe
        chain --autofree http://172.30.0.1:8081/boot/ipxe?mac=${mac} || exit 1

        """)
    #expect(
      BootScript.agent(server: server, token: Self.token, mac: mac).text == """
        #!ipxe
        kernel http://172.30.0.1:8081/boot/kernel initrd=initrd console=ttyS0,115200 quiet \
        steelyard.server=http://172.30.0.1:8081 steelyard.token=\(Self.token) steelyard.mac=52:54:00:aa:00:01
        initrd --name initrd http://172.30.0.1:8081/boot/initrd
        boot

        """)
    let line = try #require(KernelLine("quiet console=ttyS0"))
    #expect(
      BootScript.ramdisk(server: server, line: line, mac: mac).text == """
        #!ipxe
        kernel http://172.30.0.1:8081/boot/kernel?mac=52:54:00:aa:00:01 initrd=config initrd=ramdisk quiet console=ttyS0
        initrd --name config http://172.30.0.1:8081/boot/config?mac=52:54:00:aa:00:01
        initrd --name ramdisk http://172.30.0.1:8081/boot/ramdisk?mac=52:54:00:aa:00:01
        boot

        """)
    #expect(BootScript.localDisk.text == "#!ipxe\nexit 1\n")
    let disk = try #require(
      VolumeDisk(
        initiator: "iqn.2026-11.org.example:m1", userName: "u1", password: "secret-of-u1",
        target: "iqn.2026-11.org.steelyard:a", portals: ["172.30.0.1:3260", "172.30.0.2:3261"], lun: 1))
    // Every portal in one command: iPXE opens them beside each other, and boots with those that answer.
    #expect(
      BootScript.volume(disk).text == """
        #!ipxe
        set initiator-iqn iqn.2026-11.org.example:m1
        set username u1
        set password secret-of-u1
        set keep-san 1
        sanboot --keep --drive 0x80 iscsi:172.30.0.1::3260:1:iqn.2026-11.org.steelyard:a \
        iscsi:172.30.0.2::3261:1:iqn.2026-11.org.steelyard:a || exit 1

        """)
  }

  @Test func aTokenThatIsNoneNeverGetsIntoAScript() throws {
    let server = try #require(BootServer(address: "172.30.0.1", port: 8081))
    let mac = try #require(MACAddress("52:54:00:aa:00:01"))
    let head = String(Self.token.dropLast())
    let endings = ["A\n", "AB", "", "\n", " ", "$", "{", "|", "&", "#", "=", "/", "+", "é"]
    let others = ["", "\(head.dropLast(6))\nshell\n", String(head.dropLast()) + "é"]
    for token in endings.map({ head + $0 }) + others {
      #expect(BootScript.agent(server: server, token: token, mac: mac).text == "#!ipxe\nexit 1\n", "\(token)")
    }
  }

  @Test func aServerIsAnAddressInPlainNumbers() {
    #expect(BootServer(address: "10.0.0.1", port: 80)?.url == "http://10.0.0.1:80")
    for address in [
      "", "localhost", "10.0.0", "10.0.0.1.2", "10.0.0.256", "10.0.0.+1", "10.0.0.01", "0x0a.0.0.1", "10.0.0.1\n",
      " 10.0.0.1",
      "10.0.0.1 ", "10.0.0.1/24", "fd00::1", "10.0.0.１",
    ] { #expect(BootServer(address: address, port: 80) == nil, "\(address)") }
    #expect(BootServer(address: "10.0.0.1", port: 0) == nil)
    #expect(BootServer(address: "10.0.0.1", port: 65536) == nil)
  }
}

@Suite struct DnsmasqConfigurationTests {
  private func make(
    interface: String = "prov0", first: String = "172.30.0.100", last: String = "172.30.0.199", prefix: Int = 24,
    strangers: AddressRange? = nil, folder: String = "/var/lib/steelyard/dhcp"
  ) throws -> DnsmasqConfiguration {
    try DnsmasqConfiguration(
      interface: interface, server: #require(BootServer(address: "172.30.0.1", port: 8081)), first: first, last: last,
      prefix: prefix, strangers: strangers, folder: folder)
  }

  @Test func strangersHaveARangeApart() throws {
    #expect(try make(strangers: AddressRange("172.30.0.5", "172.30.0.9")).strangers?.last == "172.30.0.9")
    for (first, last) in [
      ("172.30.0.9", "172.30.0.5"), ("172.31.0.5", "172.31.0.9"), ("172.30.0.100", "172.30.0.110"),
      ("172.30.0.5", "172.30.0.101"), ("172.30.0.5,static", "172.30.0.9"), ("", ""),
    ] {
      #expect(throws: DnsmasqConfigurationError.self, "\(first) \(last)") {
        try make(strangers: AddressRange(first, last))
      }
    }
  }

  @Test func ordinaryValuesAreTaken() throws {
    for interface in ["prov0", "eth0.100", "br-prov", "lab_0"] {
      #expect(try make(interface: interface).interface == interface)
    }
    #expect(try make(folder: "/home/someone/my site é/dhcp").folder.contains(" "))
    #expect(try make(first: "172.30.0.5", last: "172.30.0.5").last == "172.30.0.5")
  }

  @Test func valuesThatCouldBreakOutOfALineAreRefused() {
    for interface in [
      "", "*", "e*", "eth0,lo", "eth0 lo", "eth0\nconf-file=/etc/passwd", "eth0#", "\"eth0\"", "eth0\\n", "-eth0",
      "a/b", "eth0:1",
      "a-name-of-sixteen",
    ] {
      #expect(throws: DnsmasqConfigurationError.self, "\(interface)") { try make(interface: interface) }
    }
    for folder in [
      "", "dhcp", "./dhcp", "/x\nuser=nobody", "/x#y", "/x,y", "/x\"y", "/x\\y", "/x\u{0}y", "/x\u{7f}y", "/x\ty",
    ] {
      #expect(throws: DnsmasqConfigurationError.self, "\(folder)") { try make(folder: folder) }
    }
    for address in [
      "", "here", "172.30.0", "172.30.0.300", "172.30.0.+9", "172.30.0.09", "172.30.0.9,static", "172.30.0.9\n",
      "fd00::9",
      "172.31.0.9", "172.30.0.200",
    ] {
      #expect(throws: DnsmasqConfigurationError.self, "\(address)") { try make(first: address) }
    }
    #expect(throws: DnsmasqConfigurationError.self) { try make(last: "172.30.1.5") }
    for prefix in [-1, 0, 7, 31, 32, 64] {
      #expect(throws: DnsmasqConfigurationError.self, "\(prefix)") { try make(prefix: prefix) }
    }
  }

  @Test func aRefusalNamesTheValue() {
    let error = #expect(throws: DnsmasqConfigurationError.self) { try make(first: "172.31.0.9") }
    #expect(
      error?.description == "provisioning: 172.31.0.9 is not in the network of the server's address 172.30.0.1/24")
  }
}
