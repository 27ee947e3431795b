/// More command lines, in the order of their vendors.
extension CommandLineDialect {
  private static func ciscoLike(_ vendor: String, _ ports: [String], _ change: (inout CommandLineDialect) -> Void)
    -> CommandLineDialect
  {
    var dialect = CommandLineDialect(vendor: vendor, ports: ports)
    dialect.single = switchport
    dialect.silent = ["terminal length 0"]
    dialect.save = "write memory"
    change(&dialect)
    return dialect
  }
  private static func five(_ prefix: String) -> [String] { (1...5).map { "\(prefix)\($0)" } }

  static let ios = ciscoLike("cisco-ios", five("GigabitEthernet1/0/")) {
    $0.initial = ["switchport mode access"]
    $0.silent.append("terminal width 0")
    $0.refusal = { _ in "         ^\n% Invalid input detected at '^' marker.\n" }
  }
  static let eos = ciscoLike("arista-eos", five("Ethernet")) {
    $0.silent.append("terminal width 32767")
    $0.single.append("switchport")
    $0.refusal = { _ in "% Invalid input" }
  }
  static let s300 = ciscoLike("cisco-s300", five("gigabitethernet")) {
    $0.silent = ["terminal datadump"]
    $0.saveQuestion = "Overwrite file [startup-config].... (Y/N)[N] ?"
    $0.refusal = { _ in "% Unrecognized command" }
  }
  static let ruijie = ciscoLike("ruijie", five("GigabitEthernet 0/")) {
    $0.silent.append("terminal width 256")
    $0.refusal = { _ in "% Unrecognized command at '^' marker." }
  }
  static let supermicro = ciscoLike("supermicro-smis", five("Gi 0/")) {
    $0.save = "write startup-config"
    $0.refusal = { _ in "% Invalid Command" }
  }
  static let powerConnect = ciscoLike("dell-powerconnect", five("Gi1/0/")) {
    $0.silent.append("vlan database")
    $0.save = "copy running-config startup-config"
    $0.saveQuestion = "This operation may take few minutes.\nAre you sure you want to save? (y/n) "
    $0.refusal = { _ in "% Invalid input detected at '^' marker." }
  }
  static let os10 = ciscoLike("dell-os10", five("ethernet1/1/")) {
    $0.initial = ["no shutdown", "switchport access vlan 1", "flowcontrol receive on"]
    $0.showConfiguration = "show running-configuration"
    $0.canonical = { $0.hasPrefix("interface vlan ") ? "interface vlan\($0.dropFirst(15))" : $0 }
    $0.keepsNegated = ["shutdown"]
    $0.refusal = { _ in "% Error: Unrecognized command." }
  }
  static let nos = ciscoLike("brocade-nos", five("TenGigabitEthernet 1/0/")) {
    $0.initial = ["switchport", "switchport mode access", "spanning-tree shutdown", "no shutdown"]
    $0.single += ["switchport", "switchport trunk native-vlan", "switchport trunk tag native-vlan"]
    $0.keepsNegated = ["shutdown", "switchport trunk tag native-vlan"]
    $0.save = "copy running-config startup-config"
    $0.saveQuestion = "This operation will modify your startup configuration. Do you want to continue? [Y/N]:"
    $0.refusal = { _ in "syntax error: unknown argument." }
  }
  static let aoscx = ciscoLike("aruba-aoscx", five("1/1/")) {
    $0.initial = ["no shutdown", "no routing", "vlan access 1"]
    $0.silent = ["no page"]
    $0.single = [
      "vlan access", "vlan trunk native", "vlan trunk allowed", "routing", "shutdown", "description", "name",
    ]
    $0.blocks = ["interface "] + (1...9).map { "vlan \($0)" }
    $0.keepsNegated = ["shutdown", "routing"]
    $0.refusal = { "Invalid input: \($0)" }
    $0.byHand = { ["interface \($0)", "no routing", "vlan access 666", "no shutdown", "exit"] }
    $0.tables = [
      "show mac-address-table": """
      MAC age-time            : 300 seconds
      Number of MAC addresses : 1

      MAC Address          VLAN     Type                      Port
      --------------------------------------------------------------
      52:54:00:77:00:01    101      dynamic                   1/1/1

      """
    ]
  }

