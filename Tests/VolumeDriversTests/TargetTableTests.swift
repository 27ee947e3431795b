import Testing

@testable import VolumeDrivers

@Suite struct TargetTableTests {
  /// tgt 1.0.85 of Debian 12, recorded with a session.
  private static let text = """
    Target 180150001: iqn.2026-11.org.steelyard:aaaaaaaa-1111
        System information:
            Driver: iscsi
            State: ready
        I_T nexus information:
            I_T nexus: 5
                Initiator: iqn.2026-11.org.steelyard:node-1 alias: none
                Connection: 0
                    IP Address: 10.79.0.1
        LUN information:
            LUN: 0
                Type: controller
                SCSI ID: IET     abcdef10000
                Size: 0 MB, Block size: 1
                Readonly: No
                Backing store type: null
                Backing store path: None
                Backing store flags: 
            LUN: 1
                Type: disk
                SCSI ID: aaaaaaaa11112222333344445555666
                Size: 214748 MB, Block size: 512
                Online: Yes
                Readonly: Yes
                Backing store type: rdwr
                Backing store path: /v/disks/x/disk.1
                Backing store flags: 
        Account information:
            u1
        ACL information:
            iqn.2026-11.org.steelyard:node-1
            iqn.2026-11.org.steelyard:node-2
    Target 2: iqn.2026-11.org.steelyard:b
        System information:
            Driver: iscsi
            State: offline
        I_T nexus information:
        LUN information:
        Account information:
        ACL information:
    """

  @Test func whatTgtdShowsIsRead() throws {
    let table = TargetTable(Self.text)
    #expect(table.targets.map(\.number) == [180_150_001, 2])
    let target = try #require(table.target(named: "iqn.2026-11.org.steelyard:aaaaaaaa-1111"))
    #expect(target.connections == [.init(session: 5, number: 0)])
    #expect(target.users == ["u1"])
    #expect(target.accessList == ["iqn.2026-11.org.steelyard:node-1", "iqn.2026-11.org.steelyard:node-2"])
    #expect(
      target.units[1]
        == .init(
          size: "214748 MB", isReadOnly: true, store: "rdwr", path: "/v/disks/x/disk.1",
          scsiID: "aaaaaaaa11112222333344445555666"))
    #expect(
      table.target(named: "iqn.2026-11.org.steelyard:b")
        == .init(number: 2, name: "iqn.2026-11.org.steelyard:b", isReady: false))
    #expect(TargetTable("").targets.isEmpty)
  }

  @Test func sizesAreShownAsTgtdDoes() {
    #expect(TargetTable.shown(214_748_364_800) == "214748 MB")
    #expect(TargetTable.shown(0) == "0 MB")
    #expect(TargetTable.shown(64 << 20) == "67 MB")
  }

  @Test func aRequestHasTheShapeOfTgtsOwnClient() {
    let bytes = TargetControl.bytes(
      .init(mode: .account, operation: .bind, target: 0x0102_0304, parameters: "user=u"))
    #expect(bytes.count == 120 + 7)
    #expect(Array(bytes[..<8]) == [7, 0, 0, 0, 3, 0, 0, 0])
    #expect(Array(bytes[8..<14]) == Array("iscsi".utf8) + [0])
    #expect(Array(bytes[72..<80]) == [127, 0, 0, 0, 4, 3, 2, 1])
    #expect(bytes.last == 0)
  }
}
