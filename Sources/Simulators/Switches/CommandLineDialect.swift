/// How one vendor's command line looks and what it takes: enough for a network controller, and no more.
///
/// Written from manuals and recorded dialogues, apart from the product: what it does not know it refuses in the vendor's words.
public struct CommandLineDialect: Sendable {
  enum Style: Sendable {
    /// Statements in blocks, as most have.
    case blocks
    /// `set` and `delete` with whole paths.
    case sets
    /// Programs at a shell.
    case shell
  }
  var style = Style.blocks
  public var vendor: String
  /// Four for machines and an uplink.
  public var ports: [String]
  /// A block's header for a port: "interface Ethernet1/1".
  var header: @Sendable (String) -> String = { "interface \($0)" }
  /// What stands in a port's block from the beginning.
  var initial: [String] = []
  /// Prompts outside, in configuration, and in a block of it.
  var prompts: @Sendable (_ header: String?, _ isConfiguring: Bool) -> String = { header, isConfiguring in
    isConfiguring ? header == nil ? "tor-1(config)# " : "tor-1(config-if)# " : "tor-1# "
  }
  var silent: [String] = []
  /// Commands that print a fixed text.
  var tables: [String: String] = [:]
  var showConfiguration = "show running-config"
  /// Beginnings of lines that open a block; a block for a port must exist.
  var blocks: [String] = ["interface ", "vlan "]
  /// From what is typed to what the configuration shows; nil when it is no header.
  var canonical: @Sendable (String) -> String? = { $0 }
  /// Statements with one value, by their first words: the new one takes the place of the old.
  var single: [String] = []
  /// Statements that may stand many times.
  var many: [String] = []
  /// Beginnings of statements that open a block inside their block.
  var inner: [String] = []
  /// Blocks that are there from the beginning, besides ports.
  var fixed: [(header: String, lines: [String])] = []
  /// What is printed of the configuration and the faults.
  var computed: [String: @Sendable (_ lines: [(header: String, lines: [String])], SwitchFaults) -> String] = [:]
  /// Statements that stand for the absence of another: "enable" for "disable".
  var cancels: [String: String] = [:]
  var negation = "no "
  /// Whether "no shutdown" is written down.
  var keepsNegated: [String] = []
  var omitsEmptyBlocks = false
  /// Whether the configuration is printed with the header before each statement.
  var isFlat = false
  /// Statements that do more than stand there; false for all others.
  var special: @Sendable (_ line: String, _ lines: inout [String]) -> Bool = { _, _ in false }
  var enter = "configure terminal"
  var leave = "end"
  /// Ends of one block; in configuration it leaves.
  var exit = "exit"
  /// Commands that take a candidate into force; empty where every statement is at once.
  var commit: [String] = []
  var discard: [String] = []
  var save = "copy running-config startup-config"
  /// Asked after the save command; the answer is taken whatever it is.
  var saveQuestion: String?
  var refusal: @Sendable (String) -> String = { _ in "% Invalid command at '^' marker." }
  var shown: @Sendable (String) -> String = { $0 }
  /// What a hand types to give a port VLAN 666 alone, in configuration mode.
  public var byHand: @Sendable (String) -> [String] = {
    ["interface \($0)", "switchport mode access", "switchport access vlan 666", "no shutdown", "exit"]
  }
  public var description = "description "

  public static let all: [CommandLineDialect] = [
    .nxos, .os9, .fastIron, .ios, .eos, .s300, .ruijie, .supermicro, .powerConnect, .os10, .nos, .aoscx, .comware, .vrp,
    .vrp8, .mlnxos, .junos, .sonic, .dellSONiC,
  ]

  static let switchport = [
    "switchport mode", "switchport access vlan", "switchport trunk native vlan", "switchport trunk allowed vlan",
    "description", "shutdown", "name",
  ]