  /// Words of the 3Com family: `undo`, `quit`, names in brackets.
  private static func undoLike(_ vendor: String, _ ports: [String], list: String, access: String) -> CommandLineDialect
  {
    var dialect = CommandLineDialect(vendor: vendor, ports: ports)
    dialect.prompts = { header, isConfiguring in
      isConfiguring ? "[tor-1\(header.map { "-\($0.split(separator: " ").last ?? "")" } ?? "")]" : "<tor-1>"
    }
    dialect.single = ["port link-type", access, list, "port trunk pvid vlan", "shutdown", "description", "name"]
    dialect.negation = "undo "
    (dialect.enter, dialect.leave, dialect.exit) = ("system-view", "return", "quit")
    dialect.showConfiguration = "display current-configuration"
    dialect.special = { line, lines in
      let first = "undo \(list) 1"
      switch line {
      case "undo \(list) all":
        lines.removeAll { $0.hasPrefix(list) }
        if !lines.contains(first) { lines.append(first) }
      case first: if !lines.contains(first) { lines.append(first) }
      case "port link-type access":
        lines.removeAll { $0.contains("port trunk ") || $0.hasPrefix("port link-type") }
        lines.append(line)
      default: return false
      }
      return true
    }
    dialect.byHand = {
      ["interface \($0)", "port link-type access", "\(access) 666", "undo shutdown", "quit"]
    }
    return dialect
  }
  static let comware: CommandLineDialect = {
    var dialect = undoLike(
      "hpe-comware", five("GigabitEthernet1/0/"), list: "port trunk permit vlan", access: "port access vlan")
    dialect.initial = ["port link-mode bridge"]
    dialect.silent = ["screen-length disable"]
    dialect.save = "save force"
    dialect.refusal = { _ in " % Unrecognized command found at '^' position." }
    dialect.tables = [
      "display mac-address": """
      MAC ADDR       VLAN ID  STATE          PORT INDEX               AGING TIME(s)
      5254-0077-0001 101      Learned        GigabitEthernet1/0/1     AGING

      """
    ]
    return dialect
  }()
  static let vrp: CommandLineDialect = {
    var dialect = undoLike(
      "huawei-vrp", five("GigabitEthernet0/0/"), list: "port trunk allow-pass vlan", access: "port default vlan")
    dialect.initial = ["port link-type access"]
    dialect.silent = ["screen-length 0 temporary"]
    dialect.save = "save"
    dialect.saveQuestion =
      "The current configuration will be written to flash:/vrpcfg.zip.\nAre you sure to continue?[Y/N]"
    dialect.refusal = { _ in "Error: Unrecognized command found at '^' position." }
    return dialect
  }()
  static let vrp8: CommandLineDialect = {
    var dialect = vrp
    dialect.vendor = "huawei-vrpv8"
    dialect.ports = five("10GE1/0/")
    dialect.prompts = { header, isConfiguring in
      isConfiguring ? "[*tor-1\(header.map { "-\($0.split(separator: " ").last ?? "")" } ?? "")]" : "<tor-1>"
    }
    dialect.commit = ["commit"]
    dialect.discard = ["clear configuration candidate"]
    return dialect
  }()

  static let mlnxos = ciscoLike("mellanox-mlnxos", five("1/")) {
    $0.header = { "interface ethernet \($0)" }
    $0.prompts = { header, isConfiguring in
      let place = header.map { "(config \($0)) # " } ?? (isConfiguring ? "(config) # " : "# ")
      return "tor-1 [standalone: master] " + place
    }
    $0.silent = ["no cli session paging enable"]
    $0.leave = "exit"
    $0.isFlat = true
    $0.save = "configuration write"
    $0.refusal = { _ in "% Unrecognized command \"\"." }
    $0.byHand = {
      ["interface ethernet \($0)", "switchport mode access", "switchport access vlan 666", "no shutdown", "exit"]
    }
    $0.tables = [
      "show interfaces ethernet status": """
      Port                   Operational state           Speed                Negotiation
      ----                   -----------------           -----                -----------
      Eth1/1                 Up                          10 Gbps              No-Negotiation
      Eth1/2                 Down                        Unknown              Auto
      Eth1/3                 Down                        Unknown              Auto
      Eth1/4                 Down                        Unknown              Auto
      Eth1/5                 Up                          100 Gbps             Auto

      """
    ]
  }

  static let junos: CommandLineDialect = {
    var dialect = CommandLineDialect(vendor: "juniper-junos", ports: five("ge-0/0/"))
    dialect.style = .sets
    dialect.header = { "interfaces \($0)" }
    dialect.prompts = { $1 ? "\n[edit]\nadmin@tor-1# " : "admin@tor-1> " }
    dialect.silent = ["set cli screen-length 0", "set cli screen-width 0"]
    dialect.enter = "configure exclusive"
    dialect.leave = "exit"
    dialect.showConfiguration = "show configuration | display set"
    dialect.initial = ["unit 0 family ethernet-switching vlan members default"]
    dialect.single = ["description", "native-vlan-id", "unit 0 family ethernet-switching interface-mode", "vlan-id"]
    dialect.many = ["unit 0 family ethernet-switching vlan members", "disable"]
    dialect.commit = ["commit confirmed 2", "commit"]
    dialect.discard = []
    dialect.refusal = { "                ^\nsyntax error: \($0)" }
    dialect.byHand = { port in
      [
        "delete interfaces \(port) unit 0", "delete interfaces \(port) disable",
        "set interfaces \(port) unit 0 family ethernet-switching vlan members 666",
      ]
    }
    dialect.tables = [
      "show interfaces terse": """
      Interface               Admin Link Proto    Local                 Remote
      ge-0/0/1                up    up
      ge-0/0/1.0              up    up   eth-switch
      ge-0/0/2                up    down
      ge-0/0/3                up    down
      ge-0/0/4                up    down
      ge-0/0/5                up    up
      me0                     up    up

      """
    ]
    return dialect
  }()

  static let sonic = shell("sonic")
  static let dellSONiC = shell("dell-sonic")
  private static func shell(_ vendor: String) -> CommandLineDialect {
    var dialect = CommandLineDialect(vendor: vendor, ports: (0..<5).map { "Ethernet\($0 * 4)" })
    dialect.style = .shell
    dialect.header = { "port \($0)" }
    dialect.prompts = { _, _ in "admin@tor-1:~$ " }
    dialect.save = "sudo config save -y"
    dialect.refusal = { "Error: \($0): hardware resource" }
    dialect.byHand = { port in
      [
        "sudo config vlan member del 103 \(port)", "sudo config vlan add 666",
        "sudo config vlan member add -u 666 \(port)", "sudo config interface startup \(port)",
      ]
    }
    return dialect
  }
}
