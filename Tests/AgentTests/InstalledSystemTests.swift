import Glibc
import Testing

@testable import Agent

/// What the boot loaders of the distributions would start, found on disks that their own tools made.
@Suite struct InstalledSystemTests {
  @Test(arguments: ["-t ext4", "-t ext3", "-t ext2 -b 1024", "-t ext4 -O ^64bit,^flex_bg -b 4096 -I 128"])
  func debian(format: String) async throws {
    let disk = try await BootDisk.make(
      [
        "boot/grub/grub.cfg": BootConfigurations.debian, "boot/vmlinuz-6.1.0-28-amd64": "the kernel",
        "boot/initrd.img-6.1.0-28-amd64": "the ramdisk", "boot/grub/grubenv": BootConfigurations.environment(),
      ], format: format)
    let system = try disk.system()
    #expect(system.kernelText == "the kernel" && system.initrdTexts == ["the ramdisk"])
    #expect(
      system.commandLine
        == "BOOT_IMAGE=/boot/vmlinuz-6.1.0-28-amd64 root=PARTUUID=b0d1 ro console=tty0 console=ttyS0,115200 earlyprintk=ttyS0,115200 consoleblank=0"
    )
    #expect(system.title == "Debian GNU/Linux")
    #expect(try disk.system(isUEFI: true).commandLine == system.commandLine)
  }

  @Test func theEntryThatIsChosenInAnotherMenu() async throws {
    let text = BootConfigurations.debian.replacing(
      "set default=\"0\"",
      with:
        "set default=\"gnulinux-advanced-\(BootConfigurations.uuid)>gnulinux-6.1.0-28-amd64-advanced-\(BootConfigurations.uuid)\""
    )
    let disk = try await BootDisk.make([
      "boot/grub/grub.cfg": text, "boot/vmlinuz-6.1.0-28-amd64": "k", "boot/initrd.img-6.1.0-28-amd64": "r",
    ])
    #expect(try disk.system().commandLine.hasSuffix(" advanced"))
  }

  @Test(arguments: [false, true]) func ubuntuWithABootPartition(isClassic: Bool) async throws {
    let files = [
      "grub/grub.cfg": BootConfigurations.ubuntu, "vmlinuz-6.8.0-51-generic": "kernel",
      "vmlinuz": "-> vmlinuz-6.8.0-51-generic", "initrd.img-6.8.0-51-generic": "ramdisk",
    ]
    let first = try await BootDisk.make(files, isClassic: isClassic).system()
    #expect(
      first.initrds.isEmpty && first.commandLine.hasSuffix("root=PARTUUID=2f1c ro console=tty1 console=ttyS0 panic=-1"))
    // A boot without a ramdisk has failed before.
    let environment = BootConfigurations.environment("initrdfail=1", "recordfail=1")
    let refused = try await BootDisk.make(files.merging(["grub/grubenv": environment]) { $1 })
    #expect(refused.problem()?.contains("writes down 'prev_entry'") == true)
  }

  @Test func fedora() async throws {
    func entry(_ version: String) -> String { BootConfigurations.fedoraEntry.replacing("@VERSION@", with: version) }
    var files = ["grub2/grub.cfg": BootConfigurations.fedora]
    for version in ["6.11.4-301.fc41.x86_64", "6.9.12-200.fc41.x86_64", "0-rescue-feed"] {
      files["loader/entries/feed-\(version).conf"] = entry(version)
      files["vmlinuz-\(version)"] = "kernel \(version)"
      files["initramfs-\(version).img"] = "ramdisk \(version)"
    }
    let newest = try await BootDisk.make(files).system()
    #expect(newest.kernelText == "kernel 6.11.4-301.fc41.x86_64", "11 is newer than 9")
    #expect(
      newest.commandLine
        == "BOOT_IMAGE=(hd0,gpt2)/vmlinuz-6.11.4-301.fc41.x86_64 root=UUID=7e no_timer_check net.ifnames=0 console=ttyS0"
    )
    #expect(newest.initrdTexts == ["ramdisk 6.11.4-301.fc41.x86_64"])
    files["grub2/grubenv"] = BootConfigurations.environment(
      "saved_entry=feed-6.9.12-200.fc41.x86_64", "kernelopts=root=UUID=8f ro", "boot_success=0")
    let saved = try await BootDisk.make(files).system()
    #expect(saved.kernelText == "kernel 6.9.12-200.fc41.x86_64")
    #expect(saved.commandLine.hasSuffix(" root=UUID=8f ro console=ttyS0"))
  }

  @Test func cirros() async throws {
    let disk = try await BootDisk.make([
      "boot/grub/grub.cfg": BootConfigurations.plain, "boot/vmlinuz-5": "kernel", "boot/initrd.img": "-> initrd.img-5",
      "boot/vmlinuz": "-> /boot/vmlinuz-5", "boot/initrd.img-5": "ramdisk",
    ])
    let system = try disk.system()
    #expect(system.kernelText == "kernel" && system.initrdTexts == ["ramdisk"])
    #expect(system.commandLine == "BOOT_IMAGE=/boot/vmlinuz root=LABEL=cirros-rootfs ro console=tty1 console=ttyS0")
  }

  @Test func systemdBoot() async throws {
    let entries = [
      "loader/loader.conf": "timeout 3\ndefault arch-*\n", "arch/vmlinuz": "kernel", "arch/initrd": "ramdisk",
      "arch/ucode": "microcode", "loader/entries/fallback.conf": "title other\nsort-key aaa\nlinux /nowhere\n",
      "loader/entries/arch-linux.conf":
        "title Arch Linux\nsort-key arch\nlinux /arch/vmlinuz\ninitrd /arch/ucode\ninitrd /arch/initrd\noptions root=LABEL=x rw\noptions quiet\n",
    ]
    let disk = try await BootDisk.make([:], esp: entries)
    let system = try disk.system(isUEFI: true)
    #expect(system.title == "Arch Linux" && system.kernelText == "kernel")
    #expect(system.initrdTexts == ["microcode", "ramdisk"] && system.commandLine == "root=LABEL=x rw quiet")
    #expect(disk.problem()?.contains("no boot loader") == true, "BIOS has no systemd-boot")
    let unified = try await BootDisk.make([:], esp: entries.merging(["EFI/Linux/one.efi": "unified"]) { $1 })
    #expect(unified.problem(isUEFI: true)?.contains("unified kernel images") == true)
  }

  @Test func whatTheConfigurationBootsByItself() async throws {
    let disk = try await BootDisk.make(
      [:],
      esp: [
        "boot/grub/grub.cfg":
          "serial --unit=0\necho Loading\nlinux /Vmlinuz-Of-A-Long-Name.Extension a\\ b 'c d' \"$root\"\ninitrd /one /two\nboot\nhalt\n",
        "Vmlinuz-Of-A-Long-Name.Extension": "kernel", "ONE": "1", "two": "2",
      ])
    let system = try disk.system()
    #expect(system.commandLine == "BOOT_IMAGE=/Vmlinuz-Of-A-Long-Name.Extension a b c d hd0,gpt1")
    #expect(system.kernelText == "kernel" && system.initrdTexts == ["1", "2"])
  }

  @Test func largeFilesAreReadInWhole() async throws {
    // Larger than what an inode's own extents or blocks reach, with a hole.
    for format in ["-t ext4", "-t ext2 -b 1024"] {
      let kernel = String(repeating: "0123456789abcdef", count: 1 << 16)
      let disk = try await BootDisk.make(
        ["boot/grub/grub.cfg": BootConfigurations.plain, "boot/vmlinuz": kernel, "boot/initrd.img": "r"], format: format
      )
      #expect(try disk.system().kernelText == kernel, "\(format)")
    }
    let kernel = String(repeating: "fedcba9876543210", count: 1 << 16)
    let esp = try await BootDisk.make([:], esp: ["grub/grub.cfg": "linux /k\nboot", "k": kernel])
    #expect(try esp.system().kernelText == kernel)
  }

  // MARK: What is not started

  private static let strange: [(text: String, why: String)] = [
    ("menuentry Windows { chainloader +1; }", "'chainloader'"),
    ("for i in 1 2; do echo $i; done", "'for'"), ("while true; do true; done", "'while'"),
    ("menuentry a { linux /gone }", "no file /gone"), ("menuentry a { linux /boot }", "no file /boot"),
    ("menuentry a { linux (hd7,gpt9)/boot/vmlinuz }", "a disk that is not there"),
    ("menuentry a { true }", "boots no Linux kernel"), ("echo nothing", "no menu"), ("menuentry a {", "not closed"),
    ("if true; then echo", "'fi' is missing"), ("set a='b", "no end"), ("cat /x | sh", "redirects"), ("{ }", "brace"),
    ("function f { f; }\nf", "call each other without end"),
    ("linux /boot/vmlinuz /dev/null\nsave_env word\nboot", "'word'"),
    ("set superusers=root\nmenuentry a { linux /boot/vmlinuz }", "asks for a password"),
    ("menuentry a { linux /circle }", "in circles"), ("menuentry a { linux /outside }", "no file /outside"),
    ("menuentry a { linux /device }", "no file /device"), ("menuentry a { linux /empty }", "no file /empty"),
    ("frobnicate", "'frobnicate'"), ("[ a -frob b ]\nmenuentry a { true }", "the test"),
    (String(repeating: "if true; then ", count: 500), "nested too deeply"),
    (String(repeating: "menuentry a { true }\n", count: 2000), "too many entries"),
    ("set a=xxxxxxxxxxxxxxxx\n" + String(repeating: "set a=$a$a\n", count: 40), "is too long"),
    ("menuentry a { linux /boot/vmlinuz " + String(repeating: "x", count: 5000) + "}", "command line"),
    ("menuentry a { linux /boot/vmlinuz\u{1b}[31m }", "no file"),
  ]
  @Test func whatIsNotUnderstoodIsTheFirmwares() async throws {
    let disk = try await BootDisk.make([
      "boot/vmlinuz": "k", "circle": "-> circle", "outside": "-> ../../../../etc/passwd", "device": "-> /dev/vda",
      "empty": "",
    ])
    let wrong = try await inThread {
      let systems = try DiskFileSystems(of: try disk.device()).all
      let system = try #require(systems.last)
      return Self.strange.filter { text, why in
        do {
          _ = try InstalledSystem.started(byGRUB: text, on: system, folder: "/boot/grub", systems, isUEFI: false)
          return true
        } catch { return !"\(error)".contains(why) }
      }.map { "\($0.text.prefix(200)): \($0.why)" }
    }
    #expect(wrong == [])
  }

  @Test func aConfigurationOfMoreThanAMebibyteIsNotRead() async throws {
    let disk = try await BootDisk.make(["boot/grub/grub.cfg": String(repeating: "#\n", count: 600_000)])
    #expect(disk.problem()?.contains("is the most") == true)
  }

  @Test func twoConfigurationsAreOneTooMany() async throws {
    let disk = try await BootDisk.make(
      ["boot/grub/grub.cfg": BootConfigurations.plain], esp: ["grub/grub.cfg": BootConfigurations.plain])
    #expect(disk.problem()?.contains("2 configurations") == true)
  }

  @Test func aFileSystemInUseIsLeftAlone() async throws {
    let disk = try await BootDisk.make([
      "boot/grub/grub.cfg": BootConfigurations.plain, "boot/vmlinuz": "k", "boot/initrd.img": "r",
    ])
    let device = try disk.device()
    let features = try device.read(4, at: BootDisk.linuxStart + 1024 + 96)
    try device.write([features[0] | 0x4] + features[1...], at: BootDisk.linuxStart + 1024 + 96)
    #expect(disk.problem()?.contains("journal") == true)
  }

  @Test func aDiskWithoutATableAndOneOfZeros() async throws {
    let scratch = Scratch()
    let device = try BlockDevice(path: try scratch.disk("zeros", bytes: 8 << 20))
    #expect(throws: AgentError(.refused, "the disk has no partition table")) {
      try InstalledSystem.find(on: device, isUEFI: true)
    }
  }

  /// Every place of the metadata with noise in it: refused, or found all the same, and never a crash or an endless read.
  @Test(arguments: ["-t ext4", "-t ext2 -b 1024"]) func damagedFileSystems(format: String) async throws {
    let files = ["boot/grub/grub.cfg": BootConfigurations.plain, "boot/vmlinuz": "k", "boot/initrd.img": "r"]
    let disk = try await BootDisk.make(files, esp: ["EFI/BOOT/BOOTX64.EFI": "loader"], format: format)
    try await inThread {
      let device = try disk.device()
      var generator = Noise(state: 0x5eed)
      for _ in 0..<200 {
        let isESP = generator.next() % 4 == 0
        // Superblock, group descriptors, bitmaps and the first inodes; the boot sector, the tables and the root folder.
        let start =
          (isESP ? BootDisk.espStart : BootDisk.linuxStart) + Int(generator.next() % (isESP ? 70_000 : 400_000))
        let place =
          generator.next() % 3 == 0
          ? (isESP ? BootDisk.espStart : BootDisk.linuxStart + 1024) + Int(generator.next() % 260) : start
        let before = try device.read(8, at: place)
        try device.write((0..<8).map { _ in UInt8(truncatingIfNeeded: generator.next()) }, at: place)
        _ = try? InstalledSystem.find(on: device, isUEFI: true)
        try device.write(before, at: place)
      }
    }
    #expect(disk.problem() == nil, "the noise was taken back")
  }

  @Test func versionsAreOrderedByTheirNumbers() {
    let rising = ["", "1~rc1", "1", "1.a", "1.0", "1.1", "1.9", "1.10", "1.10.1", "2"]
    for (a, b) in zip(rising, rising.dropFirst()) {
      #expect(compareVersions(a, b) < 0 && compareVersions(b, a) > 0, "\(a) \(b)")
    }
    #expect(compareVersions("6.01-x", "6.1_x") == 0)
  }
}

/// Numbers that are the same in every run.
private struct Noise {
  var state: UInt64
  mutating func next() -> UInt64 {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return state
  }
}