  static let nxos = CommandLineDialect(
    vendor: "cisco-nxos", ports: (1...5).map { "Ethernet1/\($0)" }, initial: ["switchport"],
    silent: ["terminal length 0", "terminal width 511"],
    tables: [
      "show mac address-table": """
      Legend:
              * - primary entry, G - Gateway MAC, (R) - Routed MAC, O - Overlay MAC
         VLAN     MAC Address      Type      age     Secure NTFY Ports
      ---------+-----------------+--------+---------+------+----+------------------
      *  101     5254.0077.0001   dynamic  0         F      F    Eth1/1

      """,
      "show lldp neighbors detail": """
      Capability codes:
        (R) Router, (B) Bridge, (T) Telephone, (C) DOCSIS Cable Device
      Device ID            Local Intf      Hold-time  Capability  Port ID

      Chassis id: 5254.0077.0001
      Port id: eno1
      Local Port id: Eth1/1
      Port Description: eno1
      System Name: node-1
      Total entries displayed: 1

      """,
    ],
    blocks: ["interface ", "vlan ", "evpn"],
    single: switchport + ["switchport", "vn-segment", "ingress-replication protocol", "rd"],
    many: ["member vni", "vni", "route-target import", "route-target export"], inner: ["member vni ", "vni "],
    fixed: [
      (
        "interface nve1",
        [
          "no shutdown", "host-reachability protocol bgp", "source-interface loopback0",
          "member vni 50001 associate-vrf",
        ]
      ),
      ("evpn", []),
    ], computed: ["show nve vni": { nexusVNIs($0, $1) }], save: "copy running-config startup-config",
    refusal: { "                                 ^\n% Invalid command at '^' marker.\($0.isEmpty ? "" : " ")" })

  static let os9 = CommandLineDialect(
    vendor: "dell-os9", ports: (1...5).map { "TenGigabitEthernet 0/\($0)" },
    initial: ["no ip address", "portmode hybrid", "switchport"],
    prompts: { header, isConfiguring in
      isConfiguring ? header == nil ? "tor-1(conf)#" : "tor-1(conf-if-te-0/1)#" : "tor-1#"
    },
    silent: ["terminal length 0"],
    canonical: { $0.hasPrefix("interface vlan ") ? "interface Vlan " + $0.dropFirst(15) : $0 },
    single: ["description", "shutdown"], many: ["tagged", "untagged"], enter: "configure",
    refusal: { _ in "% Error: Invalid input at \"^\" marker." },
    byHand: { port in
      [
        "interface vlan 103", "no untagged \(port)", "exit", "interface vlan 666", "untagged \(port)", "exit",
        "interface \(port)", "no shutdown", "exit",
      ]
    })

  static let fastIron = CommandLineDialect(
    vendor: "brocade-fastiron", ports: (1...5).map { "1/1/\($0)" }, header: { "interface ethernet \($0)" },
    silent: ["skip-page-display"],
    tables: [
      "show interfaces brief": """
      Port       Link    State   Dupl Speed Trunk Tag Pvid Pri MAC             Name
      1/1/1      Up      Forward Full 1G    None  No  1    0   cc4e.24b8.1234
      1/1/2      Down    None    None None  None  No  1    0   cc4e.24b8.1235
      1/1/3      Disable None    None None  None  No  1    0   cc4e.24b8.1236
      1/1/4      Down    None    None None  None  No  1    0   cc4e.24b8.1237
      1/1/5      Up      Forward Full 10G   None  No  1    0   cc4e.24b8.1238
      mgmt1      Up      None    Full 1G    None  No  None 0   cc4e.24b8.1230

      """,
      "show mac-address": """
      Total active entries from all ports = 1
      MAC-Address     Port           Type          VLAN
      5254.0077.0001  1/1/1          Dynamic       101

      """,
    ],
    canonical: { text in
      guard text.hasPrefix("vlan ") else { return text }
      guard text.hasSuffix(" by port") else { return nil }
      return "vlan \(text.split(separator: " ")[1]) by port"
    },
    single: ["port-name", "disable"], many: ["tagged", "untagged"], cancels: ["enable": "disable"],
    omitsEmptyBlocks: true, save: "write memory", refusal: { "Invalid input -> \($0)\nType ? for a list" },
    shown: { $0.hasPrefix("untagged ethernet ") ? "untagged ethe " + $0.dropFirst(18) : $0 },
    byHand: { port in
      [
        "vlan 103 by port", "no untagged ethernet \(port)", "exit", "vlan 666 by port", "untagged ethernet \(port)",
        "exit", "interface ethernet \(port)", "enable", "exit",
      ]
    }, description: "port-name ")
}

extension CommandLineDialect {
  /// Everything that a hand types for a change.
  public func changesByHand(_ lines: [String]) -> [String] {
    style == .shell ? lines : [enter] + lines + commit.suffix(1) + [leave]
  }
  /// What a hand types to write on a port.
  public func describe(_ port: String, _ text: String) -> [String] {
    switch style {
    case .blocks: [header(port), description + text, exit]
    case .sets: ["set \(header(port)) \(description)\(text)"]
    // Nothing that a port keeps: a file on the side.
    case .shell: ["echo \(text) > \(port)"]
    }
  }
}
