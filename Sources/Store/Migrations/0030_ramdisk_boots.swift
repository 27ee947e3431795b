extension Migration {
  /// Machines that run from their memory: the folder with the files of each, and its kernel's command line.
  static let ramdiskBoots = Migration(
    number: 30, name: "ramdisk boots",
    sql: """
      ALTER TABLE volume_boots ADD COLUMN ramdisk TEXT;
      ALTER TABLE volume_boots ADD COLUMN kernel_line TEXT NOT NULL DEFAULT '';
      """)
}
