import Domain
import DriverInterfaces
import Wire

extension CommandTemplate {
  /// A Linux machine as a leaf: a bridge per network, a VXLAN device per VNI, FRR for BGP. The account is root's.
  ///
  /// A network's bridge has no addresses, and answers nobody: machines reach each other and not the switch. Port and bridge
  /// names are Linux' own. Sources: ip-link(8), bridge(8), Linux' ip-sysctl.rst; FRR user guide, "EVPN".
  static let linuxFRR = CommandTemplate(
    kind: "linux-frr", device: "Linux with iproute2 and FRR", capabilities: [], tested: nil,
    // Without an editor of lines: it shows only the end of what is typed where it does not know the terminal.
    begin: ["set +o emacs +o vi"], enterConfiguration: [],
    leaveConfiguration: [],
    show: ["ip -d -j link show"],
    read: { linuxPorts(linuxJSON($0[0])) },
    network: { vlan, _ in
      let bridge = "vlan\(vlan)"
      return [
        "ip link show dev \(bridge) >/dev/null 2>&1 || ip link add \(bridge) type bridge mcast_snooping 0",
        // Nothing that comes in is taken for the switch itself: no address answers, and no source is reached this way.
        "sysctl -qw net.ipv4.conf.\(bridge).arp_ignore=8 net.ipv4.conf.\(bridge).rp_filter=1",
        "test ! -d /proc/sys/net/ipv6 || sysctl -qw net.ipv6.conf.\(bridge).disable_ipv6=1",
        "ip link set dev \(bridge) up",
      ]
    },
    port: { change in
      let port = "ip link set dev \(change.port)"
      var lines: [String] = []
      if let description = change.description { lines.append("\(port) alias '\(description)'") }
      guard let native = change.wanted.native else { return lines + ["\(port) down", "\(port) nomaster"] }
      // Its old bridge forgets it before the new one has it.
      return lines + ["\(port) addrgenmode none master vlan\(native)", "\(port) up"]
    },
    // What is running is all there is: after a restart ports are in no bridge until the audit sees it.
    save: [],
    errors: ["rtnetlink answers", "cannot find device", "operation not permitted", "cannot stat", "cannot open"],
    macTable: ("bridge -j fdb show", { linuxTable(linuxJSON($0)) }),
    vnis: VNICommands(
      show: ["ip -d -j link show type vxlan", "vtysh -c 'show bgp l2vpn evpn vni json'"],
      read: { linuxVNIs(links: linuxJSON($0[0]), bgp: linuxJSON($0[1]), $1) },
      join: { vni, vlan, leaf in
        let device = "vni\(vni)"
        return [
          "ip link add \(device) type vxlan id \(vni) local \(leaf.address ?? "") dstport 4789 nolearning",
          "ip link set dev \(device) addrgenmode none master vlan\(vlan)",
          // Who is where the others say.
          "bridge link set dev \(device) learning off", "ip link set dev \(device) up",
        ]
      }, part: { ["ip link del dev vni\($0.vni)"] }))

  /// The document in what a command printed, after whatever warnings.
  private static func linuxJSON(_ text: String) -> JSON {
    guard let start = text.firstIndex(where: { $0 == "[" || $0 == "{" }) else { return .null }
    return (try? JSON(parsing: String(text[start...]))) ?? .null
  }
  /// "vlan101" is the bridge of network 101.
  private static func network(_ link: JSON) -> Int? {
    guard let master = link["master"]?.string, master.hasPrefix("vlan") else { return nil }
    return SwitchText.vlan(master.dropFirst(4))
  }
  private static func isUp(_ link: JSON) -> Bool { link["flags"]?.array?.contains("UP") == true }

  private static func linuxPorts(_ links: JSON) -> [String: SwitchPortState] {
    // Of the kinds of links that are made by software those that machines have been seen behind.
    let kinds: Set<String?> = [nil, "veth", "tun", "bond", "dsa"]
    var found: [String: SwitchPortState] = [:]
    for link in links.array ?? [] {
      guard let name = link["ifname"]?.string, link["link_type"]?.string == "ether",
        kinds.contains(link["linkinfo"]?["info_kind"]?.string)
      else { continue }
      let carried = network(link).map { PortConfiguration(native: $0) } ?? SwitchPortState.foreign
      found[name] = SwitchPortState(
        configuration: isUp(link) ? carried : .quarantine, description: link["ifalias"]?.string ?? "",
        underneath: carried)
    }
    return found
  }

  private static func linuxTable(_ entries: JSON) -> [(port: String, vlan: Int, mac: MACAddress)] {
    (entries.array ?? []).compactMap { entry in
      // Its own addresses are permanent; what other leaves tell is extern_learn.
      guard entry["state"]?.string != "permanent", entry["flags"]?.array?.isEmpty != false,
        let port = entry["ifname"]?.string, let vlan = network(entry),
        let mac = entry["mac"]?.string.flatMap({ MACAddress($0) })
      else { return nil }
      return (port, vlan, mac)
    }
  }

  private static func linuxVNIs(links: JSON, bgp: JSON, _ leaf: EVPNLeaf) -> [VNIState] {
    (links.array ?? []).compactMap { link in
      // Others' VXLAN devices have other names.
      guard let name = link["ifname"]?.string, name.hasPrefix("vni"), let vni = Int(name.dropFirst(3)) else {
        return nil
      }
      let tunnel = link["linkinfo"]?["info_data"], bridging = link["linkinfo"]?["info_slave_data"]
      let isRight =
        tunnel?["id"]?.int == vni && tunnel?["local"]?.string == leaf.address && tunnel?["port"]?.int == 4789
        && tunnel?["learning"]?.bool == false && tunnel?["remote"] == nil && bridging?["learning"]?.bool == false
      let isTold = bgp["\(vni)"]?["inKernel"]?.string == "True"
      return VNIState(vni: vni, vlan: network(link), isWhole: isUp(link) && isRight && isTold)
    }
  }
}
